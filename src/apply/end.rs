//! How a run ends, and why it could not go on.

use super::{Totals, Verified};
use crate::journal::{self, Bookkeeping, RunId, RunStatus, lock};
use crate::plan::{self, Anothers, SavedError};
use crate::stores::ObserveError;

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// It was interrupted before its first step.
    Interrupted,
    /// It was told to stop at once while it recorded new names.
    StoppedAtOnce,
    /// Something in the plan may not run. It was shown.
    Refused {
        /// Whether the database was made before that.
        has_made_database: bool,
    },
    /// There was nothing to do.
    Idle {
        totals: Totals,
        /// Whether a check fails, or something is blocked.
        is_incomplete: bool,
        /// What is known of what earlier runs did; `None` without a database.
        bookkeeping: Option<Bookkeeping>,
    },
    /// It came to its steps.
    Finished(Box<Finished>),
}

/// A run that came to its steps.
#[derive(Debug)]
pub struct Finished {
    pub run: RunId,
    pub status: RunStatus,
    pub totals: Totals,
    /// What the last look found.
    pub verified: Verified,
    /// Whether something may be different from before.
    pub has_changed: bool,
    /// Why it had to stop at once, where no person asked for that.
    pub stopped: Option<String>,
    /// What ended the run before its last look, or went wrong after it.
    pub failure: Option<Error>,
    /// Why how it ended could not be recorded.
    pub unrecorded: Option<journal::Error>,
}

/// Why a run, or another command that writes the bookkeeping, could not go on.
#[derive(Debug)]
pub enum Error {
    /// The stores could not be observed, or the run not be recorded.
    Observe(ObserveError),
    /// What is there does not fit the spec.
    Plan(plan::Failure),
    /// The lock could not be had, or was lost while something was written.
    Lock(lock::Error),
    /// The lock was lost before anything was written.
    LockLost(lock::Error),
    /// The saved plan cannot be used.
    Saved(SavedError),
    /// The database is another stack's, or production's.
    Anothers(Anothers),
    /// There is nobody to ask.
    NoTerminal,
    /// The plan was not approved.
    NotApproved {
        /// Whether the database was made before that.
        has_made_database: bool,
    },
    /// New names were recorded, and the run that did so was not.
    Unrecorded(journal::Error),
}

impl<E: Into<ObserveError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Observe(error.into())
    }
}

impl From<lock::Error> for Error {
    fn from(error: lock::Error) -> Self {
        Self::Lock(error)
    }
}
