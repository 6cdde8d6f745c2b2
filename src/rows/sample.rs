//! The first rows that a change writes or deletes, as lines of a plan. Shows values of the spec, and keys of rows
//! that the spec had. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, RowSet};
use crate::address::{Address, Kind};
use crate::neutral::{is_live, one_line};
use crate::sql::says_secret;

const MAX_ROWS: usize = 5;
/// Longer values are truncated.
const MAX_CHARACTERS: usize = 40;

/// A value as plans show it. Masked where the name of its column suggests a secret, as in SQL.
pub(super) fn shown_value<'v>(column: &str, text: Option<&'v str>) -> Option<&'v str> {
    text.map(|text| if says_secret(column) { "(secret)" } else { text })
}

/// One line for each of the first rows to insert and to update; `None` without any. Rows are given by their
/// index in the set. A row to update shows only its key and the differing columns, where these are known.
pub(super) fn sample(
    set: &RowSet,
    insert: &[usize],
    change: &[usize],
    differing: &BTreeMap<usize, Vec<String>>,
) -> Option<String> {
    let first =
        |rows: &[usize], sign| rows.iter().take(MAX_ROWS).map(move |at| (*at, sign)).collect::<Vec<_>>();
    let mut rows = [first(insert, '+'), first(change, '~')].concat();
    rows.sort_unstable();
    let shown = rows.iter().take(MAX_ROWS);
    let mut lines: Vec<String> = shown
        .filter_map(|(at, sign)| Some(format!("{sign}{}", line(set, &set.row(*at)?, differing.get(at)))))
        .collect();
    let more = (insert.len() + change.len()).saturating_sub(MAX_ROWS);
    if more > 0 {
        lines.push(format!(" … {more} more {}", noun_of(&set.address, more)));
    }
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
}

/// The key columns first, then the others, or only those that differ.
fn line(set: &RowSet, row: &[Option<&str>], differing: Option<&Vec<String>>) -> String {
    let mut columns: Vec<(&Asked, Option<&str>)> = set.columns.iter().zip(row.iter().copied()).collect();
    columns.retain(|(column, _)| {
        set.key.contains(&column.name) || differing.is_none_or(|names| names.contains(&column.name))
    });
    columns.sort_by_key(|(column, _)| !set.key.contains(&column.name));
    let shown = |(column, text): (&Asked, Option<&str>)| {
        let text = shown_value(&column.name, text);
        let items =
            text.filter(|_| column.list).and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
        let shown = items.map_or_else(|| value(text), |items| list(&items));
        format!("{}: {shown}", column.name)
    };
    one_line(&columns.into_iter().map(shown).collect::<Vec<_>>().join(", ")).into_owned()
}

/// The key of a row, `name: value, …`.
pub(super) fn key_line<'v>(key: impl Iterator<Item = (&'v str, Option<&'v str>)>) -> String {
    let key = key.map(|(name, text)| format!("{name}: {}", value(shown_value(name, text))));
    one_line(&key.collect::<Vec<_>>().join(", ")).into_owned()
}

/// The first keys of any number of rows, sorted with numbers by their value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FirstKeys(BTreeSet<(String, Box<str>)>);

impl<'k> Extend<&'k str> for FirstKeys {
    fn extend<K: IntoIterator<Item = &'k str>>(&mut self, keys: K) {
        for key in keys {
            self.0.insert((sort_key(key), key.into()));
            if self.0.len() > MAX_ROWS {
                self.0.pop_last();
            }
        }
    }
}

impl FirstKeys {
    /// One line for each, and one for the others of `count` rows. None without keys.
    pub(super) fn lines(&self, count: usize, noun: &str) -> String {
        let lines = self.0.iter().map(|(_, key)| format!("-{key}\n"));
        let more = count.saturating_sub(self.0.len());
        let more = (more > 0 && !self.0.is_empty()).then(|| format!(" … {more} more {noun} to delete\n"));
        lines.chain(more).collect()
    }
}

/// The text with the length of each number before it, because of two numbers the longer one is greater.
fn sort_key(text: &str) -> String {
    let mut sorted = String::with_capacity(text.len() + 4);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let (part, after) = rest.split_at(rest.len().saturating_sub(after.len()).max(letter.len_utf8()));
        if letter.is_ascii_digit() {
            sorted.extend(u32::try_from(part.len()).ok().and_then(char::from_u32));
        }
        sorted.push_str(part);
        rest = after;
    }
    sorted
}

/// The noun for a number of items: `row`, `terms`.
pub(super) fn noun_of(address: &Address, count: usize) -> &'static str {
    match (address.kind() == Kind::Ontology, count) {
        (true, 1) => "term",
        (true, _) => "terms",
        (false, 1) => "row",
        (false, _) => "rows",
    }
}

fn list(items: &[String]) -> String {
    const MAX_ITEMS: usize = 3;
    let shown = items.iter().take(MAX_ITEMS).map(|item| value(Some(item)));
    let more = (items.len() > MAX_ITEMS).then(|| "…".to_owned());
    format!("[{}]", shown.chain(more).collect::<Vec<_>>().join(", "))
}

/// A value on one line, quoted where YAML would read it as another type.
fn value(text: Option<&str>) -> String {
    let Some(text) = text else { return "null".to_owned() };
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(MAX_CHARACTERS).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    let is_plain = !short.is_empty()
        && short != "null"
        && short.trim() == short
        && !short.chars().any(|c| is_live(c) || matches!(c, ',' | '"' | '\\'));
    if is_plain { short } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keys_are_those_with_the_smallest_numbers() {
        let mut first = FirstKeys::default();

        let keys: Vec<_> = (1..=12).rev().map(|id| format!("id: {id}")).collect();
        first.extend(keys.iter().map(String::as_str));

        assert_eq!(
            first.lines(12, "rows"),
            "-id: 1\n-id: 2\n-id: 3\n-id: 4\n-id: 5\n … 7 more rows to delete\n"
        );
    }

    #[test]
    fn the_key_of_a_secret_column_is_not_shown() {
        let key = [("client", Some("a")), ("api_key", Some("sk-1"))];

        assert_eq!(key_line(key.into_iter()), "client: a, api_key: (secret)");
    }
}
