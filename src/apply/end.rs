//! How a run ends, and the errors that stop it.

use super::{Totals, Verified};
use crate::journal::{self, Bookkeeping, RunId, RunStatus, lock};
use crate::plan::{ForeignDatabase, PlanError, SavedError};
use crate::stores::ObserveError;

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// Interrupted before its first step.
    Interrupted,
    /// Interrupted twice while it recorded new names.
    StoppedAtOnce,
    /// Something in the plan may not run. The frontend has shown what and why.
    Refused {
        /// Whether the run created the database before.
        has_made_database: bool,
    },
    /// Nothing to do.
    Idle {
        totals: Totals,
        /// Whether a check fails, or a change is blocked.
        is_incomplete: bool,
        /// `None` if there is no database.
        bookkeeping: Option<Bookkeeping>,
    },
    /// It executed steps.
    Finished(Box<Finished>),
}

/// A run that executed steps.
#[derive(Debug)]
pub struct Finished {
    pub run: RunId,
    pub status: RunStatus,
    pub totals: Totals,
    /// The result of the final observation.
    pub verified: Verified,
    /// Whether the run may have changed anything.
    pub has_changed: bool,
    /// Why it stopped at once, unless a person asked for that.
    pub stopped: Option<String>,
    /// The error that ended the run before its last look, or that occurred after it.
    pub failure: Option<Error>,
    /// Why the end of the run could not be recorded.
    pub unrecorded: Option<journal::Error>,
}

/// Why a run, or another command that writes the bookkeeping, was given up.
#[derive(Debug)]
pub enum Error {
    /// The stores could not be observed, or the run could not be recorded.
    Observe(ObserveError),
    /// The observed state does not allow the spec.
    Plan(PlanError),
    /// The lock could not be taken, or was lost during a write.
    Lock(lock::Error),
    /// The lock was lost before anything was written.
    LockLost(lock::Error),
    /// The saved plan cannot be used.
    Saved(SavedError),
    /// The database belongs to another stack, or to production.
    ForeignDatabase(ForeignDatabase),
    /// There is no terminal to ask on.
    NoTerminal,
    /// The plan was not approved.
    NotApproved {
        /// Whether the run created the database before.
        has_made_database: bool,
    },
    /// New names were recorded, but the run that did so was not.
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
