//! Removes the secrets of a stack from messages of servers and logs of drivers, before they are shown or
//! stored. A server or proxy may return what was sent to it, in any encoding.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::neutral::one_line;

const MASK: &str = "***";
/// The minimum length in characters: a shorter secret would match in any text.
const SHORTEST: usize = 3;
/// The minimum length in bytes for encodings that do not show the secret.
const SHORTEST_ENCODED: usize = 6;
/// The minimum length in characters for matches inside of words.
const SHORTEST_WITHIN: usize = 8;

/// A set of secrets with their encodings.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Vec<Pattern>,
}

#[derive(Clone, PartialEq, Eq)]
struct Pattern {
    text: Vec<char>,
    form: Form,
    /// Whether the secret resembles no word, so that this tool's own texts can be searched for it
    /// too.
    is_unlike_words: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Plain, percent-encoded, or escaped for JSON, HTML or SQL.
    Text,
    /// The middle of a base64 text, without the characters at its ends that depend on adjacent
    /// bytes.
    Base64,
    Hex,
}

/// The secrets that this process has read. Global, because log lines of drivers have no context.
static KNOWN: RwLock<Redactor> = RwLock::new(Redactor { patterns: Vec::new() });

/// Adds secrets to those that [`redact`] removes.
pub fn remember(secrets: &Redactor) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for pattern in &secrets.patterns {
        known.push(pattern.clone());
    }
}

/// Removes all known secrets from the text of a server or driver.
pub fn redact(text: &str) -> Cow<'_, str> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).redact(text)
}

/// For texts of this tool that may quote a server: removes only secrets that resemble no word, so that a
/// password `production` does not remove that word everywhere.
pub fn redact_own(text: &str) -> Cow<'_, str> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).redact_if(text, |pattern| pattern.is_unlike_words)
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} patterns)", self.patterns.len())
    }
}

impl Redactor {
    pub fn add(&mut self, secret: &str) {
        let count = secret.chars().count();
        if count < SHORTEST {
            return;
        }
        let has_digit = secret.contains(|c: char| c.is_ascii_digit());
        let is_unlike_words = count >= 12 || count >= 8 && has_digit;
        self.push(Pattern { text: secret.chars().collect(), form: Form::Text, is_unlike_words });
        if secret.len() >= SHORTEST_ENCODED {
            for shift in 0..3 {
                self.add_base64(secret, shift);
            }
            let hex: String = written(secret.bytes(), |hex, byte| write!(hex, "{byte:02x}"));
            self.push(Pattern { text: hex.chars().collect(), form: Form::Hex, is_unlike_words: true });
        }
    }

    /// `shift` is the offset modulo 3 of the secret in the encoded bytes, which gives three
    /// different texts.
    pub(crate) fn add_base64(&mut self, secret: &str, shift: usize) {
        let encoded = STANDARD_NO_PAD.encode([vec![0; shift].as_slice(), secret.as_bytes()].concat());
        let (from, to) = ((shift * 8).div_ceil(6), (shift + secret.len()) * 8 / 6);
        let Some(sure) = encoded.get(from..to.min(encoded.len())).filter(|sure| sure.len() >= 5) else {
            return;
        };
        self.push(Pattern { text: sure.chars().collect(), form: Form::Base64, is_unlike_words: true });
    }

    fn push(&mut self, pattern: Pattern) {
        if !self.patterns.contains(&pattern) {
            self.patterns.push(pattern);
        }
    }

    /// Removes the secrets in any of the encodings that servers and proxies use.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redact_if(text, |_| true)
    }

    fn redact_if<'t>(&self, text: &'t str, is_wanted: impl Fn(&Pattern) -> bool) -> Cow<'t, str> {
        let wanted: Vec<&Pattern> = self.patterns.iter().filter(|pattern| is_wanted(pattern)).collect();
        if wanted.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        let (mut copied, mut at) = (0, 0);
        while let Some(rest) = text.get(at..)
            && let Some(first) = rest.chars().next()
        {
            let longest = wanted.iter().filter_map(|pattern| pattern.length_at(text, at)).max();
            let Some(length) = longest else {
                at += first.len_utf8();
                continue;
            };
            // The base64 characters beside a match contain some bits of the secret, so they are
            // removed too.
            let is_encoded = wanted
                .iter()
                .any(|pattern| pattern.form == Form::Base64 && pattern.length_at(text, at).is_some());
            let (from, to) = if is_encoded { run_around(text, at, at + length) } else { (at, at + length) };
            out.push_str(text.get(copied..from.max(copied)).unwrap_or(""));
            out.push_str(MASK);
            (copied, at) = (to, to);
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(copied..).unwrap_or(""));
        Cow::Owned(out)
    }
}

/// Extends a range to all adjacent base64 characters.
fn run_around(text: &str, from: usize, to: usize) -> (usize, usize) {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    let before = text.get(..from).unwrap_or("");
    let after = text.get(to..).unwrap_or("");
    let begin = before.trim_end_matches(is_base64).len();
    (begin, to + after.len() - after.trim_start_matches(is_base64).len())
}

impl Pattern {
    /// The length in bytes of a match at `at`.
    fn length_at(&self, text: &str, at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let length = match self.form {
            Form::Hex => {
                let bytes = rest.as_bytes().get(..self.text.len())?;
                let is_same =
                    bytes.iter().zip(&self.text).all(|(byte, c)| byte.to_ascii_lowercase() == *c as u8);
                return is_same.then_some(self.text.len());
            }
            Form::Base64 => self.length(rest, |rest, c| match (c, rest.chars().next()?) {
                // The URL-safe alphabet.
                ('+', '-') | ('/', '_') => Some(1),
                _ => plain(rest, c).or_else(|| escaped(rest, c)),
            })?,
            Form::Text => self
                .length(rest, plain)
                .or_else(|| self.length(rest, |rest, c| escaped(rest, c).or_else(|| plain(rest, c))))
                .or_else(|| self.length(rest, |rest, c| doubled(rest, c).or_else(|| plain(rest, c))))?,
        };
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = rest.get(length..).and_then(|after| after.chars().next());
        let is_within = is_word(before) || is_word(after);
        (self.form == Form::Base64 || self.text.len() >= SHORTEST_WITHIN || !is_within).then_some(length)
    }

