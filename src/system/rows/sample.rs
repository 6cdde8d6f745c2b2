//! The first rows that a change writes, for people: what the spec wants, never what is there. Pure.

use super::{RowSet, text};
use crate::neutral::{is_live, one_line};
use crate::spec::Cell;

/// Rows that are shown.
const MOST_ROWS: usize = 5;
/// Characters of a value that are shown.
const MOST_LETTERS: usize = 40;

/// A line for each of the first rows to insert and to change, by their positions in the set; `None`
/// when none is.
pub(super) fn sample(set: &RowSet, insert: &[usize], change: &[usize]) -> Option<String> {
    let mut rows: Vec<(usize, char)> =
        insert.iter().map(|at| (*at, '+')).chain(change.iter().map(|at| (*at, '~'))).collect();
    rows.sort_unstable();
    let shown = rows.iter().take(MOST_ROWS);
    let mut lines: Vec<String> =
        shown.filter_map(|(at, sign)| Some(format!("{sign}{}", line(set, set.rows.get(*at)?)))).collect();
    let more = rows.len().saturating_sub(MOST_ROWS);
    if more > 0 {
        lines.push(format!(" … {more} more {}", set.noun(more)));
    }
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
}

/// The columns of a row with their values.
fn line(set: &RowSet, row: &[Cell]) -> String {
    let cells = set.columns.iter().zip(row);
    let cells = cells.map(|(column, cell)| format!("{}: {}", column.name, value(cell)));
    one_line(&cells.collect::<Vec<_>>().join(", ")).into_owned()
}

/// A value on one line. Texts that would be taken for something else are quoted.
fn value(cell: &Cell) -> String {
    let Some(text) = text(cell) else { return "null".to_owned() };
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(MOST_LETTERS).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    let is_plain = !short.is_empty()
        && short != "null"
        && short.trim() == short
        && !short.chars().any(|c| is_live(c) || matches!(c, ',' | '"' | '\\'));
    if is_plain { short } else { format!("{short:?}") }
}
