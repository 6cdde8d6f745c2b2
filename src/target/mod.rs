//! Business databases. Observes the schema and whether this account could write, checks both, and records
//! new versions of the schema. Contains no function that writes to a target.

mod access;
mod desired;
mod diff;
mod observe;
mod observed;
mod sqlite;

pub use access::Access;
pub use desired::{Desired, filtered};
pub use diff::{Change, diff};
pub use observe::observe;
pub use observed::{Failure, Observed, Seen};

#[cfg(test)]
mod tests;