    fn length(&self, text: &str, character: impl Fn(&str, char) -> Option<usize>) -> Option<usize> {
        let mut at = 0;
        for c in &self.text {
            at += character(text.get(at..)?, *c)?;
        }
        Some(at)
    }
}

fn written<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut String, T) -> std::fmt::Result) -> String {
    items.fold(String::new(), |mut text, item| {
        // Writing to a String cannot fail.
        let _ = write(&mut text, item);
        text
    })
}

/// The length of an unencoded character at the start of a text.
fn plain(text: &str, c: char) -> Option<usize> {
    text.starts_with(c).then(|| c.len_utf8())
}

/// The length of an encoded character at the start of a text.
fn escaped(text: &str, c: char) -> Option<usize> {
    match text.as_bytes().first()? {
        b'%' => {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).bytes();
            let length = 3 * bytes.len();
            let encoded = written(bytes, |encoded, byte| write!(encoded, "%{byte:02X}"));
            text.get(..length).filter(|text| text.eq_ignore_ascii_case(&encoded)).map(|_| length)
        }
        b'+' => (c == ' ').then_some(1),
        b'\\' => escaped_by_backslash(text, c),
        b'&' => escaped_for_html(text, c),
        _ => None,
    }
}

/// The length of an escaped quote in SQL.
fn doubled(text: &str, c: char) -> Option<usize> {
    (c == '\'' && text.starts_with("''")).then_some(2)
}

fn escaped_by_backslash(text: &str, c: char) -> Option<usize> {
    let short = match c {
        '"' | '\\' | '/' | '\'' => Some(c),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        _ => None,
    };
    let next = text.chars().nth(1)?;
    if short == Some(next) {
        return Some(2);
    }
    let mut units = [0; 2];
    let units = c.encode_utf16(&mut units);
    let as_json: String = written(units.iter(), |json, unit| write!(json, "\\u{unit:04x}"));
    let as_rust = format!("\\u{{{:x}}}", u32::from(c));
    [as_json, as_rust]
        .iter()
        .find(|written| text.get(..written.len()).is_some_and(|text| text.eq_ignore_ascii_case(written)))
        .map(String::len)
}

fn escaped_for_html(text: &str, c: char) -> Option<usize> {
    let name = match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&apos;",
        _ => "",
    };
    if !name.is_empty() && text.starts_with(name) {
        return Some(name.len());
    }
    let number = text.strip_prefix("&#")?;
    let end = number.get(..number.len().min(10)).unwrap_or(number).find(';')?;
    let digits = number.get(..end)?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    (code == Ok(u32::from(c))).then_some(end + 3)
}

/// A writer for log lines that removes secrets and escapes each line, because drivers log messages
/// of servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl std::io::Write for Log {
    /// Each call must have a complete event.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = redact(text.trim_end_matches('\n'));
        writeln!(std::io::stderr().lock(), "{}", one_line(&text))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn of(secret: &str) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(secret);
        redactor
    }

    #[test]
    fn a_secret_is_found_in_every_encoding() {
        let secret = "pä ss/wörd+&%-?\"z\\42'<";
        let redactor = of(secret);
        let html =
            secret.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;");
        for said in [
            secret.to_owned(),
            serde_json::to_string(secret).unwrap(),
            serde_json::to_string(&secret.to_owned())
                .unwrap()
                .replace('ä', "\\u00e4")
                .replace('ö', "\\u00F6"),
            format!("{secret:?}"),
            html,
            secret.replace('\'', "''"),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().to_lowercase(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().replace("%20", "+"),
            STANDARD.encode(secret),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("u:{secret}, and more")),
            URL_SAFE.encode(format!("us:{secret}")),
            utf8_percent_encode(&STANDARD.encode(format!("user:{secret}")), NON_ALPHANUMERIC).to_string(),
            written(secret.bytes(), |hex, byte| write!(hex, "{byte:02X}")),
        ] {
            let shown = redactor.redact(&format!("<pre>x-token: {said}\nhost: h</pre>")).into_owned();
            assert!(shown.contains(MASK) && shown.len() < 60, "{said}: {shown}");
            assert!(shown.ends_with("\nhost: h</pre>"), "{shown}");
        }
    }

    #[test]
    fn a_short_secret_is_found_as_a_word() {
        let redactor = of("redis");
        assert_eq!(redactor.redact("user redis: 'redis' of redisson"), "user ***: '***' of redisson");
        assert_eq!(of("p").redact("p"), "p");
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left(
            secret in r"[!-~]{8,24}",
            before in r"[ -~]{0,9}",
            after in r"[ -~]{0,9}",
        ) {
            let redactor = of(&secret);
            for said in [
                secret.clone(),
                utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string(),
                serde_json::to_string(&secret).unwrap(),
                STANDARD.encode(format!("{before}{secret}{after}")),
            ] {
                let shown = redactor.redact(&format!("{before} {said} {after}")).into_owned();
                prop_assert!(!shown.contains(&said), "{} in {}", said, shown);
            }
        }

        #[test]
        fn no_text_panics(secret in any::<String>(), text in any::<String>()) {
            drop(of(&secret).redact(&text).into_owned());
        }
    }
}
