//! Executes one run, from taking the lock to the final observation. Walks the graph of a plan with
//! bounded parallelism, emits progress events, and stops on request. Does not decide what to
//! change.

mod baseline;
mod cancel;
mod decide;
mod end;
mod event;
mod groups;
mod locked;
mod queue;
mod record;
mod rehearse;
mod rounds;
mod run;
mod schema;
mod step;
mod totals;
mod verified;
mod walk;

pub use baseline::Baselined;
pub use cancel::{Cancel, Grace};
pub use decide::{Answer, Frontend, Revision};
pub use end::{End, Error, Finished};
pub use event::{Event, Note};
pub use locked::{Accepted, Locked};
pub use rehearse::rehearse;
pub use run::{Command, Request, run};
pub use totals::Totals;
pub use verified::Verified;
