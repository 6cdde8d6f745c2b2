//! The system room: the application's own database as a whole. Four doors (`desired`, `observed`, `diff`,
//! `apply`) over the database itself and the rooms of its parts: migrations, roles and rows. Knows nothing of
//! the other components, and keeps no data values and no secrets in what it observes.

mod apply;
mod baseline;
mod database;
mod desired;
mod diff;
mod error;
mod explained;
mod observed;
mod scratch;
mod surroundings;

#[cfg(test)]
mod tests;

pub use apply::{Change, apply};
pub use baseline::{Until, Verdict, compare, made_by, record};
pub use desired::Desired;
pub use diff::{diff, is_managed, managed};
pub use error::{Error, Result};
pub use explained::explained;
pub use observed::{Listed, Observed, list, observe, observe_missing};
pub use scratch::within as within_scratch;
pub use surroundings::{Surroundings, surround};
