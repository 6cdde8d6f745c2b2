//! The connection to the system database: opens it, creates the database, limits its statements, and
//! reports what they wait for.

mod board;
mod client;
mod error;
mod limits;
mod server;
mod session;

pub use board::Waits;
pub(crate) use client::database_name;
pub use client::{Client, Presence, Purpose, STEPS_AT_ONCE};
pub use error::{Creation, Error, Lacks, Result};
pub use limits::Limits;
pub(crate) use limits::limit;
pub(crate) use session::{Failed, HISTORY, Prepared, Recorded, Session, character, code, history_exists};
