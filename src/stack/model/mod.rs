//! The validated stack: everything that a spec and the files it names say, defaults filled in,
//! references resolved. It holds no mistakes: `stack::load` gives this or errors, never both.

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
    /// The file that was asked for, as the user wrote its path.
    pub file: PathBuf,
    /// `flags:`, with the defaults of the built-in three.
    pub flags: Flags,
    pub system: System,
    /// `targets:`, those that are off too (see [`Target::on`]).
    pub targets: BTreeMap<String, Target>,
    pub vector: Option<Vector>,
    pub cache: Option<Cache>,
    pub policies: BTreeMap<String, Denies>,
    /// Everything that has a name of its own, whether it is on or off: what can be protected.
    pub declared: BTreeSet<Address>,
    /// Of these, what has `protect: true`.
    pub protected: BTreeSet<Address>,
    /// `moved:`, new addresses by old ones.
    pub moved: BTreeMap<Address, Address>,
    /// Digest of the merged spec, placeholders in place of secrets, and of every file it names.
    pub digest: Digest,
    /// Remarks: literal secrets, a URL of a target that is off, a dropped policy.
    pub warnings: Vec<Warning>,
}

impl Stack {
    /// Whether the environment is named as production.
    pub fn is_production(&self) -> bool {
        is_production(&self.environment)
    }

    /// Every secret of a managed object whose variable is unset: a note for `plan` and `validate`,
    /// an error for `apply`.
    pub fn unset_secrets(&self) -> Vec<&Secret> {
        let roles = self.system.roles.values().filter_map(|role| role.password.as_ref());
        let users = self.system.users.values().map(|user| &user.password);
        roles.chain(users).filter(|secret| secret.expose().is_err()).collect()
    }

    /// Where addresses and tokens of servers stand that lack variables, with these. There are some
    /// only in a stack that was read to contact nothing.
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

/// A remark on a spec that is valid.
#[derive(Debug, Clone)]
pub struct Warning {
    /// What is remarkable.
    pub message: String,
    pub help: Option<String>,
    pub at: Option<Location>,
}

/// The flags of a stack: the three built-in ones and any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub BTreeMap<String, bool>);

impl Flags {
    /// The value of a flag; one that nobody declared is off.
    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// Whether the condition holds; no condition always does.
    pub fn allow(&self, when: Option<&When>) -> bool {
        match when {
            None => true,
            Some(When { flag, negated }) => self.is_on(flag) != *negated,
        }
    }

    /// Whether the vector store is to be trained.
    pub fn auto_train_vector(&self) -> bool {
        self.is_on("auto_train_vector")
    }
}

/// `when: flag` or `when: not flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The flag's name; it is declared.
    pub flag: String,
    /// `not`.
    pub negated: bool,
}

/// One of `policies:`: what a plan may not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denies {
    /// `deny:` every change at this risk.
    Risk(Risk),
    /// `deny_flag:` the flag, and every change that it switches on.
    Flag(String),
}
