//! Renders aligned columns, with or without headings.

use super::{Paint, Tone};
use crate::neutral::one_line;

/// A cell: its optional tone and its text.
pub type Cell = (Option<Tone>, String);

/// Renders rows as lines. Each column is as wide as its widest cell; the last one is not padded.
pub fn table(headings: &[&str], rows: &[Vec<Cell>], paint: Paint) -> String {
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
            let text = tone.map_or_else(|| text.clone(), |tone| paint.tone(tone, text));
            format!("{text}{padding}")
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let heading: Vec<Cell> =
        headings.iter().map(|heading| (Some(Tone::Faint), (*heading).to_owned())).collect();
    let heading = if headings.is_empty() || rows.is_empty() { String::new() } else { line(&heading) };
    heading + &rows.iter().map(|row| line(row)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let cell = |text: &str| (None, text.to_owned());
        let rows = [vec![cell("a"), cell("1"), cell("x y")], vec![cell("bcd"), cell("23"), cell("")]];
        assert_eq!(table(&["name", "n"], &rows, Paint::Plain), "name  n\na     1   x y\nbcd   23\n");
        assert_eq!(table(&["name"], &[], Paint::Plain), "");
    }
}
