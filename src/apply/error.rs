//! The errors that stop a run.

use crate::journal::{self, lock};
use crate::plan::{ForeignDatabase, PlanError, SavedError};
use crate::stores::ObserveError;

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
