//! The catalog room: schemas of relational databases. Introspects them in a constant number of
//! round trips, compares and describes them. Does not know what a stack is.

mod canonical;
mod introspect;
mod kind;
mod postgres;
mod snapshot;
mod sqlite;
mod sqlite_ddl;

pub use canonical::canonical;
pub use introspect::introspect;
pub use snapshot::*;

#[cfg(test)]
mod tests;
