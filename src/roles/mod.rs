//! Roles of the server and what they may do in this database. The spec owns what its roles hold:
//! what is granted beyond it is revoked. Never drops a role, and no password leaves this machine.

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
    /// Empty on SQLite, which has none.
    roles: BTreeMap<String, Role>,
}

impl Desired {
    /// What the spec wants of a database that speaks a dialect.
    pub fn new(system: &stack::System, dialect: Dialect) -> Self {
        let roles = match dialect {
            Dialect::Postgres => system.roles.clone(),
            Dialect::Sqlite => BTreeMap::new(),
        };
        Self { roles }
    }

    /// Whether a plan needs to know of roles.
    pub(crate) fn are_asked(&self, inventory: &Inventory) -> bool {
        are_asked(&self.roles, inventory.0.keys())
    }
}

/// What of an observed database concerns roles.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Whether there is a database.
    pub exists: bool,
    /// Whether it was ever migrated.
    pub is_migrated: bool,
    /// The roles; `None` where they were not looked at.
    pub roles: Option<&'a Roles>,
}

fn address(name: &str) -> Address {
    Kind::Role.named(name)
}
