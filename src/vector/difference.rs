//! Compares the documents of a collection with the desired ones. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::apply::Task;
use super::documents::Document;
use super::observed::ObservedDocument;
use super::owner::Owner;
use crate::journal::RunId;
use crate::neutral::one_line;

/// Ids that a plan lists per category; the others are counted.
pub(super) const LISTED: usize = 20;

/// The existing documents that differ from the desired ones, by id.
#[derive(Default)]
pub(super) struct Difference<'a> {
    missing: Vec<&'a Document>,
    differing: Vec<(&'a Document, &'a ObservedDocument)>,
    /// Equal documents under another mark that counts as this bookkeeping's.
    adopted: Vec<&'a String>,
    pub(super) unwanted: Vec<(&'a String, &'a ObservedDocument)>,
}

impl<'a> Difference<'a> {
    pub(super) fn of(
        wanted: impl Iterator<Item = &'a Document>,
        is_wanted: impl Fn(&String) -> bool,
        there: &BTreeMap<&'a String, (&'a Owner, &'a ObservedDocument)>,
        own: &Owner,
    ) -> Self {
        let mut difference = Self::default();
        for document in wanted {
            match there.get(&document.id) {
                None => difference.missing.push(document),
                Some((_, seen)) if seen.fingerprint != Some(document.fingerprint) => {
                    difference.differing.push((document, seen));
                }
                Some((owner, _)) if own.identity.is_none() || *owner != own => {
                    difference.adopted.push(&document.id);
                }
                Some(_) => {}
            }
        }
        let unwanted = there.iter().filter(|(id, _)| !is_wanted(id));
        difference.unwanted = unwanted.map(|(id, (_, seen))| (*id, *seen)).collect();
        difference
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { missing, differing, adopted, unwanted } = self;
        missing.is_empty() && differing.is_empty() && adopted.is_empty() && unwanted.is_empty()
    }

    /// The reason of the change. Names the run where documents were left by one that failed or had
    /// lost its lock.
    pub(super) fn reason(&self, unfinished: &BTreeSet<RunId>) -> String {
        let Self { missing, differing, adopted, unwanted } = self;
        let parts = [
            (missing.len(), "missing"),
            (differing.len(), "changed"),
            (adopted.len(), "under another mark"),
            (unwanted.len(), "no longer wanted"),
        ];
        let said = parts.iter().filter(|(count, _)| *count > 0);
        let mut reason = said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
        let seen = differing.iter().map(|(_, seen)| seen).chain(unwanted.iter().map(|(_, seen)| seen));
        let mut by_run: BTreeMap<&RunId, usize> = BTreeMap::new();
        for run in seen.filter_map(|seen| seen.run.as_ref()).filter(|run| unfinished.contains(*run)) {
            *by_run.entry(run).or_default() += 1;
        }
        for (run, count) in by_run.iter().take(3) {
            let _ = write!(reason, "; {} written by run {run}, which did not finish", counted(*count));
        }
        reason
    }

    pub(super) fn summary(&self) -> String {
        let Self { missing, differing, adopted, unwanted } = self;
        let counts = [
            (missing.len() + differing.len(), "to write"),
            (adopted.len(), "to mark"),
            (unwanted.len(), "to delete"),
        ];
        let mut parts = counts.iter().filter(|(count, _)| *count > 0);
        let first = parts.next().map(|(count, what)| format!("{} {what}", counted(*count)));
        first
            .into_iter()
            .chain(parts.map(|(count, what)| format!("{count} {what}")))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The existing documents that differ from the desired ones.
    pub(super) fn before(&self, there: usize) -> Value {
        let Self { missing, differing, adopted: _, unwanted } = self;
        json!({
            "documents": there,
            "missing": listed(missing.iter().map(|document| &document.id)),
            "changed": listed(differing.iter().map(|(document, _)| &document.id)),
            "unwanted": listed(unwanted.iter().map(|(id, _)| *id)),
        })
    }

    /// A line for each of the first documents of each category: its sign, and its id.
    pub(super) fn listing(&self) -> String {
        let Self { missing, differing, adopted: _, unwanted } = self;
        let mut lines = String::new();
        list(&mut lines, '+', missing.iter().map(|document| &document.id));
        list(&mut lines, '~', differing.iter().map(|(document, _)| &document.id));
        list(&mut lines, '-', unwanted.iter().map(|(id, _)| *id));
        lines
    }

    pub(super) fn task(&self) -> Task {
        let Self { missing, differing, adopted, unwanted } = self;
        let write = differing.iter().map(|(document, _)| *document).chain(missing.iter().copied());
        Task::Documents {
            write: write.cloned().collect(),
            adopt: adopted.iter().map(|id| (*id).clone()).collect(),
            delete: unwanted.iter().map(|(id, _)| (*id).clone()).collect(),
        }
    }
}

/// Whether documents are deleted because a source in the spec yields none. Adds that to the reason.
pub(super) fn mass_delete<'a>(sources: impl Iterator<Item = &'a str>, reason: &mut String) -> bool {
    let mut by_source: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        *by_source.entry(source).or_default() += 1;
    }
    for (source, count) in &by_source {
        let _ = write!(reason, "; {source} yields nothing, and {} came from it", counted(*count));
    }
    !by_source.is_empty()
}

fn counted(count: usize) -> String {
    if count == 1 { "1 document".to_owned() } else { format!("{count} documents") }
}

fn list<'a>(lines: &mut String, sign: char, ids: impl ExactSizeIterator<Item = &'a String>) {
    let more = ids.len().saturating_sub(LISTED);
    for id in ids.take(LISTED) {
        let _ = writeln!(lines, "{sign}{}", one_line(id));
    }
    if more > 0 {
        let _ = writeln!(lines, " … {sign} {more} more");
    }
}

/// The count, and the first ids.
fn listed<'a>(ids: impl ExactSizeIterator<Item = &'a String>) -> Value {
    let count = ids.len();
    json!({ "count": count, "ids": ids.take(LISTED).collect::<Vec<_>>() })
}
