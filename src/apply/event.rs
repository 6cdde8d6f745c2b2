//! The events of a run.

use std::time::Duration;

use crate::address::Address;
use crate::journal::{Move, Outcome, Run};
use crate::progress::Progress;

/// An event of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The plan is approved, and its steps begin.
    Begun {
        steps: usize,
    },
    /// A step begins.
    Started {
        address: Address,
    },
    /// A long step reports how far it is.
    Counted {
        address: Address,
        progress: Progress,
    },
    /// A step ended, or is not started.
    Ended {
        address: Address,
        /// The duration; `None` if it did not start.
        elapsed: Option<Duration>,
        outcome: Outcome,
    },
    Note(Note),
}

/// A remark for a person who watches the run.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The system database does not answer yet.
    Unreachable {
        error: String,
        /// How long the run waits for it.
        patience: Duration,
    },
    /// A running step, or a look, waits for other sessions of its database.
    Waiting {
        /// The step or the store.
        address: Address,
        /// The sessions that it waits for.
        on: String,
    },
    /// The lock was lost before anything was done, and is acquired again.
    LockLost { reason: String },
    /// The former texts of documents cannot be read, and the plan is shown without them.
    TextsUnread { address: Address, error: String },
    /// The last run was killed before its end.
    Crashed(Box<Run>),
    /// The bookkeeping has recorded a new name.
    Renamed(Move),
    /// The run was interrupted, and waits for the running steps to end.
    Stopping,
}
