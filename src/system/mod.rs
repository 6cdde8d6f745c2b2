//! The system room: the application's own database. Four doors (`desired`, `observed`, `diff`,
//! `apply`) over one file or folder a concern: database, migrations, roles, users, rows. Knows nothing of
//! the other components, and keeps no data values and no secrets in what it observes.

mod apply;
mod baseline;
mod beside;
mod client;
mod database;
mod desired;
mod diff;
mod error;
mod explained;
mod migrations;
mod observed;
mod order;
mod password;
mod password_version;
mod reach;
mod renamed;
mod roles;
mod rows;
mod scratch;
mod surroundings;
mod texts;
mod upcoming;
mod users;

#[cfg(test)]
mod tests;

use crate::lint::script;

pub use apply::{Change, apply};
pub use baseline::{Until, Verdict, compare, made_by, record};
pub use beside::Creation;
pub use client::{Client, Presence, Purpose, STEPS_AT_ONCE};
pub use desired::Desired;
pub use diff::{diff, is_managed, managed};
pub(crate) use error::shortened;
pub use error::{Error, Lacks, Result};
pub use explained::explained;
pub use migrations::{
    Advice, Applied, Limits, Pending, Repeating, Waits, recorded_elsewhere, remember_elsewhere, run_elsewhere,
};
pub use observed::{Observed, observe};
pub use reach::{beyond, without_beyond};
pub use roles::{RoleChange, Roles, are_asked as are_roles_asked};
pub use rows::{Answer, Owned, OwnedRow, RowsChange, Ties};
pub use scratch::within as within_scratch;
pub use surroundings::{Surroundings, surround};
pub use users::{Accounts, UserChange};
