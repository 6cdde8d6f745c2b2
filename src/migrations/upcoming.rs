//! The migrations that are going to run, and which tables they may change. Pure.

use super::Change;
use super::texts::Texts;
use crate::address::Address;
use crate::catalog::{Column, TableName};
use crate::change::Planned;

/// Pending numbered and repeatable files.
#[derive(Debug, Default)]
pub(crate) struct Upcoming<'a> {
    /// The last numbered file; each depends on the one before it.
    pub(crate) last: Option<&'a Address>,
    /// The last file, numbered or repeatable.
    pub(crate) last_of_all: Option<&'a Address>,
    texts: Texts,
}

impl<'a> Upcoming<'a> {
    pub(crate) fn of(planned: &'a [Planned<Change>]) -> Self {
        let is_numbered = |planned: &&Planned<Change>| matches!(planned.change, Change::Run(_));
        Self {
            last: planned.iter().rev().find(is_numbered).map(|planned| &planned.address),
            last_of_all: planned.last().map(|planned| &planned.address),
            texts: Texts::parse(planned.iter().map(|planned| planned.change.text().0)),
        }
    }

    /// Whether the table may differ after the migrations.
    pub(crate) fn may_change(&self, table: &TableName) -> bool {
        self.texts.is_dynamic || self.texts.mention(table)
    }

    /// Whether a column may hold other values after the migrations.
    pub(crate) fn may_change_column(&self, table: &TableName, column: &Column) -> bool {
        self.may_change(table) || self.texts.change_any_of(&column.data_type)
    }
}
