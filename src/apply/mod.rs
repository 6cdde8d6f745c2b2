//! The apply room: one run from the lock to the last look. Walks the graph of a plan with bounded parallelism,
//! says what happens as events, and stops when it is told to. Decides nothing about what to change.

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
pub use decide::{Answer, Frontend, Shown};
pub use end::{End, Error, Finished};
pub use event::{Event, Note};
pub use locked::{Accepted, Locked};
pub use rehearse::rehearse;
pub use run::{Command, Request, run};
pub use totals::Totals;
pub use verified::Verified;
