//! The effects of a statement, in a form shared by both dialects: the dialect readers produce them
//! and the rules judge them.

use std::collections::BTreeSet;

use super::rule::Rule;
use crate::catalog::TableName;

/// One effect of a statement. Names are case-folded and keep the schema as written until
/// [`super::Known`] resolves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A rule applies, unless every affected object is exempt.
    Matches {
        rule: &'static Rule,
        /// Empty if the affected tables cannot be determined.
        to: Vec<TableName>,
        reason: String,
    },
    /// Creates a table, index, type or other named object.
    Creates {
        name: TableName,
        if_missing: bool,
        /// Columns and their types, if it is a table.
        columns: Vec<(String, String)>,
        /// Unique column sets, if it is a table.
        keys: Vec<Vec<String>>,
        /// Facts established by the table's constraints.
        facts: Vec<Fact>,
    },
    /// From here on, these facts hold for all rows of the table.
    AddsFacts { table: TableName, facts: Vec<Fact> },
    /// Adds NOT NULL to an existing column.
    SetsNotNull { table: TableName, column: String },
    /// Makes an existing index the primary key, so its columns cannot be NULL.
    MakesIndexPrimaryKey { table: TableName, index: TableName },
    /// Adds a foreign key without checking the existing rows.
    AddsUncheckedForeignKey { table: TableName },
    /// Copies all rows of a table into another one: from these columns (or all) into those (or
    /// all).
    Copies { from: TableName, to: TableName, columns: Option<Vec<String>>, into: Option<Vec<String>> },
    /// Inserts, updates or deletes rows; in any table if none is named.
    Writes { to: Vec<TableName> },
    /// From here on, inserts into the table may drop rows without an error.
    MaySkipRows { table: TableName },
    /// Creates an index or trigger that is dropped together with its table.
    Attaches { name: TableName, table: TableName },
    /// Drops an index or trigger.
    Detaches { name: TableName },
    /// Renames a table.
    Renames { from: TableName, to: TableName },
    /// Drops a table, index or type. A separate effect carries the rule for what is lost.
    Drops { name: TableName },
    /// Adds a column, `IF NOT EXISTS` if `if_missing`.
    AddsColumn { table: TableName, column: String, kind: String, if_missing: bool },
    /// Renames a column of a table.
    RenamesColumn { table: TableName, from: String, to: String },
    /// Drops a column, `IF EXISTS` if `if_exists`.
    DropsColumn { table: TableName, column: String, if_exists: bool },
    /// Changes the type of a column, with the values of `USING`.
    ChangesType { table: TableName, column: String, to: String, using: Option<Using>, has_collation: bool },
    /// Adds a column whose type may be a domain.
    AddsDomainColumn { table: TableName, kind: TableName },
    /// Creates a domain. A constraint or a default makes PostgreSQL check every row that gets a
    /// column of it.
    CreatesDomain { name: TableName, base: String, is_constrained: bool },
    /// Revalidates all columns of a domain.
    RevalidatesDomain { name: TableName },
    /// Declares a table as partitioned, or adds a partition.
    Partitions { table: TableName, division: Partitioning },
    /// Attaches or creates a partition, so rows of it and of the default partition are checked.
    AttachesPartition { table: TableName, child: Option<TableName>, bound: Bound, reason: String },
    /// Creates an index on a partitioned table only (`ON ONLY`). If it is partitioned it has no
    /// rows itself.
    IndexesParentOnly { table: TableName, rule: &'static Rule, reason: String },
    /// Fails where the table is partitioned.
    FailsOnPartitioned { table: TableName, reason: String },
    /// Drops types or changes their attributes, which fails while a column uses one of them.
    DropsTypes { names: Vec<TableName> },
    /// Drops schemas and everything in them.
    DropsSchemas { names: Vec<String>, if_exists: bool },
    /// Drops extensions and the objects that belong to them.
    DropsExtensions { names: Vec<String>, if_exists: bool },
    /// Removes a schema from the known ones.
    RemovesSchema { name: String },
    /// Creates a schema, `IF NOT EXISTS` if `if_missing`.
    CreatesSchema { name: String, if_missing: bool },
    /// Renames a schema, so that statements with the old name fail.
    RenamesSchema { name: String },
    /// Updates these columns in every row.
    UpdatesAll { table: TableName, columns: Vec<String> },
    /// Holds a lock until the end of the transaction that blocks readers or writers of these
    /// tables; of unknown tables if none is named.
    Locks { to: Vec<TableName> },
    /// Reads or writes rows, possibly many.
    AccessesRows(RowAccess),
    /// Uses an enum value that was added in the same transaction.
    UsesEnumValue {
        kind: TableName,
        value: String,
        /// Whether the statement also contains the name of the type.
        names_type: bool,
        tables: Vec<TableName>,
    },
    /// Makes a table the parent of another one, so that changes to the parent reach the child.
    AddsChild { parent: TableName, child: TableName },
    /// From here on, names without a schema cannot be resolved from the text.
    ChangesSearchPath,
    /// From here on, names no longer identify the objects that were created.
    InvalidatesNames,
}

