//! Roles of the server and what they may do in this database. The spec owns what its roles hold:
//! what is granted beyond it is revoked. Never drops a role, and no password leaves this machine.

mod apply;
mod defaults;
mod diff;
mod globs;
mod observe;
mod rights;
mod scram;
mod text;
mod waiting;

use crate::address::{Address, Kind};
use crate::digest::Fingerprint;

pub use apply::RoleChange;
pub use observe::{Roles, are_asked};

pub(super) use apply::apply;
pub(super) use defaults::come_first;
pub(super) use diff::diff;
pub(super) use observe::observe;

/// The address of a role.
fn address(name: &str) -> Address {
    Kind::Role.named(name)
}

/// The key of a role in the inventory.
fn inventory_key(name: &str) -> Fingerprint {
    Fingerprint::of_text(name)
}
