//! How a run ends.

use super::{Error, Totals, Verified};
use crate::journal::{self, Bookkeeping, RunId, RunStatus};

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
