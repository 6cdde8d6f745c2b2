//! Tracks columns that this plan adds and that are still NULL in all rows. Pure.

use super::{Known, is_nowhere};
use crate::catalog::TableName;
use crate::lint::effect::{Effect, Fact};

impl Known {
    /// Whether a column is NULL in every existing row.
    pub(in crate::lint) fn is_null_throughout(&self, table: &TableName, column: &str) -> bool {
        // A domain may have a default.
        let may_be_filled = self.kind(table, column).is_some_and(|kind| self.domain(kind).is_some());
        !may_be_filled && self.nulls.contains(&(table.clone(), column.to_owned()))
    }

    /// Updates the set of such columns after an effect.
    pub(super) fn note_nulls(&mut self, effect: &Effect) {
        match effect {
            Effect::AddsFacts { table, facts } if !self.takes_back && !is_nowhere(table) => {
                let added = facts.iter().filter_map(|fact| match fact {
                    Fact::Null(column) => Some((table.clone(), column.clone())),
                    _ => None,
                });
                self.nulls.extend(added);
            }
            Effect::UpdatesAll { table, .. }
            | Effect::ChangesType { table, .. }
            | Effect::DropsColumn { table, .. }
            | Effect::RenamesColumn { table, .. }
            | Effect::Renames { from: table, .. }
            | Effect::Drops { name: table } => self.nulls.retain(|(of, _)| of != table),
            Effect::AccessesRows(work) => {
                let written: Vec<_> =
                    work.holds.iter().map(|read| &read.table).chain(&work.replaces).collect();
                self.nulls.retain(|(of, _)| !written.contains(&of));
            }
            // The statement may write to any table.
            Effect::Matches { to, .. } if to.is_empty() => self.nulls.clear(),
            Effect::ChangesSearchPath | Effect::InvalidatesNames => self.nulls.clear(),
            _ => {}
        }
    }
}
