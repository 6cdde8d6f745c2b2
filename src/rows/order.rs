//! Orders tables so that parents are written before children: by the foreign keys of the schema, and by
//! `REFERENCES` in migrations for tables that do not exist yet. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Change;
use crate::address::Address;
use crate::catalog::{Snapshot, TableName};
use crate::change::Planned;
use crate::lint::script::folded;

/// Tables in insert order. Cycles of references are broken.
#[derive(Debug, Default)]
pub(super) struct TableOrder {
    parents: BTreeMap<TableName, BTreeSet<TableName>>,
    rank: BTreeMap<TableName, usize>,
}

impl TableOrder {
    pub(super) fn new(schema: &Snapshot, references: &BTreeSet<(TableName, TableName)>) -> Self {
        let mut order = Self::default();
        let keys = schema.tables.iter().flat_map(|(child, table)| {
            table.foreign_keys.iter().map(move |key| (folded(child), folded(&key.table)))
        });
        for (child, parent) in keys.chain(references.iter().cloned()) {
            order.parents.entry(child).or_default().insert(parent);
        }
        let tables: Vec<TableName> = order.parents.keys().cloned().collect();
        for table in tables {
            order.visit(table);
        }
        order
    }

    /// A depth-first search. It has its own stack because chains of references may be long.
    fn visit(&mut self, table: TableName) {
        let mut stack = vec![(table, false)];
        let mut seen = BTreeSet::new();
        while let Some((table, left)) = stack.pop() {
            if self.rank.contains_key(&table) {
                continue;
            }
            if left {
                self.rank.insert(table, self.rank.len());
                continue;
            }
            if !seen.insert(table.clone()) {
                continue;
            }
            let parents = self.parents.get(&table).cloned().unwrap_or_default();
            stack.push((table, true));
            stack.extend(parents.into_iter().map(|parent| (parent, false)));
        }
    }

    pub(super) fn is_before(&self, parent: &TableName, child: &TableName) -> bool {
        let (parent, child) = (folded(parent), folded(child));
        let refers = self.parents.get(&child).is_some_and(|parents| parents.contains(&parent));
        refers && self.rank.get(&parent) < self.rank.get(&child)
    }

    /// Makes changes depend on the changes that write the rows they may reference. Seeds of the accounts
    /// table depend on the declared accounts, so that these are created with the password of the spec.
    pub(super) fn connect(&self, changes: &mut [Planned<Change>]) {
        let mut writers: BTreeMap<TableName, Vec<Address>> = BTreeMap::new();
        let mut accounts: BTreeMap<TableName, Vec<Address>> = BTreeMap::new();
        for planned in changes.iter() {
            if let Some(table) = &planned.change.writes() {
                writers.entry(folded(table)).or_default().push(planned.address.clone());
            }
            if let Change::User(change) = &planned.change {
                accounts.entry(folded(&change.table())).or_default().push(planned.address.clone());
            }
        }
        for planned in changes {
            let Some(table) = planned.change.writes().as_ref().map(folded) else { continue };
            let parents = self.parents.get(&table).into_iter().flatten();
            for parent in parents.filter(|parent| self.rank.get(*parent) < self.rank.get(&table)) {
                planned.needs.extend(writers.get(parent).into_iter().flatten().cloned());
            }
            if let Change::Set(_) = planned.change {
                planned.needs.extend(accounts.get(&table).into_iter().flatten().cloned());
            }
            planned.needs.sort();
            planned.needs.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_references_is_cut_and_a_chain_is_kept() {
        let table = TableName::plain;
        let references = [("a", "b"), ("b", "c"), ("c", "b"), ("d", "d")];
        let references = references.map(|(child, parent)| (table(child), table(parent)));

        let order = TableOrder::new(&Snapshot::default(), &references.into_iter().collect());

        assert!(order.is_before(&table("b"), &table("A")));
        assert!(!(order.is_before(&table("b"), &table("c")) && order.is_before(&table("c"), &table("b"))));
        assert!(!order.is_before(&table("d"), &table("d")));
    }
}
