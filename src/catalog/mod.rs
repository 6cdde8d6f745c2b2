//! Schemas of relational databases: introspects them in a constant number of round trips, compares
//! and prints them.

mod canonical;
mod ddl;
mod diff;
mod introspect;
mod kind;
mod objects;
mod postgres;
mod snapshot;
mod sqlite;
mod sqlite_ddl;

pub use canonical::{Array, canonical, parsed};
pub use ddl::text_diff;
pub use diff::{ColumnAspect, SchemaChange, TableChange, diff};
pub use introspect::introspect;
pub(crate) use kind::without_arguments;
pub use objects::{Objects, objects};
pub use snapshot::*;

#[cfg(test)]
mod diff_tests;
#[cfg(test)]
mod tests;
