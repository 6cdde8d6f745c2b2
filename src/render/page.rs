//! Lines of a page, wrapped with hanging indents if the output is a terminal, and unwrapped for
//! programs and logs. Independent of their content.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use super::{Paint, Tone};

/// The style of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub paint: Paint,
    /// Width of the terminal; `None` for no wrapping, so that logs can be searched line by line.
    pub width: Option<usize>,
    pub detail: Detail,
}

/// Whether unremarkable entries are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Similar changes are folded, and passed checks are counted.
    Short,
    /// Everything is shown individually.
    Full,
}

impl Style {
    /// No colours and no wrapping.
    pub const PLAIN: Self = Self { paint: Paint::Plain, width: None, detail: Detail::Short };
}

/// Wraps a line of our own text, with its continuation lines indented. The result ends in a newline.
pub fn wrapped(text: &str, indent: usize, style: Style) -> String {
    let mut page = Page::new(style);
    page.row(indent, text);
    page.into_text()
}

/// A page under construction.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) style: Style,
    out: String,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style, out: String::new() }
    }

    /// Returns the text in a tone.
    pub(super) fn tone(&self, tone: Tone, text: &str) -> String {
        self.style.paint.tone(tone, text)
    }

    /// Adds a line that is not wrapped, such as a line of a quoted text.
    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Adds a line of our own text, with its continuation lines indented.
    pub(super) fn row(&mut self, indent: usize, text: &str) {
        let Some(width) = self.style.width else { return self.line(text) };
        let indent = " ".repeat(indent.min(width / 2));
        let options = Options::new(width)
            .subsequent_indent(&indent)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        for line in textwrap::wrap(text, options) {
            self.line(&line);
        }
    }

    /// Adds a wrapped line below a row.
    pub(super) fn wrapped(&mut self, text: &str) {
        self.row(10, text);
    }

    /// Adds a heading, preceded by a blank line unless it starts the page.
    pub(super) fn heading(&mut self, text: &str) {
        self.gap();
        let text = self.tone(Tone::Strong, text);
        self.line(&text);
    }

    /// Adds a blank line, unless the page is empty or ends with one.
    pub(super) fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    pub(super) fn into_text(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: Option<usize>) -> String {
        let mut page = Page::new(Style { width, ..Style::PLAIN });
        page.heading("Title");
        page.row(4, "  + one two three four five");
        page.gap();
        page.gap();
        page.line("a line of somebody else's that is long");
        page.into_text()
    }

    #[test]
    fn a_line_of_ours_is_wrapped_to_the_width_and_no_other() {
        let other = "\na line of somebody else's that is long\n";
        assert_eq!(page(Some(16)), format!("Title\n  + one two\n    three four\n    five\n{other}"));
        assert_eq!(page(None), format!("Title\n  + one two three four five\n{other}"));
    }

    #[test]
    fn colours_take_no_columns() {
        let mut page = Page::new(Style { paint: Paint::Colour, width: Some(9), detail: Detail::Short });
        let text = [page.tone(Tone::Good, "done"), page.tone(Tone::Bad, "fail"), "x".to_owned()].join(" ");
        page.row(0, &text);
        assert_eq!(page.into_text().lines().count(), 2);
    }
}
