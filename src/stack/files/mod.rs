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

use super::context::{Context, Yaml};
use super::tree::{Node, Span};

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

/// The tree of a file of data in YAML, which is empty where the file is; mistakes are reported.
#[expect(clippy::option_option, reason = "a file that is wrong is no empty file")]
fn yaml(cx: &Context<'_>, named: Named<'_>) -> Option<Option<Node>> {
    let (index, root) = cx.yaml(&cx.path(named.at, named.path), Some(named.at), Yaml::Data)?;
    if let Some(file) = cx.file(Span::new(index, &(0..0))) {
        cx.content(named.label.to_owned(), &file.text);
    }
    Some(root)
}

/// All items, or nothing where one is wrong. Each is read, so that all mistakes are reported.
pub(super) fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = read.collect();
    read.into_iter().collect()
}
