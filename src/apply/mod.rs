//! Executes one run, from taking the lock to the final observation. Walks the graph of a plan with
//! bounded parallelism, emits progress events, and stops on request. Does not decide what to
//! change.

mod baseline;
mod cancel;
mod decide;
mod end;
mod error;
mod event;
mod execute;
mod frontend;
mod groups;
mod locked;
mod queue;
mod record;
mod rehearse;
mod request;
mod rounds;
mod run;
mod schema;
mod step;
mod step_error;
mod texts;
mod totals;
mod verified;
mod walk;

pub use baseline::Baselined;
pub use cancel::{Cancel, Grace};
pub use end::{End, Finished};
pub use error::Error;
pub use event::{Event, Note};
pub use execute::run;
pub use frontend::{Answer, Frontend, Revision};
pub use locked::{Accepted, Locked};
pub use rehearse::rehearse;
pub use request::{Command, Request};
pub use texts::{TextChanges, text_changes};
pub use totals::Totals;
pub use verified::Verified;