/// The tables that a statement reads and writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RowAccess {
    pub reads: Vec<Read>,
    /// A table and the columns that an UPDATE of it assigns, for the rows that match a condition.
    pub updates: Option<(TableName, Vec<String>)>,
    /// Tables that get as many rows as are read.
    pub fills: Vec<TableName>,
    /// Reads whose rows stay locked against writers until the transaction ends: updated, deleted or
    /// locked rows.
    pub holds: Vec<Read>,
    /// A table in which each row read may update an existing row, by `ON CONFLICT DO UPDATE`.
    pub replaces: Option<TableName>,
    /// Tables that are emptied: row by row if a foreign key refers to them, otherwise at once.
    pub empties: Vec<TableName>,
    /// Whether the statement may take long regardless of the tables it reads.
    pub is_long: bool,
}

/// A table that is read, or searched for rows to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub table: TableName,
    /// Columns that the condition restricts to one value or a list of values.
    pub bound: BTreeSet<String>,
}

impl Read {
    pub(super) fn all(table: TableName) -> Self {
        Self { table, bound: BTreeSet::new() }
    }
}

/// A fact that holds for all rows of a table, or that describes one of its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    NotNull(String),
    Nullable(String),
    /// A new column that is NULL in all rows.
    Null(String),
    Check {
        name: Option<String>,
        condition: String,
        is_valid: bool,
    },
    /// A NOT VALID constraint was validated.
    Validated(String),
    /// A constraint was dropped.
    Dropped(String),
    /// These columns together are unique.
    Key(Vec<String>),
    /// An index on exactly these columns.
    Indexes {
        index: String,
        columns: Vec<String>,
    },
    /// An index with this expression or condition.
    Computes {
        text: String,
    },
}

/// How a table is partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Partitioning {
    /// Partitioned by this column; `None` for several columns or an expression.
    By(Option<String>),
    /// Has a partition.
    Part { is_default: bool },
}

/// The values of the partition key that a partition covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    /// From one value (inclusive) to another one (exclusive); `None` means unbounded.
    Range {
        from: Option<String>,
        to: Option<String>,
    },
    List(Vec<String>),
    /// Covers values that cannot be determined from the text.
    Other,
}

/// How `USING` computes the new value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Using {
    /// Casts the column to one type after the other.
    Casts(Vec<String>),
    /// Converts between a timestamp with and without a time zone, at UTC.
    AtUtc,
    /// Evaluates another expression.
    Computes(String),
}

impl Effect {
    pub(super) fn does(rule: &'static Rule, to: Vec<TableName>, reason: impl Into<String>) -> Self {
        Self::Matches { rule, to, reason: reason.into() }
    }

    /// Removes exempt tables from the affected ones; returns false if none remains.
    pub(super) fn is_done_to(&mut self, is_there: &dyn Fn(&TableName) -> bool) -> bool {
        match self {
            Self::Matches { to, .. } if !to.is_empty() => {
                to.retain(is_there);
                !to.is_empty()
            }
            _ => true,
        }
    }

    /// All names of tables and other objects in the effect.
    pub(super) fn names(&mut self) -> Vec<&mut TableName> {
        match self {
            Self::Matches { to, .. }
            | Self::Writes { to }
            | Self::Locks { to }
            | Self::DropsTypes { names: to }
            | Self::UsesEnumValue { tables: to, .. } => to.iter_mut().collect(),
            Self::Creates { name, .. }
            | Self::Drops { name }
            | Self::Detaches { name }
            | Self::RevalidatesDomain { name }
            | Self::CreatesDomain { name, .. } => vec![name],
            Self::Attaches { name, table } => vec![name, table],
            Self::Copies { from, to, .. } | Self::Renames { from, to } => vec![from, to],
            Self::MaySkipRows { table }
            | Self::Partitions { table, .. }
            | Self::IndexesParentOnly { table, .. }
            | Self::FailsOnPartitioned { table, .. }
            | Self::AddsFacts { table, .. }
            | Self::SetsNotNull { table, .. }
            | Self::MakesIndexPrimaryKey { table, .. }
            | Self::AddsUncheckedForeignKey { table }
            | Self::AddsColumn { table, .. }
            | Self::RenamesColumn { table, .. }
            | Self::DropsColumn { table, .. }
            | Self::ChangesType { table, .. }
            | Self::UpdatesAll { table, .. } => vec![table],
            Self::AccessesRows(RowAccess { reads, updates, fills, holds, replaces, empties, is_long: _ }) => {
                let reads = reads.iter_mut().chain(holds).map(|read| &mut read.table);
                let updates = updates.iter_mut().map(|(table, _)| table);
                reads.chain(updates).chain(fills).chain(replaces).chain(empties).collect()
            }
            Self::AttachesPartition { table, child, .. } => [table].into_iter().chain(child).collect(),
            Self::AddsChild { parent, child } => vec![parent, child],
            Self::AddsDomainColumn { table, kind } => vec![table, kind],
            Self::DropsSchemas { .. }
            | Self::DropsExtensions { .. }
            | Self::RemovesSchema { .. }
            | Self::RenamesSchema { .. }
            | Self::CreatesSchema { .. }
            | Self::ChangesSearchPath
            | Self::InvalidatesNames => Vec::new(),
        }
    }
}
