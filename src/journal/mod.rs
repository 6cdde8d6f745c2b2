//! The bookkeeping in the system database: runs, their steps, the inventory, schema snapshots and the lock.
//! It holds only facts that cannot be observed in the stores.

mod identity;
pub mod inventory;
pub mod lock;
mod meta;
mod moves;
pub(crate) mod password_version;
mod places;
mod runs;
mod snapshots;
mod store;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use identity::{Identity, identity};
pub use inventory::{Entry, Inventory, Listed};
pub use moves::{Move, pending_moves, rename};
pub use places::{Group, LocatedRows, Place, RowLocations};
pub use runs::{
    Outcome, Run, RunStatus, StepRecord, begin, finish, history, now, record_steps, runs_of_plan, steps,
};
pub use snapshots::{mark_schema_changing as expect_schema_change, record as record_snapshot};
pub use store::{Bookkeeping, FORMAT, Observed, ensure, exists, observe, record_flags, record_spec};

use crate::address;
use crate::sql;

/// The id of a run: a UUID of version 7, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    /// Wraps an id from the journal or from user input.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

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

/// Errors of the bookkeeping.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// A statement failed in the system database.
    #[error("cannot use the bookkeeping in the system database: {0}")]
    #[diagnostic(code(trueup::journal::database), help("{}", help_of(.0)))]
    Database(#[from] sql::Error),
    /// There was no time to write, because the run had to stop at once.
    #[error("the end of the run could not be recorded: the system database is busy")]
    #[diagnostic(code(trueup::journal::busy), help("the next run goes on from what it finds"))]
    Busy,
    /// A newer trueup created the tables.
    #[error("the bookkeeping has format {found}, and this trueup reads up to {FORMAT}")]
    #[diagnostic(
        code(trueup::journal::too_new),
        help("use the version of trueup that applied last, or a newer one")
    )]
    TooNew { found: i64 },
    /// An address has a kind that this version does not have.
    #[error("in the bookkeeping, {0}")]
    #[diagnostic(
        code(trueup::journal::unknown_address),
        help("use the version of trueup that applied last, or a newer one")
    )]
    UnknownAddress(#[from] address::Unknown),
    /// A row cannot be parsed.
    #[error("the bookkeeping holds something unreadable: {what}")]
    #[diagnostic(
        code(trueup::journal::unreadable),
        help("the bookkeeping can be dropped: history and take-backs are lost, nothing else")
    )]
    Unreadable {
        /// Which row, and the reason.
        what: String,
    },
}

impl Error {
    /// Whether the connection was lost before the response.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_lost())
    }
}

/// The help text, chosen by error code.
fn help_of(error: &sql::Error) -> &'static str {
    if let Some(help) = error.help_of_connection() {
        return help;
    }
    match error.code().as_deref() {
        // Insufficient privilege.
        Some("42501") => {
            "it is the schema `trueup`: whoever applies first needs CREATE on the database \
             (GRANT CREATE ON DATABASE … TO …), and any other account USAGE on that schema and SELECT, INSERT, \
             UPDATE and DELETE on its tables; to plan, SELECT is enough"
        }
        // Read-only transaction.
        Some("25006") => {
            "the account, the database or the server only reads: `default_transaction_read_only` is on, or it is \
             a standby"
        }
        _ => error
            .help()
            .unwrap_or("it is the schema `trueup` of PostgreSQL, or the tables `trueup_*` of SQLite"),
    }
}

/// The owner under which the schema of the system database is recorded.
pub const SYSTEM_SCHEMA: &str = "system";

pub type Result<T> = std::result::Result<T, Error>;

/// The name of a bookkeeping table in a dialect: `trueup.runs` or `trueup_runs`.
fn table(dialect: sql::Dialect, name: &str) -> String {
    match dialect {
        sql::Dialect::Postgres => format!("trueup.{name}"),
        sql::Dialect::Sqlite => format!("trueup_{name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error as IoError, ErrorKind};

    use super::*;

    #[test]
    fn help_for_a_server_that_does_not_answer_is_about_the_server() {
        let connect = |cause| sql::Error::Connect { address: "h:1/d".to_owned(), cause: Box::new(cause) };
        let refused = connect(sqlx::Error::Io(IoError::from(ErrorKind::ConnectionRefused)));
        assert_eq!(help_of(&refused), sql::HELP_OF_NO_CONNECTION);
        let lost = connect(sqlx::Error::Io(IoError::from(ErrorKind::ConnectionReset)));
        assert_eq!(help_of(&lost), sql::HELP_OF_LOST);
        let other = sql::Error::statement("SELECT 1", sqlx::Error::RowNotFound);
        assert!(help_of(&other).contains("`trueup_*`"));
    }
}
