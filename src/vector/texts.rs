//! Compares the texts of changed documents with the stored ones, for people who review a plan. Reads only.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use similar::TextDiff;

use super::apply::{Change, Task};
use super::client::{Backend, Client};
use super::difference::LISTED;
use super::error::Error;

/// Returns the line diffs of the first documents whose text changes, by id. The stored texts are not part of an
/// observation, so they are read here.
pub async fn text_changes(change: &Change, client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let Task::Documents { write, .. } = &change.task else { return Ok(BTreeMap::new()) };
    let first = write.get(..LISTED).unwrap_or(write);
    let ids: Vec<&String> = first.iter().map(|document| &document.id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let stored = match &client.backend {
        Backend::Chroma(chroma) => chroma.texts(&change.collection, &ids).await?,
        Backend::Sqlite(store) => store.texts(&change.collection, &ids).await?,
    };
    let changes = first.iter().filter_map(|document| {
        let old = stored.get(&document.id)?;
        (*old != document.text).then(|| (document.id.clone(), line_diff(old, &document.text)))
    });
    Ok(changes.collect())
}

/// The removed, added and surrounding lines, each after its sign.
fn line_diff(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = String::new();
    for hunk in diff.unified_diff().context_radius(1).iter_hunks() {
        for change in hunk.iter_changes() {
            let _ = writeln!(lines, "{}{}", change.tag(), change.value().trim_end_matches('\n'));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_change_shows_the_lines_around_it() {
        let diff = line_diff("one\ntwo\nthree\nfour", "one\ntwo\n3\nfour");
        assert_eq!(diff, " two\n-three\n+3\n four\n");
    }
}
