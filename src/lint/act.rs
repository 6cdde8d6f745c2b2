//! What a statement does, in words that both dialects share. The readers of the dialects make
//! these, the rules judge them.

use std::collections::BTreeSet;

use super::Rule;
use crate::catalog::TableName;

/// One thing that a statement does. Names are folded, and have the schema that is written before them
/// until [`super::Known`] finds out where they lead.
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
        /// Columns that together tell each row from all others, of a table.
        keys: Vec<Vec<String>>,
        /// What its constraints say, of a table.
        facts: Vec<Fact>,
    },
    /// From here on this holds for all rows of a table.
    Learns { table: TableName, facts: Vec<Fact> },
    /// Forbids NULL in a column that is there.
    SetsNotNull { table: TableName, column: String },
    /// Makes an index that is there the primary key, whose columns cannot be NULL.
    KeyByIndex { table: TableName, index: TableName },
    /// Adds a foreign key that is not checked against the rows that are there.
    RefersUnchecked { table: TableName },
    /// Copies all rows of a table, and these columns or all, into these columns or all of another one.
    Copies { from: TableName, to: TableName, columns: Option<Vec<String>>, into: Option<Vec<String>> },
    /// Adds, changes or deletes rows; of any table where none is named.
    Writes { to: Vec<TableName> },
    /// From here on a table may leave out, without an error, what is put into it.
    LeavesOut { table: TableName },
    /// Makes an index or a trigger that is dropped with its table.
    Attaches { name: TableName, table: TableName },
    /// Takes an index or a trigger away.
    Detaches { name: TableName },
    /// Gives a table another name.
    Renames { from: TableName, to: TableName },
    /// Takes a table, index or type away. What that loses is said by a rule beside it.
    Removes { name: TableName },
    /// Adds a column.
    AddsColumn { table: TableName, column: String, kind: String, if_missing: bool },
    /// Gives a column another name.
    RenamesColumn { table: TableName, from: String, to: String },
    /// Drops a column.
    DropsColumn { table: TableName, column: String, if_exists: bool },
    /// Gives a column another type.
    Retypes { table: TableName, column: String, to: String, using: Option<Using>, has_collation: bool },
    /// Adds a column of a type that may be a domain.
    TakesDomain { table: TableName, kind: TableName },
    /// Makes a domain; one with a constraint or a default is looked at for each row.
    MakesDomain { name: TableName, base: String, is_constrained: bool },
    /// Checks all columns of a domain.
    ChecksDomain { name: TableName },
    /// Divides a table into partitions, or adds one.
    Divides { table: TableName, division: Division },
    /// Gets a partition, with rows or new, so that rows of it and of the default one are checked.
    GetsPartition { table: TableName, child: Option<TableName>, bound: Bound, reason: String },
    /// Builds an index on a table without its partitions: a partitioned one has no rows of its own.
    BuildsAlone { table: TableName, rule: &'static Rule, reason: String },
    /// Drops types or changes an attribute of them, which fails while a column has one of them.
    DropsTypes { names: Vec<TableName> },
    /// Drops schemas with everything in them.
    DropsSchemas { names: Vec<String>, if_exists: bool },
    /// Drops extensions with what they brought.
    DropsExtensions { names: Vec<String>, if_exists: bool },
    /// A schema is gone.
    RemovesSchema { name: String },
    /// Makes a schema.
    MakesSchema { name: String, if_missing: bool },
    /// Gives a schema another name.
    RenamesSchema { name: String },
    /// Changes columns of all rows.
    UpdatesAll { table: TableName, columns: Vec<String> },
    /// Holds a lock until the transaction ends that readers or writers of these wait for; of what is not
    /// known where none is named.
    Locks { to: Vec<TableName> },
    /// Reads or writes rows, few or many.
    Works(Work),
    /// Writes a text that was added to an enum in the same transaction.
    UsesValue {
        kind: TableName,
        value: String,
        /// Whether the type's name stands in the statement too.
        names_type: bool,
        tables: Vec<TableName>,
    },
    /// Makes a table a parent of another one, so that what is done to it reaches that too.
    Adopts { parent: TableName, child: TableName },
    /// From here on names without a schema lead where the text does not tell.
    Strays,
    /// From here on things that were made cannot be told by their names.
    Shuffles,
}

