//! The apply room: walks the graph of a plan with bounded parallelism, says what happens as events,
//! and stops when it is told to. Decides nothing about what to change.

mod accept;
mod cancel;
mod groups;
mod queue;
mod record;
mod rehearse;
mod schema;
mod session;
mod step;
mod walk;
mod walked;

use std::time::Duration;

pub use accept::{Accepted, accept_schema};
pub use cancel::{Cancel, Grace};
pub use record::Recorder;
pub use rehearse::rehearse;
pub use session::{Approval, KnownSchema, LookError, Seen, Session, Verified};
pub use step::StepError;
pub use walk::{Execution, walk};
pub use walked::{Ended, Walked};

use crate::address::Address;
use crate::journal::Outcome;

/// What happens during a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step begins.
    Started { address: Address },
    /// A step that runs, or a look, waits for other sessions of its database.
    Waiting {
        /// Which step, or which store.
        address: Address,
        /// For whom.
        on: String,
    },
    /// A step ended, or is not started.
    Ended {
        address: Address,
        /// How long it took; `None` where it did not start.
        elapsed: Option<Duration>,
        outcome: Outcome,
    },
    /// The run was asked to stop, and waits for the steps that run.
    Stopping,
}
