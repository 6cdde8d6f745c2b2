//! The target room: a business database, read and never written. Observes its schema and whether
//! this credential could write; says what is wrong with it and when its schema has a new version.
//! Has no function that writes, and does not know the other components.

mod access;
mod desired;
mod diff;
mod observed;
mod sqlite;

pub use access::Access;
pub use desired::{Desired, filtered};
pub use diff::{Change, diff};
pub use observed::{Failure, Observed, Seen, observe};

#[cfg(test)]
mod tests;
