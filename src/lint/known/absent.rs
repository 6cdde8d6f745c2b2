//! What is known to be missing: what somebody looked for in vain, what was taken away, and what this
//! plan made the first of its name. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Known, Rest};
use crate::catalog::TableName;

/// Names that migrations use and that nothing has in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Tables, views and sequences.
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

/// What is missing before the next statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Absent {
    missing: Missing,
    /// The extensions that are installed, where somebody has looked.
    installed: Option<BTreeSet<String>>,
    /// Whether a table that nothing made before is taken for missing.
    assumes_new: bool,
    /// Tables that are there and may have been missing before an earlier run of this plan.
    presumed: BTreeSet<TableName>,
    /// Tables that were taken for missing and made.
    assumed: BTreeSet<TableName>,
    /// Schemas that this plan made.
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

    pub(super) fn settle(&mut self) {
        self.schemas.clear();
        self.assumed.clear();
    }
}

impl Known {
    /// Files that are read without a database: a table that none of them made before is made the first
    /// time.
    pub fn of_files() -> Self {
        Self { absent: Absent { assumes_new: true, ..Absent::default() }, ..Self::default() }
    }

    /// The same database, with what somebody looked for. `presumed` may be older than this plan or not.
    #[must_use]
    pub fn looked_at(
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

    /// Whether a table is surely made by the `CREATE TABLE IF NOT EXISTS` at hand, or taken to be.
    pub(super) fn is_absent(&self, name: &TableName) -> bool {
        let Absent { missing, assumes_new, presumed, .. } = &self.absent;
        *assumes_new || missing.tables.contains(name) || presumed.contains(name)
    }

    /// Whether there is surely no such table.
    pub(in crate::lint) fn is_missing(&self, name: &TableName) -> bool {
        let is_there = self.existing.contains(name) || self.fresh.contains(name);
        let is_only_database = self.rest == Rest::Nothing && name.schema.is_none();
        !is_there && (is_only_database || self.absent.missing.tables.contains(name))
    }

    /// Whether a table is taken for new that may be older, and may have rows.
    pub(in crate::lint) fn is_assumed(&self, name: &TableName) -> bool {
        self.absent.assumed.contains(name)
    }

    /// Whether everything in a schema is new, or there is none of the name.
    pub(in crate::lint) fn is_schema_free(&self, name: &str, if_exists: bool) -> bool {
        self.rest == Rest::Bare
            || self.absent.schemas.contains(name)
            || if_exists && self.absent.missing.schemas.contains(name)
    }

    /// Whether an extension is surely not installed.
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
