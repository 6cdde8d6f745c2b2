//! Reads the files that a spec names: migrations, ontologies, rows of seeds, prose and examples.
//! Each is read once and validated. This module knows their formats, not their use.

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

use super::context::{Context, Yaml};
use super::yaml::tree::{Node, Span};

/// A reference from the spec to a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileRef<'a> {
    /// The path with its placeholders replaced.
    pub path: &'a str,
    /// Location of the path in the spec.
    pub at: Span,
    /// The name of the content in the digest.
    pub label: &'a str,
}

/// Returns the tree of a YAML data file, `None` inside if the file is empty, and reports errors.
#[expect(clippy::option_option, reason = "a file that is wrong is no empty file")]
fn yaml(cx: &Context<'_>, named: FileRef<'_>) -> Option<Option<Node>> {
    let (index, root) = cx.yaml(&cx.path(named.at, named.path), Some(named.at), Yaml::Data)?;
    if let Some(file) = cx.file(Span::new(index, &(0..0))) {
        cx.content(named.label.to_owned(), &file.text);
    }
    Some(root)
}

/// Collects all items, or returns `None` if one is invalid. All items are read, so that all errors
/// are reported.
pub(super) fn collect_all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = read.collect();
    read.into_iter().collect()
}
