//! What a statement does, in words that both dialects share. The readers of the dialects make
//! these, the rules judge them.

use super::Rule;
use crate::catalog::TableName;

/// One thing that a statement does. Names are folded to lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Something that a rule speaks of, unless all that it is done to is of no account.
    Does {
        rule: &'static Rule,
        /// Empty where it cannot be told, or reaches further than can be told.
        to: Vec<TableName>,
        reason: String,
    },
    /// Makes a table, index, type or other thing of its own name.
    Makes {
        name: TableName,
        if_missing: bool,
        /// Columns and their types, of a table.
        columns: Vec<(String, String)>,
    },
    /// Copies all rows of a table into another one, with these columns of that, or all.
    Copies { from: TableName, to: TableName, columns: Option<Vec<String>> },
    /// Gives a table another name.
    Renames { from: TableName, to: TableName },
    /// Takes a table, index or type away. What that loses is said by a rule beside it.
    Removes { name: TableName },
    /// Adds a column.
    AddsColumn { table: TableName, column: String, kind: String, if_missing: bool },
    /// Drops a column.
    DropsColumn { table: TableName, column: String },
    /// Gives a column another type.
    Retypes { table: TableName, column: String, kind: String, using: Option<String> },
    /// Changes columns of all rows.
    UpdatesAll { table: TableName, columns: Vec<String> },
}

impl Act {
    pub(super) fn does(rule: &'static Rule, to: Vec<TableName>, reason: impl Into<String>) -> Self {
        Self::Does { rule, to, reason: reason.into() }
    }
}
