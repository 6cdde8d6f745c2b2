//! SQLite changes a table by making another one: which table has all that another one has, so that
//! dropping that loses nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::TableName;
use crate::lint::act::Act;
use crate::lint::rules;

/// A column: its name and its type.
pub(super) type Column = (String, String);

/// What is known of the columns of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// In the table's order.
    pub list: Vec<Column>,
    /// Columns that together tell each row from all others.
    pub keys: Vec<Vec<String>>,
    /// Whether there are no others.
    pub are_all: bool,
    /// What holds for all rows.
    pub facts: super::facts::Facts,
}

/// Tables of this plan that have what others have or had.
#[derive(Debug, Clone, Default)]
pub(super) struct Copies {
    /// Tables, and those of this plan that have all their rows and columns.
    whole: BTreeMap<TableName, TableName>,
    /// Tables of this plan that alone have what another one had, which is dropped.
    heirs: BTreeSet<TableName>,
    /// Tables that may leave out what is put into them.
    leaky: BTreeSet<TableName>,
    /// Indexes and triggers, and the tables that they are dropped with.
    attached: BTreeMap<TableName, TableName>,
    /// Indexes and triggers that the text makes somewhere.
    remade: BTreeSet<TableName>,
}

impl Copies {
    /// The table of this plan that has all that a table has.
    pub(super) fn of(&self, name: &TableName) -> Option<&TableName> {
        self.whole.get(name)
    }

    /// Whether a table has what was dropped with another one.
    pub(super) fn is_heir(&self, name: &TableName) -> bool {
        self.heirs.contains(name)
    }

    /// Forgets everything that holds for one plan only.
    pub(super) fn settle(&mut self) {
        self.whole.clear();
        self.heirs.clear();
    }

    /// A table of this plan has been given all rows of another one, and these columns.
    pub(super) fn copied(&mut self, from: &TableName, to: &TableName) {
        if !self.leaky.contains(to) {
            self.whole.insert(from.clone(), to.clone());
        }
    }

    /// Indexes of a table that is there.
    pub(super) fn attach(&mut self, names: impl Iterator<Item = TableName>, table: &TableName) {
        // SQLite makes those of a UNIQUE constraint with the table.
        let made = names.filter(|name| !name.name.starts_with("sqlite_autoindex_"));
        self.attached.extend(made.map(|name| (name, table.clone())));
    }

    /// A text that makes indexes and triggers begins.
    pub(super) fn begin(&mut self, acts: &[Vec<Act>]) {
        let made = acts.iter().flatten().filter_map(|act| match act {
            Act::Attaches { name, .. } => Some(name.clone()),
            _ => None,
        });
        self.remade = made.collect();
    }

    /// What is dropped with a table, and not made by the text.
    pub(super) fn attached_to(&self, table: &TableName) -> Vec<&TableName> {
        let lost = self.attached.iter().filter(|(name, on)| *on == table && !self.remade.contains(*name));
        lost.map(|(name, _)| name).collect()
    }

    fn forget(&mut self, table: &TableName) {
        self.whole.retain(|from, to| from != table && to != table);
    }

    /// What is different after a statement did something.
    pub(super) fn note(&mut self, act: &Act) {
        match act {
            // A row that is written to either of the two afterwards may be in one of them only.
            Act::Writes { to } if to.is_empty() => self.whole.clear(),
            Act::Writes { to } => {
                for table in to {
                    self.forget(table);
                }
            }
            Act::DropsColumn { table, .. }
            | Act::RenamesColumn { table, .. }
            | Act::Retypes { table, .. }
            | Act::UpdatesAll { table, .. } => self.forget(table),
            Act::LeavesOut { table } => {
                self.leaky.insert(table.clone());
            }
            Act::Attaches { name, table } => {
                self.attached.insert(name.clone(), table.clone());
            }
            Act::Detaches { name } => {
                self.attached.remove(name);
            }
            Act::Removes { name } => {
                self.attached.retain(|_, table| table != name);
                self.heirs.remove(name);
                self.heirs.extend(self.whole.remove(name));
                self.forget(name);
                self.leaky.remove(name);
            }
            Act::Renames { from, to } => {
                let renamed = |name: TableName| if name == *from { to.clone() } else { name };
                self.whole = std::mem::take(&mut self.whole)
                    .into_iter()
                    .map(|(table, copy)| (renamed(table), renamed(copy)))
                    .collect();
                for table in self.attached.values_mut().filter(|table| *table == from) {
                    table.clone_from(to);
                }
                for names in [&mut self.heirs, &mut self.leaky] {
                    *names = std::mem::take(names).into_iter().map(renamed).collect();
                }
            }
            Act::Shuffles => self.whole.clear(),
            Act::Does { .. }
            | Act::UsesValue { .. }
            | Act::Locks { .. }
            | Act::Works(_)
            | Act::Makes { .. }
            | Act::Copies { .. }
            | Act::AddsColumn { .. }
            | Act::Adopts { .. }
            | Act::Learns { .. }
            | Act::SetsNotNull { .. }
            | Act::KeyByIndex { .. }
            | Act::RefersUnchecked { .. }
            | Act::Divides { .. }
            | Act::BuildsAlone { .. }
            | Act::GetsPartition { .. }
            | Act::DropsTypes { .. }
            | Act::TakesDomain { .. }
            | Act::MakesDomain { .. }
            | Act::ChecksDomain { .. }
            | Act::MakesSchema { .. }
            | Act::RemovesSchema { .. }
            | Act::RenamesSchema { .. }
            | Act::DropsSchemas { .. }
            | Act::DropsExtensions { .. }
            | Act::Strays => {}
        }
    }
}

/// Whether all columns of a table get into columns of another one, under their names and as they are.
/// `columns` and `into` are the columns that are named; where none are, all are meant, in their order.
pub(super) fn keep_all(
    (from, columns): (&Columns, Option<&[String]>),
    (to, into): (&Columns, Option<&[String]>),
) -> bool {
    let all = |known: &Columns| known.list.iter().map(|(name, _)| name.clone()).collect();
    let named = |known, named: Option<&[String]>| named.map_or_else(|| all(known), <[String]>::to_vec);
    let (sources, targets) = (named(from, columns), named(to, into));
    let keeps = |(name, was): &Column| {
        let is = to.list.iter().find(|(column, _)| column == name);
        sources.contains(name) && is.is_some_and(|(_, is)| rules::is_stored_alike(was, is))
    };
    from.are_all && to.are_all && sources == targets && from.list.iter().all(keeps)
}