/// What a statement reads and writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub reads: Vec<Read>,
    /// A table and columns of it that get other values, where a condition holds.
    pub updates: Option<(TableName, Vec<String>)>,
    /// Tables that get as many rows as are read.
    pub fills: Vec<TableName>,
    /// Rows whose writers wait until the transaction ends: those that are changed, deleted or locked.
    pub holds: Vec<Read>,
    /// A table of which each row that is read may change another one, by `ON CONFLICT DO UPDATE`.
    pub replaces: Option<TableName>,
    /// Tables that are emptied: row by row where another one refers to them, and at once otherwise.
    pub empties: Vec<TableName>,
    /// Whether it takes long whatever it reads.
    pub is_long: bool,
}

/// A table that is read, or searched for rows to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub table: TableName,
    /// Columns that have one value each, or one of a list, in all rows that count.
    pub bound: BTreeSet<String>,
}

impl Read {
    pub(super) fn all(table: TableName) -> Self {
        Self { table, bound: BTreeSet::new() }
    }
}

/// What holds for all rows of a table, or an index of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    NotNull(String),
    Nullable(String),
    /// A column is new, and NULL in all rows.
    Null(String),
    Check {
        name: Option<String>,
        condition: String,
        is_valid: bool,
    },
    /// A constraint that was not valid is.
    Validated(String),
    /// A constraint is gone.
    Dropped(String),
    /// These columns together tell each row from all others.
    Key(Vec<String>),
    /// An index has these columns, and nothing else.
    Indexes {
        index: String,
        columns: Vec<String>,
    },
    /// An index has this expression or condition.
    Computes {
        text: String,
    },
}

/// How a table is divided into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Division {
    /// By this column; `None` for several or an expression.
    By(Option<String>),
    /// It has a partition.
    Part { is_default: bool },
}

/// Which values of the dividing column a partition has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    /// From one value, to before another one; `None` is no limit.
    Range {
        from: Option<String>,
        to: Option<String>,
    },
    List(Vec<String>),
    /// Some that the text does not tell.
    Other,
}

/// What `USING` makes of a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Using {
    /// Casts of the column to one type after the other.
    Casts(Vec<String>),
    /// Between a moment and a time without a zone, in UTC.
    AtUtc,
    /// Values of another expression.
    Computes(String),
}

impl Act {
    pub(super) fn does(rule: &'static Rule, to: Vec<TableName>, reason: impl Into<String>) -> Self {
        Self::Does { rule, to, reason: reason.into() }
    }

    /// Takes tables out that nothing is done to; false where none is left.
    pub(super) fn is_done_to(&mut self, is_there: &dyn Fn(&TableName) -> bool) -> bool {
        match self {
            Self::Does { to, .. } if !to.is_empty() => {
                to.retain(is_there);
                !to.is_empty()
            }
            _ => true,
        }
    }

    /// The names of tables and other things in it.
    pub(super) fn names(&mut self) -> Vec<&mut TableName> {
        match self {
            Self::Does { to, .. }
            | Self::Writes { to }
            | Self::Locks { to }
            | Self::DropsTypes { names: to }
            | Self::UsesValue { tables: to, .. } => to.iter_mut().collect(),
            Self::Makes { name, .. }
            | Self::Removes { name }
            | Self::Detaches { name }
            | Self::ChecksDomain { name }
            | Self::MakesDomain { name, .. } => vec![name],
            Self::Attaches { name, table } => vec![name, table],
            Self::Copies { from, to, .. } | Self::Renames { from, to } => vec![from, to],
            Self::LeavesOut { table }
            | Self::Divides { table, .. }
            | Self::BuildsAlone { table, .. }
            | Self::Learns { table, .. }
            | Self::SetsNotNull { table, .. }
            | Self::KeyByIndex { table, .. }
            | Self::RefersUnchecked { table }
            | Self::AddsColumn { table, .. }
            | Self::RenamesColumn { table, .. }
            | Self::DropsColumn { table, .. }
            | Self::Retypes { table, .. }
            | Self::UpdatesAll { table, .. } => vec![table],
            Self::Works(Work { reads, updates, fills, holds, replaces, empties, is_long: _ }) => {
                let reads = reads.iter_mut().chain(holds).map(|read| &mut read.table);
                let updates = updates.iter_mut().map(|(table, _)| table);
                reads.chain(updates).chain(fills).chain(replaces).chain(empties).collect()
            }
            Self::GetsPartition { table, child, .. } => [table].into_iter().chain(child).collect(),
            Self::Adopts { parent, child } => vec![parent, child],
            Self::TakesDomain { table, kind } => vec![table, kind],
            Self::DropsSchemas { .. }
            | Self::DropsExtensions { .. }
            | Self::RemovesSchema { .. }
            | Self::RenamesSchema { .. }
            | Self::MakesSchema { .. }
            | Self::Strays
            | Self::Shuffles => Vec::new(),
        }
    }
}
