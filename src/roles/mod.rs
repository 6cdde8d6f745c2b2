//! Roles of the server and their privileges in this database. The spec owns the privileges of its roles:
//! others are revoked. Never drops a role; passwords are sent only as verifiers.

mod apply;
mod defaults;
mod diff;
mod error;
mod globs;
mod observe;
mod rights;
mod scram;
mod text;
mod waiting;

use std::collections::BTreeMap;

use crate::address::{Address, Kind};
use crate::journal::Inventory;
use crate::sql::Dialect;
use crate::stack::{self, Role};

pub use apply::RoleChange;
pub use error::{Error, Result};
pub use observe::{Roles, are_asked};

pub(crate) use apply::apply;
pub(crate) use defaults::come_first;
pub(crate) use diff::diff;
pub(crate) use observe::observe;

#[derive(Debug, Clone)]
pub struct Desired {
    /// Empty on SQLite, which has no roles.
    roles: BTreeMap<String, Role>,
}

impl Desired {
    /// Selects the roles for a dialect.
    pub fn new(system: &stack::System, dialect: Dialect) -> Self {
        let roles = match dialect {
            Dialect::Postgres => system.roles.clone(),
            Dialect::Sqlite => BTreeMap::new(),
        };
        Self { roles }
    }

    /// Whether a plan needs to observe roles.
    pub(crate) fn are_asked(&self, inventory: &Inventory) -> bool {
        are_asked(&self.roles, inventory.0.keys())
    }
}

/// The parts of an observed database that roles depend on.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// False where the database does not exist yet.
    pub exists: bool,
    /// Whether the history table exists.
    pub is_migrated: bool,
    /// `None` where roles were not observed.
    pub roles: Option<&'a Roles>,
}

fn address(name: &str) -> Address {
    Kind::Role.named(name)
}
