//! The migrations that are going to run, and which tables they may change. Pure.

use super::Change;
use super::renamed::renamed;
use super::texts::Texts;
use crate::address::Address;
use crate::catalog::{Column, TableName};
use crate::change::Planned;
use crate::lint::script::{Script, folded};
use crate::sql::Dialect;

/// Pending numbered and repeatable files.
#[derive(Debug, Default)]
pub(crate) struct Upcoming<'a> {
    /// The last numbered file; each depends on the one before it.
    pub(crate) last: Option<&'a Address>,
    /// The last file, numbered or repeatable.
    pub(crate) last_of_all: Option<&'a Address>,
    texts: Texts,
    renames: Vec<Rename<'a>>,
}

/// A table that a pending file renames or moves to another schema. Names are folded.
#[derive(Debug)]
pub(crate) struct Rename<'a> {
    old: TableName,
    pub(crate) new: TableName,
    pub(crate) by: &'a Address,
    /// Whether no later statement mentions the old name, so that nothing has it afterwards.
    is_final: bool,
}

impl<'a> Upcoming<'a> {
    pub(crate) fn of(planned: &'a [Planned<Change>], dialect: Dialect) -> Self {
        let is_numbered = |planned: &&Planned<Change>| matches!(planned.change, Change::Run(_));
        Self {
            last: planned.iter().rev().find(is_numbered).map(|planned| &planned.address),
            last_of_all: planned.last().map(|planned| &planned.address),
            texts: Texts::parse(planned.iter().map(|planned| planned.change.text().0)),
            renames: renames(planned, dialect),
        }
    }

    /// Whether the table may differ after the migrations.
    pub(crate) fn may_change(&self, table: &TableName) -> bool {
        self.texts.is_dynamic || self.texts.mention(table)
    }

    /// Whether the rows of the table may differ after the migrations: any statement may change them except one
    /// that only adds to the table.
    pub(crate) fn may_change_rows(&self, table: &TableName) -> bool {
        self.texts.is_dynamic || self.texts.mention(table) && self.texts.may_change_rows(table)
    }

    /// The rename after which the table certainly does not exist.
    pub(crate) fn renamed_away(&self, table: &TableName) -> Option<&Rename<'a>> {
        let mut renames = self.renames.iter().filter(|_| !self.texts.is_dynamic);
        renames.find(|rename| rename.is_final && rename.old == folded(table))
    }

    /// Whether the table gets its name from another one.
    pub(crate) fn is_renamed_to(&self, table: &TableName) -> bool {
        self.renames.iter().any(|rename| rename.new == folded(table))
    }

    /// Whether a column may hold other values after the migrations.
    pub(crate) fn may_change_column(&self, table: &TableName, column: &Column) -> bool {
        self.may_change(table) || self.texts.change_any_of(&column.data_type)
    }
}

fn renames<'a>(planned: &'a [Planned<Change>], dialect: Dialect) -> Vec<Rename<'a>> {
    let mut renames: Vec<Rename<'a>> = Vec::new();
    for planned in planned {
        let (sql, _) = planned.change.text();
        let lower = sql.to_ascii_lowercase();
        if !renames.is_empty() || lower.contains("rename") || lower.contains("schema") {
            for at in Script::read(sql, dialect).statements {
                let statement = sql.get(at).unwrap_or_default();
                let mentioned = Texts::parse([statement]);
                for rename in &mut renames {
                    rename.is_final &= !mentioned.has_name(&rename.old.name);
                }
                renames.extend(renamed(statement, dialect).map(|(old, new)| Rename {
                    old,
                    new,
                    by: &planned.address,
                    is_final: true,
                }));
            }
        }
    }
    renames
}
