//! YAML: text → tree. Knows no key of the spec except those that look like secrets, which diagnostics must not show.

mod shield;
pub(super) mod tree;
