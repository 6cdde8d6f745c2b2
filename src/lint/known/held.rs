//! Tracks the transaction of the current statement and the locks it already holds.

use std::collections::BTreeSet;

use super::Known;
use crate::catalog::TableName;
use crate::lint::effect::{Read, RowAccess};

/// The current transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Transaction {
    number: Option<usize>,
    line: usize,
    /// The first lock that may block others.
    lock: Option<Lock>,
    /// Tables of this plan that may have received many rows.
    pub filled: BTreeSet<TableName>,
}

impl Transaction {
    /// Releases the locks. The tables stay filled.
    pub(super) fn end(&mut self) {
        self.number = None;
        self.lock = None;
    }
}

/// A lock that is held until the transaction ends.
#[derive(Debug, Clone)]
pub(in crate::lint) struct Lock {
    /// The locked table; `None` if it is not known.
    pub table: Option<TableName>,
    /// The line of the statement that takes the lock.
    pub line: usize,
}

impl Known {
    /// Starts a statement, in a transaction or on its own.
    pub(in crate::lint) fn start_statement(&mut self, transaction: Option<usize>, line: usize) {
        let is_same = transaction.is_some() && self.transaction.number == transaction;
        if !is_same {
            self.transaction.lock = None;
        }
        self.transaction.number = transaction;
        self.transaction.line = line;
    }

    /// Returns the blocking lock that is held while the next statement runs.
    pub(in crate::lint) fn lock(&self) -> Option<&Lock> {
        self.transaction.lock.as_ref()
    }

    /// Records that a statement locked these tables.
    pub(super) fn locked(&mut self, to: &[TableName]) {
        let in_use = to.iter().find(|table| !self.is_fresh(table));
        if self.transaction.lock.is_none() && (in_use.is_some() || to.is_empty()) {
            self.transaction.lock = Some(Lock { table: in_use.cloned(), line: self.transaction.line });
        }
    }

    pub(in crate::lint) fn is_long(&self, work: &RowAccess) -> bool {
        work.is_long || work.reads.iter().any(|read| self.reads_many(read))
    }

    /// Whether a table of this plan may have many rows.
    pub(in crate::lint) fn is_filled(&self, table: &TableName) -> bool {
        self.transaction.filled.contains(table)
    }

    pub(in crate::lint) fn reads_many(&self, read: &Read) -> bool {
        let Read { table, bound } = read;
        let own = if self.has_one_writer() { "sqlite_" } else { "pg_" };
        let is_catalog = table
            .schema
            .as_deref()
            .is_some_and(|schema| matches!(schema, "pg_catalog" | "information_schema"))
            || table.schema.is_none() && table.name.starts_with(own);
        let is_small = is_catalog || self.is_fresh(table) && !self.is_filled(table);
        let is_key = |key: &Vec<String>| !key.is_empty() && key.iter().all(|column| bound.contains(column));
        !is_small && !self.columns_of(table).keys.iter().any(is_key)
    }

    /// Records that a statement read and wrote rows.
    pub(super) fn worked(&mut self, work: &RowAccess) {
        if self.is_long(work) {
            self.transaction.filled.extend(work.fills.iter().cloned());
        }
    }
}
