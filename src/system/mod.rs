//! The application's own database. Combines the database itself with the rooms `migrations`, `roles` and
//! `rows` behind the four doors (`desired`, `observed`, `diff`, `apply`). Observed values contain no data
//! of rows and no secrets.

mod apply;
mod baseline;
mod change;
mod database;
mod desired;
mod diff;
mod error;
mod explained;
mod facts;
mod observed;
mod scratch;
mod surroundings;

#[cfg(test)]
mod tests;

pub use apply::apply;
pub use baseline::{Comparison, Until, compare, made_by, record};
pub use change::Change;
pub use desired::Desired;
pub use diff::{diff, is_managed, managed};
pub use error::{Error, Result};
pub use explained::explained;
pub use observed::{Listed, Observed, list, observe, observe_missing};
pub use scratch::within as within_scratch;
pub use surroundings::{Surroundings, surround};
