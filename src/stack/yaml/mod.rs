//! YAML: text → tree → typed values with their locations. Knows no key of the spec except those that look like
//! secrets, which diagnostics must not show.

pub(super) mod field;
pub(super) mod json;
pub(super) mod read;
mod read_key;
mod shield;
pub(super) mod tree;
