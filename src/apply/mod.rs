//! The apply room: walks the graph of a plan with bounded parallelism, says what happens as events,
//! and stops when it is told to. Decides nothing about what to change.

mod accept;
mod cancel;
mod clients;
mod groups;
mod look;
mod queue;
mod record;
mod rehearse;
mod schema;
mod session;
mod walk;

use std::time::Duration;

pub use accept::{Accepted, accept_schema};
pub use cancel::{Cancel, Grace};
pub use clients::{Clients, ObserveError, system_url};
pub use look::observe_within;
pub use record::Recorder;
pub use rehearse::rehearse;
pub use session::{Approval, KnownSchema, LookError, Seen, Session, Verified};
pub use walk::{Execution, StepError, Walked, walk};

use crate::address::Address;

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
    /// A step is done.
    Finished {
        address: Address,
        /// How long it took.
        elapsed: Duration,
    },
    /// A step failed.
    Failed {
        address: Address,
        /// How long it took.
        elapsed: Duration,
        /// Why, with every cause, on one line or more.
        error: String,
    },
    /// A step is not started.
    Blocked { address: Address, reason: String },
    /// The run was asked to stop, and waits for the steps that run.
    Stopping,
}
