//! A diagnostic as it is printed: alone, with its code, its texts neutralized, and long lines of its source cut.

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, Severity, SourceCode, SourceSpan, SpanContents,
};

use crate::neutral::{self, one_line};

/// In bytes. Of longer lines only a part is quoted.
const LONGEST_LINE: usize = 400;
/// How many bytes before and after the marked text are quoted of a long line.
const AROUND: usize = 60;
/// How many bytes of a text are marked.
const MOST_MARKED: usize = 120;

/// A diagnostic without its related ones, with its code after its message and all texts
/// neutralized.
pub(super) struct SingleDiagnostic<'d> {
    diagnostic: &'d dyn Diagnostic,
    message: String,
    cause: Option<Cause>,
    source: Option<Excerpt<'d>>,
}

/// An error with its causes, each on one line.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let message = one_line(&error.to_string()).into_owned();
        Self { message, source: error.source().map(|source| Box::new(Self::from_error(source))) }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl<'d> SingleDiagnostic<'d> {
    pub(super) fn new(diagnostic: &'d dyn Diagnostic) -> Self {
        let message = diagnostic.to_string();
        // Skips causes whose text is already part of the message.
        let mut cause = diagnostic.source();
        while let Some(known) = cause.filter(|cause| message.contains(&cause.to_string())) {
            cause = known.source();
        }
        let cause = cause.map(Cause::from_error);
        let source = diagnostic.source_code().map(Excerpt);
        Self { diagnostic, message: one_line(&message).into_owned(), cause, source }
    }
}

impl std::fmt::Debug for SingleDiagnostic<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for SingleDiagnostic<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.diagnostic.code() {
            Some(code) => write!(f, "{} [{code}]", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for SingleDiagnostic<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

impl Diagnostic for SingleDiagnostic<'_> {
    fn severity(&self) -> Option<Severity> {
        self.diagnostic.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let help = self.diagnostic.help()?.to_string();
        Some(Box::new(neutral::block(&help).into_owned()))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let labels = self.diagnostic.labels()?;
        Some(Box::new(labels.map(|label| {
            let text = label.label().map(|text| one_line(text).into_owned());
            let span = SourceSpan::new(label.offset().into(), label.len().min(MOST_MARKED));
            if label.primary() {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        })))
    }
}

/// The source of a diagnostic, of which only a part is quoted where its lines are very long.
struct Excerpt<'d>(&'d dyn SourceCode);

impl SourceCode for Excerpt<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let whole = self.0.read_span(span, lines_before, lines_after)?;
        if whole.data().split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST_LINE) {
            return Ok(whole);
        }
        let lines = self.0.read_span(span, 1, 1)?;
        let (data, start) = (lines.data(), span.offset().saturating_sub(lines.span().offset()));
        let end = start + span.len().min(MOST_MARKED);
        let before = data.get(..start).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let behind = data.get(end..).unwrap_or_default();
        let line_end = behind.iter().position(|byte| *byte == b'\n').map_or(data.len(), |at| end + at);
        let first = boundary(data, start.saturating_sub(AROUND).max(line_start));
        let last = boundary(data, (end + AROUND).min(line_end));
        let quoted = data.get(first..last).unwrap_or_default();
        let at = SourceSpan::new((lines.span().offset() + first).into(), quoted.len());
        let line = lines.line() + before.split(|byte| *byte == b'\n').count() - 1;
        let column = first - line_start;
        let contents = match lines.name() {
            Some(name) => MietteSpanContents::new_named(name.to_owned(), quoted, at, line, column, 1),
            None => MietteSpanContents::new(quoted, at, line, column, 1),
        };
        Ok(Box::new(contents))
    }
}

/// The first byte of a character at or before a place.
fn boundary(text: &[u8], mut at: usize) -> usize {
    const CONTINUES: std::ops::RangeInclusive<u8> = 0x80..=0xbf;
    while at > 0 && text.get(at).is_some_and(|byte| CONTINUES.contains(byte)) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use miette::{GraphicalReportHandler, GraphicalTheme, NamedSource};

    use super::*;

    #[derive(Debug, thiserror::Error, Diagnostic)]
    #[error("bad value")]
    struct Bad {
        #[source_code]
        text: NamedSource<String>,
        #[label("here")]
        at: SourceSpan,
    }

    fn report(text: &str, at: SourceSpan) -> String {
        let bad = Bad { text: NamedSource::new("rows.json", text.to_owned()), at };
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
        let mut report = String::new();
        handler.render_report(&mut report, &SingleDiagnostic::new(&bad)).unwrap();
        report
    }

    #[test]
    fn a_short_line_is_quoted_whole_and_of_a_long_one_a_part() {
        let short = report("[\n{\"a\": wrong},\n1]", (8, 5).into());
        assert!(short.contains("{\"a\": wrong},") && short.contains("rows.json:2:7"), "{short}");

        let filler = "é".repeat(500_000);
        let long = report(&format!("[\n{filler} wrong {filler}\n]"), (2 + 1_000_000 + 1, 5).into());
        assert!(long.contains("é wrong é") && long.contains("rows.json:2:1000002"), "{long}");
        assert!(long.len() < 2_000, "{}", long.len());

        let marked = report(&format!("[\n{filler}\n]"), (2, 1_000_000).into());
        assert!(marked.contains("rows.json:2:1") && marked.len() < 2_000, "{marked}");
    }
}
