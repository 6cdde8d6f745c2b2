//! The files that a spec names: migrations, ontologies, rows of seeds, prose and examples. Each is
//! read once, checked and put into the stack. Knows their forms, not what they are used for.

mod csv;
mod examples;
mod migrations;
mod ontology;
mod prose;
mod rows;
mod walk;

pub(super) use examples::examples;
pub(super) use migrations::migrations;
pub(super) use ontology::ontology;
pub(super) use prose::prose;
pub(super) use rows::{Table, keys, rows};

use super::tree::Span;

/// A file as the spec names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// The path as written, placeholders replaced.
    pub path: &'a str,
    /// Where the path stands.
    pub at: Span,
    /// What the content is noted under in the digest.
    pub label: &'a str,
}
