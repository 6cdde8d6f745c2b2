//! Tracks table rebuilds in SQLite, where a table is changed by copying it: which table contains
//! all data of another one, so that dropping the other loses nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::TableName;
use crate::lint::effect::Effect;

/// Name and type of a column.
pub(super) type Column = (String, String);

/// The known columns of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub list: Vec<Column>,
    /// Unique column sets.
    pub keys: Vec<Vec<String>>,
    /// Whether the list is complete.
    pub are_all: bool,
    /// Facts that hold for all rows.
    pub facts: super::facts::Facts,
}

/// Tables of this plan that contain the data of other tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Copies {
    /// Maps a table to the table of this plan that contains all of its rows and columns.
    complete: BTreeMap<TableName, TableName>,
    /// Tables of this plan that contain the only copy of a dropped table's data.
    replacements: BTreeSet<TableName>,
    /// Tables that may drop inserted rows.
    lossy: BTreeSet<TableName>,
    /// Indexes and triggers, each with the table it is dropped with.
    attached: BTreeMap<TableName, TableName>,
    /// Indexes and triggers that the text creates.
    remade: BTreeSet<TableName>,
}

impl Copies {
    /// Returns the table of this plan that contains all data of a table.
    pub(super) fn of(&self, name: &TableName) -> Option<&TableName> {
        self.complete.get(name)
    }

    /// Whether a table contains the only copy of a dropped table's data.
    pub(super) fn is_replacement(&self, name: &TableName) -> bool {
        self.replacements.contains(name)
    }

    /// Discards everything that holds for one plan only.
    pub(super) fn mark_all_used(&mut self) {
        self.complete.clear();
        self.replacements.clear();
    }

    /// Records that all rows of a table were copied to a table of this plan.
    pub(super) fn copied(&mut self, from: &TableName, to: &TableName) {
        if !self.lossy.contains(to) {
            self.complete.insert(from.clone(), to.clone());
        }
    }

    /// Records the indexes of an existing table.
    pub(super) fn attach(&mut self, names: impl Iterator<Item = TableName>, table: &TableName) {
        // SQLite creates the indexes of UNIQUE constraints with the table.
        let made = names.filter(|name| !name.name.starts_with("sqlite_autoindex_"));
        self.attached.extend(made.map(|name| (name, table.clone())));
    }

    /// Starts a text, with the indexes and triggers that it will create.
    pub(super) fn begin(&mut self, effects: &[Vec<Effect>]) {
        let made = effects.iter().flatten().filter_map(|effect| match effect {
            Effect::Attaches { name, .. } => Some(name.clone()),
            _ => None,
        });
        self.remade = made.collect();
    }

    /// Returns what is dropped with a table and not recreated by the text.
    pub(super) fn attached_to(&self, table: &TableName) -> Vec<&TableName> {
        let lost = self.attached.iter().filter(|(name, on)| *on == table && !self.remade.contains(*name));
        lost.map(|(name, _)| name).collect()
    }

    fn forget(&mut self, table: &TableName) {
        self.complete.retain(|from, to| from != table && to != table);
    }

    /// Updates the state after an effect.
    pub(super) fn note(&mut self, effect: &Effect) {
        match effect {
            // A row written to one of the two tables afterwards may be missing in the other.
            Effect::Writes { to } if to.is_empty() => self.complete.clear(),
            Effect::Writes { to } => {
                for table in to {
                    self.forget(table);
                }
            }
            Effect::DropsColumn { table, .. }
            | Effect::RenamesColumn { table, .. }
            | Effect::ChangesType { table, .. }
            | Effect::UpdatesAll { table, .. } => self.forget(table),
            Effect::MaySkipRows { table } => {
                self.lossy.insert(table.clone());
            }
            Effect::Attaches { name, table } => {
                self.attached.insert(name.clone(), table.clone());
            }
            Effect::Detaches { name } => {
                self.attached.remove(name);
            }
            Effect::Drops { name } => {
                self.attached.retain(|_, table| table != name);
                self.replacements.remove(name);
                self.replacements.extend(self.complete.remove(name));
                self.forget(name);
                self.lossy.remove(name);
            }
            Effect::Renames { from, to } => {
                let renamed = |name: TableName| if name == *from { to.clone() } else { name };
                self.complete = std::mem::take(&mut self.complete)
                    .into_iter()
                    .map(|(table, copy)| (renamed(table), renamed(copy)))
                    .collect();
                for table in self.attached.values_mut().filter(|table| *table == from) {
                    table.clone_from(to);
                }
                for names in [&mut self.replacements, &mut self.lossy] {
                    *names = std::mem::take(names).into_iter().map(renamed).collect();
                }
            }
            Effect::InvalidatesNames => self.complete.clear(),
            Effect::Matches { .. }
            | Effect::UsesEnumValue { .. }
            | Effect::Locks { .. }
            | Effect::AccessesRows(_)
            | Effect::Creates { .. }
            | Effect::Copies { .. }
            | Effect::AddsColumn { .. }
            | Effect::AddsChild { .. }
            | Effect::AddsFacts { .. }
            | Effect::SetsNotNull { .. }
            | Effect::MakesIndexPrimaryKey { .. }
            | Effect::AddsUncheckedForeignKey { .. }
            | Effect::Partitions { .. }
            | Effect::IndexesParentOnly { .. }
            | Effect::FailsOnPartitioned { .. }
            | Effect::AttachesPartition { .. }
            | Effect::DropsTypes { .. }
            | Effect::AddsDomainColumn { .. }
            | Effect::CreatesDomain { .. }
            | Effect::RevalidatesDomain { .. }
            | Effect::CreatesSchema { .. }
            | Effect::RemovesSchema { .. }
            | Effect::RenamesSchema { .. }
            | Effect::DropsSchemas { .. }
            | Effect::DropsExtensions { .. }
            | Effect::ChangesSearchPath => {}
        }
    }
}

/// Whether every column of a table is copied, unchanged and under its own name. `columns` and
/// `into` are the named columns; `None` means all columns in order.
pub(super) fn keep_all(
    (from, columns): (&Columns, Option<&[String]>),
    (to, into): (&Columns, Option<&[String]>),
) -> bool {
    let all = |known: &Columns| known.list.iter().map(|(name, _)| name.clone()).collect();
    let named = |known, named: Option<&[String]>| named.map_or_else(|| all(known), <[String]>::to_vec);
    let (sources, targets) = (named(from, columns), named(to, into));
    let keeps = |(name, was): &Column| {
        let is = to.list.iter().find(|(column, _)| column == name);
        sources.contains(name) && is.is_some_and(|(_, is)| is_stored_alike(was, is))
    };
    from.are_all && to.are_all && sources == targets && from.list.iter().all(keeps)
}

/// Whether SQLite stores every value of a column unchanged under another declared type: the
/// affinity depends on substrings of the type name, and the length is ignored.
fn is_stored_alike(from: &str, to: &str) -> bool {
    let affinity = |kind: &str| {
        let kind = kind.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
        match () {
            () if has(&["int"]) => "number",
            () if has(&["char", "clob", "text"]) => "text",
            () if kind.is_empty() || has(&["blob"]) => "any",
            () if has(&["real", "floa", "doub"]) => "float",
            () => "number",
        }
    };
    affinity(from) == affinity(to) || affinity(to) == "any"
}
