//! The observed target. A failure to read it is an observation too.

use serde::{Deserialize, Serialize};

use super::Access;
use crate::catalog::Snapshot;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    Readable(Seen),
    Failed {
        /// The path of the file.
        place: String,
        failure: Failure,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The path of the file.
    pub place: String,
    /// The complete schema, not filtered by `include` and `exclude`.
    pub snapshot: Snapshot,
    /// Whether this account could write.
    pub access: Access,
    /// The version of the database library: `SQLite 3.50.4`.
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Variables in its URL are not set.
    Unresolved {
        names: Vec<String>,
    },
    Missing,
    /// The path is a folder or another special file.
    NotAFile,
    Empty,
    /// The file has another format.
    NotSqlite,
    Corrupt {
        detail: String,
    },
    /// Its write-ahead log has changes that cannot be read without creating files beside it.
    NeedsCheckpoint,
    /// A write was interrupted, and its journal has to be rolled back before reading.
    NeedsRollback,
    /// The file changed during every attempt to read it, or was locked.
    Busy,
    /// The system or the database denies access.
    Unreadable {
        detail: String,
    },
}

impl Failure {
    /// What failed and what to do, for a target at a path.
    pub fn message(&self, place: &str) -> String {
        match self {
            Self::Unresolved { names } => {
                format!("its address is not known: set {}", names.join(", "))
            }
            Self::Missing => format!(
                "there is no file {place}: correct the url, or put the database there (it is never made here)"
            ),
            Self::NotAFile => format!("{place} is not a file: the url must name an SQLite database file"),
            Self::Empty => format!(
                "{place} is empty: a copy or an export that was not finished? put the whole database there"
            ),
            Self::NotSqlite => format!(
                "{place} is not an SQLite database (or an encrypted one): correct the url, or export it to SQLite"
            ),
            Self::Corrupt { detail } => format!(
                "{place} is corrupt ({detail}): restore it from a backup, or save what is left with `sqlite3 {place} .recover`"
            ),
            Self::NeedsCheckpoint => format!(
                "the write-ahead log of {place} holds changes, and nobody has it open: reading it would leave files \
                 beside it; run `sqlite3 {place} 'PRAGMA wal_checkpoint(TRUNCATE)'` as its owner, then plan again"
            ),
            Self::NeedsRollback => format!(
                "a write to {place} was interrupted and must be rolled back first: open it once as its owner, \
                 `sqlite3 {place} 'PRAGMA user_version'`, then plan again"
            ),
            Self::Busy => {
                format!(
                    "{place} was being written each time that it was read: try again when its writer pauses"
                )
            }
            Self::Unreadable { detail } => {
                format!("{place} cannot be read ({detail}): grant read access to the file and its folder")
            }
        }
    }
}
