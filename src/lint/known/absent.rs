//! Tracks what is known not to exist: names looked up without a result, dropped objects, and
//! objects that this plan created first. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Known, Unlisted};
use crate::catalog::TableName;

/// Names that migrations use and that do not exist in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Tables, views, sequences and indexes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tables: BTreeSet<TableName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub schemas: BTreeSet<String>,
}

impl Missing {
    /// Whether nothing is known to be missing.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty()
    }
}

/// What does not exist before the next statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Absent {
    missing: Missing,
    /// The installed extensions, if they were looked up.
    installed: Option<BTreeSet<String>>,
    /// Whether a table that no earlier file created counts as new.
    assumes_new: bool,
    /// Existing tables that an earlier, interrupted run of this plan may have created.
    presumed: BTreeSet<TableName>,
    /// Tables that counted as new when they were created.
    assumed: BTreeSet<TableName>,
    /// Schemas that this plan created.
    schemas: BTreeSet<String>,
}

impl Absent {
    pub(super) fn schemas_made(&self, name: &TableName) -> bool {
        name.schema.as_ref().is_some_and(|schema| self.schemas.contains(schema))
    }

    pub(super) fn removed(&mut self, name: &TableName) {
        self.missing.tables.insert(name.clone());
        self.assumed.remove(name);
    }

    pub(super) fn made(&mut self, name: &TableName, if_missing: bool) {
        let was_missing = self.missing.tables.remove(name);
        if if_missing && !was_missing {
            self.assumed.insert(name.clone());
        }
    }

    pub(super) fn mark_all_used(&mut self) {
        self.schemas.clear();
        self.assumed.clear();
    }
}

impl Known {
    /// Starts without a database, for files alone: a `CREATE TABLE IF NOT EXISTS` of a table that
    /// no earlier file created counts as the first one.
    pub fn without_database() -> Self {
        Self { absent: Absent { assumes_new: true, ..Absent::default() }, ..Self::default() }
    }

    /// Adds the results of lookups in the database. Tables in `presumed` may be older than this
    /// plan.
    #[must_use]
    pub fn with_lookups(
        mut self,
        missing: &Missing,
        presumed: impl IntoIterator<Item = TableName>,
        installed: impl IntoIterator<Item = String>,
    ) -> Self {
        self.absent.missing = missing.clone();
        self.absent.presumed = presumed.into_iter().collect();
        self.absent.installed = Some(installed.into_iter().collect());
        self
    }

    /// Whether a `CREATE TABLE IF NOT EXISTS` surely creates the table, or is assumed to.
    pub(super) fn is_absent(&self, name: &TableName) -> bool {
        let Absent { missing, assumes_new, presumed, .. } = &self.absent;
        *assumes_new || missing.tables.contains(name) || presumed.contains(name)
    }

    /// Whether a table is known not to exist.
    pub(in crate::lint) fn is_missing(&self, name: &TableName) -> bool {
        let is_there = self.existing.contains(name) || self.fresh.contains(name);
        let is_only_database = self.unlisted == Unlisted::Nothing && name.schema.is_none();
        !is_there && (is_only_database || self.absent.missing.tables.contains(name))
    }

    /// Whether a table counts as new but may be older and have rows.
    pub(in crate::lint) fn is_assumed(&self, name: &TableName) -> bool {
        self.absent.assumed.contains(name)
    }

    /// Whether everything in a schema is new, or no schema of the name exists.
    pub(in crate::lint) fn is_schema_free(&self, name: &str, if_exists: bool) -> bool {
        self.unlisted == Unlisted::Bare
            || self.absent.schemas.contains(name)
            || if_exists && self.absent.missing.schemas.contains(name)
    }

    /// Whether an extension is known not to be installed.
    pub(in crate::lint) fn lacks_extension(&self, name: &str) -> bool {
        self.absent.installed.as_ref().is_some_and(|installed| !installed.contains(name))
    }

    pub(super) fn made_schema(&mut self, name: &str, if_missing: bool) {
        let was_missing = self.absent.missing.schemas.remove(name);
        if (!if_missing || was_missing) && !self.takes_back {
            self.absent.schemas.insert(name.to_owned());
        }
    }

    pub(super) fn removed_schema(&mut self, name: &str) {
        self.absent.schemas.remove(name);
        self.absent.missing.schemas.insert(name.to_owned());
        let is_in = |table: &TableName| table.schema.as_deref() == Some(name);
        let gone: Vec<_> =
            self.existing.iter().chain(&self.fresh).filter(|table| is_in(table)).cloned().collect();
        for table in &gone {
            self.removed(table);
        }
    }
}
