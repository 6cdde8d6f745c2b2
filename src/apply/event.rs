//! What happens during a run, for whoever shows it.

use std::time::Duration;

use crate::address::Address;
use crate::journal::{Move, Outcome, Run};

/// What happens during a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The plan is approved, and its steps begin.
    Begun {
        /// How many.
        steps: usize,
    },
    /// A step begins.
    Started { address: Address },
    /// A step ended, or is not started.
    Ended {
        address: Address,
        /// How long it took; `None` where it did not start.
        elapsed: Option<Duration>,
        outcome: Outcome,
    },
    /// Something that a person who watches should know.
    Note(Note),
}

/// What a person who watches a run should know besides its steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The system database does not answer yet.
    Unreachable {
        error: String,
        /// How long it is waited for.
        patience: Duration,
    },
    /// A step that runs, or a look, waits for other sessions of its database.
    Waiting {
        /// Which step, or which store.
        address: Address,
        /// For whom.
        on: String,
    },
    /// The lock was lost before anything was done, and is taken again.
    LockLost { reason: String },
    /// The last run left off in the middle.
    Died(Box<Run>),
    /// The bookkeeping has a new name for something.
    Renamed(Move),
    /// The run was asked to stop, and waits for the steps that run.
    Stopping,
}
