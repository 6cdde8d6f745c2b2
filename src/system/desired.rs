//! The desired system database and its parts. Pure.

use std::collections::BTreeSet;

use crate::address::{Address, Kind};
use crate::catalog::{Snapshot, TableName};
use crate::journal::password_version::Passwords;
use crate::location::Location;
use crate::sql::Dialect;
use crate::stack::{Migration, Stack};
use crate::{migrations, roles, rows};

#[derive(Debug, Clone)]
pub struct Desired {
    pub(super) dialect: Dialect,
    pub(super) at: Location,
    pub(super) endpoint_at: Location,
    pub(super) create_database: bool,
    /// Empty on SQLite, which has no extensions.
    pub(super) extensions: Vec<String>,
    pub migrations: migrations::Desired,
    pub(super) roles: roles::Desired,
    pub(crate) rows: rows::Desired,
    pub(super) passwords: Passwords,
}

impl Desired {
    /// Selects the parts of the stack for a dialect.
    pub fn new(stack: &Stack, dialect: Dialect) -> Self {
        let system = &stack.system;
        let extensions = match dialect {
            Dialect::Postgres => system.extensions.clone(),
            Dialect::Sqlite => Vec::new(),
        };
        Self {
            dialect,
            at: system.at.clone(),
            endpoint_at: system.endpoint.at.clone(),
            create_database: system.create_database,
            extensions,
            migrations: migrations::Desired::new(system, dialect),
            roles: roles::Desired::new(system, dialect),
            rows: rows::Desired::new(system),
            passwords: Passwords::default(),
        }
    }

    /// Sets whether the bookkeeping has recorded a complete run.
    #[must_use]
    pub fn established(mut self, is_established: bool) -> Self {
        self.passwords.is_established = is_established;
        self
    }

    /// Sets the steps that an earlier run of the same plan completed, so that the plan resumes
    /// after them.
    #[must_use]
    pub fn going_on(mut self, done: &BTreeSet<Address>) -> Self {
        self.migrations.resume_after(done);
        self
    }

    /// Sets the steps that this run completed, for the plan that verifies it.
    #[must_use]
    pub fn after_steps(mut self, completed: &BTreeSet<Address>) -> Self {
        self.passwords.completed.clone_from(completed);
        self
    }

    /// Sets the schema that was recorded after the migrations ran.
    #[must_use]
    pub fn knowing(mut self, recorded: Option<&Snapshot>) -> Self {
        self.migrations.use_recorded_schema(recorded);
        self
    }

    /// The numbered files, sorted by version.
    pub fn migrations(&self) -> &[Migration] {
        self.migrations.files()
    }

    pub(super) fn extension_addresses(&self) -> Vec<Address> {
        self.extensions.iter().map(|name| Kind::Extension.named(name)).collect()
    }

    /// Whether a migration creates the table or the spec writes rows to it.
    pub(super) fn declares(&self, table: &TableName) -> bool {
        self.migrations.makes(table) || self.rows.writes_to(table)
    }
}
