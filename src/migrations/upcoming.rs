//! The migrations that are going to run. What they change, the catalog says only after them. Pure.

use super::Change;
use super::texts::Texts;
use crate::address::Address;
use crate::catalog::{Column, TableName};
use crate::change::Planned;

/// Pending migrations and repeatable files.
#[derive(Debug, Default)]
pub(crate) struct Upcoming<'a> {
    /// The last of the numbered ones; each needs the one before it.
    pub(crate) last: Option<&'a Address>,
    /// The last of all of them.
    pub(crate) last_of_all: Option<&'a Address>,
    texts: Texts,
}

impl<'a> Upcoming<'a> {
    pub(crate) fn of(planned: &'a [Planned<Change>]) -> Self {
        let is_numbered = |planned: &&Planned<Change>| matches!(planned.change, Change::Run(_));
        Self {
            last: planned.iter().rev().find(is_numbered).map(|planned| &planned.address),
            last_of_all: planned.last().map(|planned| &planned.address),
            texts: Texts::of(planned.iter().map(|planned| planned.change.text().0)),
        }
    }

    /// Whether a table may be another one after them.
    pub(crate) fn may_change(&self, table: &TableName) -> bool {
        self.texts.is_dynamic || self.texts.name(table)
    }

    /// Whether a column of a table may hold other values after them.
    pub(crate) fn may_change_column(&self, table: &TableName, column: &Column) -> bool {
        self.may_change(table) || self.texts.change_any_in(&column.data_type)
    }
}
