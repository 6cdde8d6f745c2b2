//! What people read, whole, at the widths of terminals: kept as snapshots, so that a change of it is seen.

mod output;
mod plan;

use super::{Detail, Paint, Style};

/// Keeps a text as snapshots: at three widths, in colour, and for a log. Fails if a line is wider than its terminal, or
/// if the colours change more than colours.
fn keep(name: &str, text: impl Fn(Style) -> String) {
    let style = |width, paint| Style { paint, width, detail: Detail::Short };
    for width in [80, 100, 160] {
        let text = text(style(Some(width), Paint::Plain));
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        insta::assert_snapshot!(format!("{name}_{width}"), text);
    }
    let coloured = text(style(Some(100), Paint::Colour));
    let mut plain = coloured.clone();
    for sequence in Paint::Colour.sequences() {
        plain = plain.replace(&sequence, "");
    }
    assert_eq!(plain, text(style(Some(100), Paint::Plain)));
    insta::assert_snapshot!(format!("{name}_colour"), coloured);
    insta::assert_snapshot!(format!("{name}_log"), text(style(None, Paint::Plain)));
}
