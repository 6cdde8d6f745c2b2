//! The validated stack: the content of a spec and of the files it names, with defaults filled in
//! and references resolved. `stack::load` returns either a stack without errors, or errors.

mod migrations;
mod rows;
mod stores;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Secret};
use crate::address::Address;
use crate::change::Risk;
use crate::digest::Digest;
use crate::location::Location;
use crate::redact::Redactor;

pub use migrations::*;
pub use rows::*;
pub use stores::*;
pub use system::*;

/// One environment of one stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// `stack:`
    pub name: String,
    pub environment: String,
    /// The path of the spec file as the user wrote it.
    pub file: PathBuf,
    /// `flags:`, with the defaults of the three built-in flags.
    pub flags: Flags,
    pub system: System,
    /// `targets:`, including disabled ones (see [`Target::on`]).
    pub targets: BTreeMap<String, Target>,
    pub vector: Option<Vector>,
    pub cache: Option<Cache>,
    pub policies: BTreeMap<String, Denies>,
    /// Every object with a name of its own, enabled or not: the objects that can be protected.
    pub declared: BTreeSet<Address>,
    /// The declared objects with `protect: true`.
    pub protected: BTreeSet<Address>,
    /// `moved:`: new addresses by old ones.
    pub moved: BTreeMap<Address, Address>,
    /// Digest of the merged spec, with placeholders in place of secrets, and of every file it
    /// names.
    pub digest: Digest,
    /// Warnings, such as literal secrets, the URL of a disabled target or a dropped policy.
    pub warnings: Vec<Warning>,
    /// All secrets whose value is known.
    pub secrets: Redactor,
}

impl Stack {
    /// Whether the environment is production by its name.
    pub fn is_production(&self) -> bool {
        is_production(&self.environment)
    }

    /// Returns every secret of a managed object whose variable is unset: a note for `plan` and
    /// `validate`, an error for `apply`.
    pub fn unset_secrets(&self) -> Vec<&Secret> {
        let roles = self.system.roles.values().filter_map(|role| role.password.as_ref());
        let users = self.system.users.values().map(|user| &user.password);
        roles.chain(users).filter(|secret| secret.expose().is_err()).collect()
    }

    /// Returns the locations of server addresses and tokens whose variables are unset, with the
    /// variables. There are none unless the stack was read for offline use.
    pub fn unset_addresses(&self) -> Vec<(&Location, &[String])> {
        fn lacking<T>(endpoint: &Endpoint<T>) -> Option<(&Location, &[String])> {
            endpoint.to.as_ref().err().map(|unset| (&endpoint.at, unset.names.as_slice()))
        }
        let targets = self.targets.values().filter_map(|target| lacking(&target.endpoint));
        let vector = self.vector.as_ref().and_then(|vector| lacking(&vector.endpoint));
        let token = self.vector.as_ref().and_then(|vector| vector.token.as_ref());
        let token = token.and_then(|token| Some((&token.at, token.expose().err()?.names.as_slice())));
        let cache = self.cache.as_ref().and_then(|cache| lacking(&cache.endpoint));
        lacking(&self.system.endpoint)
            .into_iter()
            .chain(targets)
            .chain(vector)
            .chain(token)
            .chain(cache)
            .collect()
    }
}

/// Whether an environment of this name is production: `prod` or `production`.
pub fn is_production(environment: &str) -> bool {
    matches!(environment, "prod" | "production")
}

/// A warning about a valid spec.
#[derive(Debug, Clone)]
pub struct Warning {
    pub message: String,
    pub help: Option<String>,
    pub at: Option<Location>,
}

/// The flags of a stack, built-in and declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub BTreeMap<String, bool>);

impl Flags {
    /// Returns the value of a flag; an undeclared flag is off.
    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// Whether the condition holds. Without a condition the result is true.
    pub fn allow(&self, when: Option<&When>) -> bool {
        match when {
            None => true,
            Some(When { flag, negated }) => self.is_on(flag) != *negated,
        }
    }

    /// Whether the vector store is trained as part of `apply`.
    pub fn auto_train_vector(&self) -> bool {
        self.is_on("auto_train_vector")
    }
}

/// `when: flag` or `when: not flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The flag's name, which is declared.
    pub flag: String,
    /// Whether the condition is `not flag`.
    pub negated: bool,
}

/// One of `policies:`: what a plan must not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denies {
    /// `deny:` rejects every change with this risk.
    Risk(Risk),
    /// `deny_flag:` rejects the flag and every change that it enables.
    Flag(String),
}
