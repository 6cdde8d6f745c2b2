//! Lines of a page: wrapped with hanging indents where there is a width to wrap to, and as they are where a
//! program or a log reads them. Knows nothing of what they say.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use super::{Paint, Tone};

/// How a page is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub paint: Paint,
    /// Columns of the terminal; `None` where nothing is wrapped: what is searched line by line.
    pub width: Option<usize>,
    pub detail: Detail,
}

/// How much of what is as it should be is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What is alike, and what passes, is counted.
    Short,
    /// Everything, one by one.
    Full,
}

impl Style {
    /// Without colours and without a width.
    pub const PLAIN: Self = Self { paint: Paint::Plain, width: None, detail: Detail::Short };
}

/// Lines that are being written.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) style: Style,
    out: String,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style, out: String::new() }
    }

    /// A text in its tone.
    pub(super) fn tone(&self, tone: Tone, text: &str) -> String {
        self.style.paint.tone(tone, text)
    }

    /// A line that is not wrapped: a line of a text that others wrote.
    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A line of ours, its continuations indented by some columns.
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

    /// A line of ours below a row.
    pub(super) fn wrapped(&mut self, text: &str) {
        self.row(10, text);
    }

    /// A heading, with a blank line before it unless it is the first of the page.
    pub(super) fn heading(&mut self, text: &str) {
        self.gap();
        let text = self.tone(Tone::Strong, text);
        self.line(&text);
    }

    /// One blank line, unless there is one or the page begins.
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
