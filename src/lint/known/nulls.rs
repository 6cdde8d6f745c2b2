//! Columns that this plan adds and that have a value in no row yet. Pure.

use super::{Known, is_nowhere};
use crate::catalog::TableName;
use crate::lint::act::{Act, Fact};

impl Known {
    /// Whether a column is NULL in each row that the table has.
    pub(in crate::lint) fn is_null_throughout(&self, table: &TableName, column: &str) -> bool {
        // A domain may have a default.
        let may_be_filled = self.kind(table, column).is_some_and(|kind| self.domain(kind).is_some());
        !may_be_filled && self.nulls.contains(&(table.clone(), column.to_owned()))
    }

    /// What is different of such columns after a statement did something.
    pub(super) fn note_nulls(&mut self, act: &Act) {
        match act {
            Act::Learns { table, facts } if !self.takes_back && !is_nowhere(table) => {
                let added = facts.iter().filter_map(|fact| match fact {
                    Fact::Null(column) => Some((table.clone(), column.clone())),
                    _ => None,
                });
                self.nulls.extend(added);
            }
            Act::UpdatesAll { table, .. }
            | Act::Retypes { table, .. }
            | Act::DropsColumn { table, .. }
            | Act::RenamesColumn { table, .. }
            | Act::Renames { from: table, .. }
            | Act::Removes { name: table } => self.nulls.retain(|(of, _)| of != table),
            Act::Works(work) => {
                let written: Vec<_> =
                    work.holds.iter().map(|read| &read.table).chain(&work.replaces).collect();
                self.nulls.retain(|(of, _)| !written.contains(&of));
            }
            // It may write to any table.
            Act::Does { to, .. } if to.is_empty() => self.nulls.clear(),
            Act::Strays | Act::Shuffles => self.nulls.clear(),
            _ => {}
        }
    }
}
