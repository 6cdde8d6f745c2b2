//! The journal room: what cannot be observed, kept in the system database: runs, their steps, the
//! inventory of what this tool put where, schema snapshots, the lock. Never believed where a store
//! can be asked.

pub mod inventory;

pub use inventory::{Entry, Inventory};

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of one run of `apply`: a UUID of version 7, so that runs sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new run.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
