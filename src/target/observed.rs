//! What is seen of a target: a fact of the world, also when nothing can be seen. Reads only.

use serde::{Deserialize, Serialize};

use super::{Access, Desired, sqlite};
use crate::catalog::Snapshot;
use crate::stack::TargetUrl;

/// What was observed of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// It could be read.
    Readable(Seen),
    /// It could not.
    Failed {
        /// Where it is looked for: the path of a file.
        place: String,
        failure: Failure,
    },
}

/// A target that could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Where it is: the path of a file.
    pub place: String,
    /// The whole schema, whatever `include` and `exclude` say.
    pub snapshot: Snapshot,
    /// Whether this credential could write.
    pub access: Access,
    /// What reads it: `SQLite 3.50.4`.
    pub version: String,
}

/// Why a target cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Variables of its address are not set.
    Unresolved { names: Vec<String> },
    /// There is no file.
    Missing,
    /// It is a folder, or another thing that is no file.
    NotAFile,
    /// The file has no bytes.
    Empty,
    /// The file is something else.
    NotSqlite,
    /// The file is damaged.
    Corrupt { detail: String },
    /// Its write-ahead log holds changes that cannot be read without leaving files beside it.
    NeedsCheckpoint,
    /// A writer was interrupted, and its journal must be rolled back before anyone reads.
    NeedsRollback,
    /// A writer changed it each time that it was read, or held it locked.
    Busy,
    /// The system or the database refuses.
    Unreadable { detail: String },
}

impl Failure {
    /// What is wrong and what to do, for a target at this place.
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

/// Looks at one target. Never fails: a target that cannot be read is a fact of the world.
pub async fn observe(desired: &Desired) -> Observed {
    let seen = match &desired.endpoint.to {
        Err(unset) => Err(Failure::Unresolved { names: unset.names.clone() }),
        Ok(TargetUrl::Sqlite(path)) => sqlite::read(path).await,
    };
    seen.map_or_else(|failure| Observed::Failed { place: desired.place(), failure }, Observed::Readable)
}
