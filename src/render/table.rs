//! Renders aligned columns, with or without headings.

use super::Tone;
use super::page::{Page, Style};
use crate::neutral::one_line;

/// A cell: its optional tone and its text.
pub type Cell = (Option<Tone>, String);

/// Renders rows as lines. Each column is as wide as its widest cell; the last one is not padded, and wrapped within
/// the width of the terminal.
pub fn table(headings: &[&str], rows: &[Vec<Cell>], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| row.iter().map(|(tone, text)| (*tone, one_line(text).into_owned())).collect())
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|(_, text)| text.chars().count());
        cells.chain(headings.get(at).map(|heading| heading.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |cells: &[Cell]| {
        let cells = cells.iter().zip(&widths).map(|((tone, text), width)| {
            let padding = " ".repeat(width.saturating_sub(text.chars().count()));
            let text = tone.map_or_else(|| text.clone(), |tone| style.paint.tone(tone, text));
            format!("{text}{padding}")
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let last_column: usize = widths.iter().rev().skip(1).map(|width| width + 2).sum();
    let mut page = Page::new(style);
    let heading: Vec<Cell> =
        headings.iter().map(|heading| (Some(Tone::Faint), (*heading).to_owned())).collect();
    if !headings.is_empty() && !rows.is_empty() {
        page.line(&line(&heading));
    }
    for row in &rows {
        page.row(last_column, &line(row));
    }
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let cell = |text: &str| (None, text.to_owned());
        let rows = [vec![cell("a"), cell("1"), cell("x y")], vec![cell("bcd"), cell("23"), cell("")]];
        assert_eq!(table(&["name", "n"], &rows, Style::PLAIN), "name  n\na     1   x y\nbcd   23\n");
        assert_eq!(table(&["name"], &[], Style::PLAIN), "");
    }

    #[test]
    fn the_last_column_is_wrapped_within_itself() {
        let cells =
            ["unhealthy", "cache", "it is not reachable from here"].map(|text| (None, text.to_owned()));

        let text = table(&[], &[cells.to_vec()], Style { width: Some(40), ..Style::PLAIN });

        assert_eq!(text, "unhealthy  cache  it is not reachable\n                  from here\n");
    }
}
