//! Escapes text from elsewhere before it is printed: names and comments of databases, messages of servers,
//! keys of the spec. Everything that is printed passes through here. Escapes have the form of JSON,
//! `\u001b`, so that JSON output stays equivalent.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character moves the cursor, reorders text, or is invisible.
pub fn is_live(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Escapes line breaks too, so that a name or message cannot begin a new line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Keeps line breaks and tabs.
pub fn block(text: &str) -> Cow<'_, str> {
    let text =
        if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    match text {
        Cow::Borrowed(text) => escaped(text, |c| matches!(c, '\n' | '\t')),
        Cow::Owned(text) => Cow::Owned(escaped(&text, |c| matches!(c, '\n' | '\t')).into_owned()),
    }
}

/// Escapes complete output for a terminal or file. Of sequences that begin with ESC only this tool's own
/// colours are kept, and only where colours are enabled.
pub fn output(text: &str, colours: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = rest.find('\u{1b}') {
        let (before, after) = rest.split_at(escape);
        out.push_str(&block(before));
        let colour = colours.iter().find(|colour| after.starts_with(colour.as_str()));
        let length = colour.map_or(1, String::len);
        let (sequence, after) = after.split_at(length);
        out.push_str(&if colour.is_some() { Cow::Borrowed(sequence) } else { one_line(sequence) });
        rest = after;
    }
    out.push_str(&block(rest));
    out
}

/// Replaces each unsafe character by `?` for each of its bytes, so that offsets in the text stay
/// valid.
pub fn same_length(text: String) -> String {
    let is_kept = |c: char| !is_live(c) || matches!(c, '\n' | '\r' | '\t');
    if text.chars().all(is_kept) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_kept(c) {
            out.push(c);
        } else {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        }
    }
    out
}

fn escaped(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(|c| !is_live(c) || keeps(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_live(c) || keeps(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "x\u{1b}[2J\u{7}\n\r\t\u{9b}1m\u{202e}\u{200b}\u{2028}\u{e0041}y";

    #[test]
    fn one_line_has_nothing_live() {
        let line = one_line(HOSTILE);
        assert!(!line.chars().any(is_live), "{line:?}");
        assert_eq!(line, r"x\u001b[2J\u0007\n\r\t\u009b1m\u202e\u200b\u2028\udb40\udc41y");
        assert_eq!(one_line("Grüße, 世界 ✓"), "Grüße, 世界 ✓");
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(block("a\r\n\tb\rc\u{1b}"), "a\n\tb\\rc\\u001b");
    }

    #[test]
    fn output_keeps_the_colours_of_this_tool_only() {
        let colours = ["\u{1b}[32m".to_owned(), "\u{1b}[0m".to_owned()];
        let text = "\u{1b}[32mdone\u{1b}[0m \u{1b}[2J";
        assert_eq!(output(text, &colours), "\u{1b}[32mdone\u{1b}[0m \\u001b[2J");
        assert_eq!(output(text, &[]), "\\u001b[32mdone\\u001b[0m \\u001b[2J");
    }

    #[test]
    fn json_stays_the_same_value_when_it_is_written() {
        let value = serde_json::json!({ "name": HOSTILE });
        let written = output(&value.to_string(), &[]);
        assert!(!written.chars().any(is_live), "{written:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }

    #[test]
    fn a_quoted_source_keeps_its_length() {
        let quoted = same_length(HOSTILE.to_owned());
        assert_eq!(quoted.len(), HOSTILE.len());
        assert!(quoted.chars().all(|c| !is_live(c) || matches!(c, '\n' | '\r' | '\t')));
    }
}
