//! The migrations that are going to run. What they change, the catalog says only after them. Pure.

use super::Change;
use super::texts::Texts;
use crate::address::Address;
use crate::catalog::{Column, TableName};
use crate::change::Planned;

/// Pending migrations and repeatable files.
#[derive(Debug, Default)]
pub(super) struct Upcoming<'a> {
    /// The last of the numbered ones; each needs the one before it.
    pub(super) last: Option<&'a Address>,
    /// The last of all of them.
    pub(super) last_of_all: Option<&'a Address>,
    texts: Texts,
}

impl<'a> Upcoming<'a> {
    pub(super) fn of(planned: &'a [Planned<Change>]) -> Self {
        let is_numbered = |planned: &&Planned<Change>| matches!(planned.change, Change::Migrate(_));
        let is_any =
            |planned: &&Planned<Change>| matches!(planned.change, Change::Migrate(_) | Change::Repeat(_));
        let sql = |planned: &'a Planned<Change>| match &planned.change {
            Change::Migrate(pending) => Some(pending.migration.sql.as_str()),
            Change::Repeat(repeating) => Some(repeating.file.sql.as_str()),
            Change::CreateDatabase
            | Change::CreateExtension { .. }
            | Change::Role(_)
            | Change::User(_)
            | Change::Rows(_) => None,
        };
        Self {
            last: planned.iter().rev().find(is_numbered).map(|planned| &planned.address),
            last_of_all: planned.iter().rev().find(is_any).map(|planned| &planned.address),
            texts: Texts::of(planned.iter().filter_map(sql)),
        }
    }

    /// Whether a table may be another one after them.
    pub(super) fn may_change(&self, table: &TableName) -> bool {
        self.texts.is_dynamic || self.texts.name(table)
    }

    /// Whether a column of a table may hold other values after them.
    pub(super) fn may_change_column(&self, table: &TableName, column: &Column) -> bool {
        self.may_change(table) || self.texts.change_any_in(&column.data_type)
    }
}
