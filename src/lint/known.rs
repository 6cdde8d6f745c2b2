//! What is known of the database at a statement: which tables are in use, which nobody uses yet
//! because this very plan makes them, and the types of columns. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::act::Act;
use super::script::folded;
use crate::catalog::{Snapshot, TableName};

/// Tables and columns before the next statement. All names are folded to lower case.
#[derive(Debug, Clone, Default)]
pub struct Known {
    existing: BTreeSet<TableName>,
    fresh: BTreeSet<TableName>,
    columns: BTreeMap<(TableName, String), String>,
    fresh_columns: BTreeSet<(TableName, String)>,
    /// Whether there is nothing but what this plan makes.
    is_bare: bool,
    /// Tables, and those of this plan that have all their rows and columns.
    copies: BTreeMap<TableName, TableName>,
    /// Tables of this plan that alone have what another one had, which is dropped.
    heirs: BTreeSet<TableName>,
    /// Tables, and those that refer to them.
    referring: BTreeMap<TableName, BTreeSet<TableName>>,
    /// Whether dropping a table deletes what refers to it: SQLite's foreign keys, unless they are off.
    keys_bind: bool,
}

impl Known {
    /// A database with the tables of a schema.
    pub fn of(schema: &Snapshot) -> Self {
        let mut known = Self::default();
        for (name, table) in &schema.tables {
            let name = folded(name);
            known.existing.extend(table.indexes.keys().map(|index| folded(&TableName::parse(index))));
            for column in &table.columns {
                known
                    .columns
                    .insert((name.clone(), column.name.to_lowercase()), column.data_type.to_lowercase());
            }
            for key in &table.foreign_keys {
                known.referring.entry(folded(&key.table)).or_default().insert(name.clone());
            }
            known.existing.insert(name);
        }
        known
    }

    /// What the next text says of foreign keys.
    pub(super) fn refer<'r>(
        &mut self,
        references: impl Iterator<Item = &'r (TableName, TableName)>,
        keys_bind: bool,
    ) {
        self.keys_bind = keys_bind;
        for (child, parent) in references {
            self.referring.entry(folded(parent)).or_default().insert(folded(child));
        }
    }

    /// A table whose rows go, or stand in the way, when a table is dropped that has a copy.
    pub(super) fn bound_to(&self, name: &TableName) -> Option<&TableName> {
        let children = self.referring.get(name).filter(|_| self.keys_bind)?;
        children.iter().find(|child| *child != name)
    }

    /// A database in which there is nothing yet.
    pub fn nothing() -> Self {
        Self { is_bare: true, ..Self::default() }
    }

    /// From here on, what was made is in use.
    pub fn settle(&mut self) {
        self.existing.append(&mut self.fresh);
        self.fresh_columns.clear();
        self.copies.clear();
        self.heirs.clear();
    }

    /// Whether this plan has made something of the name.
    pub fn has_made(&self, name: &TableName) -> bool {
        self.fresh.contains(&folded(name))
    }

    pub(super) fn is_fresh(&self, name: &TableName) -> bool {
        self.is_bare || self.fresh.contains(name)
    }

    /// Whether a table of this plan has what was dropped with another one.
    pub(super) fn is_heir(&self, name: &TableName) -> bool {
        self.heirs.contains(name)
    }

    /// The table of this plan that has all that a table has.
    pub(super) fn copy_of(&self, name: &TableName) -> Option<&TableName> {
        self.copies.get(name)
    }

    fn columns_of(&self, table: &TableName) -> BTreeSet<&str> {
        let columns = self.columns.range((table.clone(), String::new())..);
        columns
            .map(|((of, column), _)| (of, column))
            .take_while(|(of, _)| *of == table)
            .map(|(_, column)| column.as_str())
            .collect()
    }

    pub(super) fn is_fresh_column(&self, table: &TableName, column: &str) -> bool {
        self.fresh_columns.contains(&(table.clone(), column.to_owned()))
    }

    /// The type of a column, where it is known.
    pub(super) fn kind(&self, table: &TableName, column: &str) -> Option<&str> {
        self.columns.get(&(table.clone(), column.to_owned())).map(String::as_str)
    }

    /// What is different after a statement did something.
    pub(super) fn note(&mut self, act: &Act) {
        match act {
            Act::Makes { name, if_missing, columns } => {
                if *if_missing && self.existing.contains(name) {
                    return;
                }
                self.fresh.insert(name.clone());
                for (column, kind) in columns {
                    self.columns.insert((name.clone(), column.clone()), kind.clone());
                }
            }
            Act::Copies { from, to, columns } => {
                let named = columns.as_ref().map(|columns| columns.iter().map(String::as_str).collect());
                let (all, kept) = (self.columns_of(from), named.unwrap_or_else(|| self.columns_of(to)));
                if self.fresh.contains(to) && !all.is_empty() && all.is_subset(&kept) {
                    self.copies.insert(from.clone(), to.clone());
                }
            }
            Act::Renames { from, to } => {
                for names in [&mut self.existing, &mut self.fresh, &mut self.heirs] {
                    if names.remove(from) {
                        names.insert(to.clone());
                    }
                }
                let moved: Vec<_> = self.columns.keys().filter(|(table, _)| table == from).cloned().collect();
                self.referring.values_mut().for_each(|children| {
                    if children.remove(from) {
                        children.insert(to.clone());
                    }
                });
                if let Some(children) = self.referring.remove(from) {
                    self.referring.entry(to.clone()).or_default().extend(children);
                }
                for key in moved {
                    if let Some(kind) = self.columns.remove(&key) {
                        self.columns.insert((to.clone(), key.1), kind);
                    }
                }
            }
            Act::Removes { name } => {
                self.heirs.extend(self.copies.remove(name));
                self.heirs.remove(name);
                for children in self.referring.values_mut() {
                    children.remove(name);
                }
                self.existing.remove(name);
                self.fresh.remove(name);
                self.columns.retain(|(table, _), _| table != name);
                self.fresh_columns.retain(|(table, _)| table != name);
            }
            Act::AddsColumn { table, column, kind, if_missing } => {
                let key = (table.clone(), column.clone());
                // Without the table's columns nobody can tell whether it was there.
                let is_new = if *if_missing {
                    !self.columns_of(table).is_empty() && !self.columns.contains_key(&key)
                } else {
                    true
                };
                if is_new {
                    self.fresh_columns.insert(key.clone());
                    self.columns.insert(key, kind.clone());
                }
            }
            Act::DropsColumn { table, column } => {
                let key = (table.clone(), column.clone());
                self.columns.remove(&key);
                self.fresh_columns.remove(&key);
            }
            Act::Retypes { table, column, kind, .. } => {
                self.columns.insert((table.clone(), column.clone()), kind.clone());
            }
            Act::Does { .. } | Act::UpdatesAll { .. } => {}
        }
    }
}
