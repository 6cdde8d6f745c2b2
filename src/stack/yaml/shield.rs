//! Protects placeholders from the YAML parser, which would end a plain scalar at their braces.
//! Pure; knows the syntax of placeholders, not their meaning.

use std::borrow::Cow;
use std::ops::Range;

/// The text with every `${…}` replaced by as many harmless bytes, because YAML ends a plain scalar
/// at a brace, as in `{ password: ${NAME} }`.
pub(in crate::stack) struct Shield<'t> {
    /// The text for the YAML parser, of the same length as the original.
    pub text: Cow<'t, str>,
    marker: char,
    ranges: Vec<Range<usize>>,
    original: &'t str,
}

impl<'t> Shield<'t> {
    pub(in crate::stack) fn new(text: &'t str) -> Self {
        // The marker is three bytes long, valid in YAML and not part of this text.
        let marker = ('\u{e000}'..='\u{e0ff}').find(|c| !text.contains(*c)).unwrap_or('\u{e000}');
        let mut ranges = Vec::new();
        let mut at = 0;
        while let Some(dollar) = text.get(at..).and_then(|rest| rest.find("${")).map(|found| found + at) {
            let inner = dollar + 2;
            let end = text.get(inner..).and_then(|rest| {
                rest.find(['{', '}', '\n', '"', '\'']).filter(|end| rest.as_bytes().get(*end) == Some(&b'}'))
            });
            let Some(end) = end.map(|end| inner + end + 1) else {
                at = inner;
                continue;
            };
            let escaped = text.get(at..dollar).is_some_and(|before| before.ends_with('$'));
            ranges.push(dollar - usize::from(escaped)..end);
            at = end;
        }
        let mut shielded = String::with_capacity(text.len());
        let mut at = 0;
        for range in &ranges {
            shielded.push_str(text.get(at..range.start).unwrap_or(""));
            shielded.push(marker);
            shielded.extend(std::iter::repeat_n('x', range.len() - marker.len_utf8()));
            at = range.end;
        }
        shielded.push_str(text.get(at..).unwrap_or(""));
        let text_out = if ranges.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(shielded) };
        Self { text: text_out, marker, ranges, original: text }
    }

    /// Returns the text of a scalar with its placeholders restored.
    pub(in crate::stack) fn restore(&self, scalar: &str, at: &Range<usize>) -> Box<str> {
        let first = self.ranges.partition_point(|range| range.start < at.start);
        let inside = self.ranges.get(first..).unwrap_or(&[]).iter().take_while(|range| range.end <= at.end);
        let mut restored = String::with_capacity(scalar.len());
        let mut rest = scalar;
        for range in inside {
            let Some(found) = rest.find(self.marker) else { break };
            restored.push_str(rest.get(..found).unwrap_or(""));
            restored.push_str(self.original.get(range.clone()).unwrap_or(""));
            rest = rest.get(found + range.len()..).unwrap_or("");
        }
        restored.push_str(rest);
        restored.into_boxed_str()
    }
}
