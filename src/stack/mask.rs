//! Masks literal secrets in the text that diagnostics quote, byte for byte, so that spans stay
//! valid. Masks too much rather than too little, and does not affect parsing.

use std::ops::Range;

/// Whether the value of a key must not be shown. Misspelt secret keys count, because the line with
/// `passwrod: …` is quoted when the unknown key is reported.
pub(super) fn is_secret_key(key: &str) -> bool {
    if matches!(key, "password_version" | "password_hash") {
        return false;
    }
    // Comparing only keys of a similar length keeps this cheap.
    let similar = (4..=12).contains(&key.len());
    let key = key.to_lowercase();
    ["passw", "token", "secret", "pwd"].iter().any(|part| key.contains(part))
        || similar && ["password", "token"].iter().any(|name| strsim::jaro_winkler(name, &key) > 0.87)
}

/// Returns the text with `secrets` and the passwords of URLs masked, except for placeholders.
pub(super) fn mask(text: &str, secrets: &[Range<usize>]) -> String {
    let mut blots = Vec::new();
    for range in secrets {
        literals(text, range.clone(), &mut blots);
    }
    urls(text, &mut blots);
    blot(text, &blots)
}

/// As [`mask`], for invalid YAML: secrets are found line by line.
pub(super) fn mask_by_lines(text: &str) -> String {
    let mut secrets = Vec::new();
    let mut start = 0;
    let mut deeper_than = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        match deeper_than {
            Some(limit) if indent > limit || line.trim().is_empty() => {
                secrets.push(start + indent.min(line.len())..start + line.trim_end().len().max(indent));
            }
            _ => {
                deeper_than = None;
                if let Some(value) = secret_value(line) {
                    let rest = line.get(value..).unwrap_or("").trim();
                    let is_opened = rest.starts_with(['{', '[']);
                    // Deeper lines continue the value, unless the secret was one of several entries
                    // on this line.
                    deeper_than = (is_opened || !rest.ends_with(',')).then_some(indent);
                    secrets.push(start + value..start + line.trim_end().len().max(value));
                }
            }
        }
        start += line.len();
    }
    mask(text, &secrets)
}

/// Returns the offset of the value of a line's first secret key.
fn secret_value(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let before = line.get(..colon)?.trim_end_matches(['"', '\'', ' ']);
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let key = before.rsplit(|c| !word(c)).next()?;
        let value = line.get(colon + 1..)?;
        let blanks = value.len() - value.trim_start_matches([' ', '\t', '"', '\'']).len();
        (is_secret_key(key) && !value.starts_with('/') && !value.starts_with('-'))
            .then_some(colon + 1 + blanks)
    })
}

/// Collects the parts of a range outside of placeholders, and the defaults of placeholders.
fn literals(text: &str, range: Range<usize>, blots: &mut Vec<Range<usize>>) {
    let Some(slice) = text.get(range.clone()) else { return };
    let mut at = 0;
    while let Some(found) = slice.get(at..).and_then(|rest| rest.find("${")).map(|found| found + at) {
        let Some(end) = slice.get(found..).and_then(|rest| rest.find('}')).map(|end| end + found) else {
            break;
        };
        blots.push(range.start + at..range.start + found);
        if let Some(default) = slice.get(found..end).and_then(|inner| inner.find(":-")) {
            blots.push(range.start + found + default + 2..range.start + end);
        }
        at = end + 1;
    }
    blots.push(range.start + at..range.end);
}

/// Collects the passwords of URLs: between `://user:` and the last `@` that may end them, and in
/// the query. A password may contain blanks and any other character, so the rest of a line is
/// searched for an `@`. Without an `@`, text after a colon that is not a port is masked, too.
fn urls(text: &str, blots: &mut Vec<Range<usize>>) {
    let mut next = 0;
    while let Some(scheme) = text.get(next..).and_then(|rest| rest.find("://")).map(|at| at + next) {
        let start = scheme + 3;
        let Some(rest) = text.get(start..) else { break };
        let line = rest.find('\n').unwrap_or(rest.len());
        let word =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).unwrap_or(rest.len());
        // Each text is scanned once, even if it is one long word.
        next = start + word;
        let Some(url) = rest.get(..word) else { break };
        let line = rest.get(..line).unwrap_or(url);
        let authority = url.find(['/', '?', '#']).and_then(|end| url.get(..end)).unwrap_or(url);
        let colon = colon_outside_placeholders(authority);
        let region = if colon.is_some() && line.rfind('@') > url.rfind('@') { line } else { url };
        match (colon_outside_placeholders(region), region.rfind('@')) {
            (Some(colon), Some(at)) if colon < at => {
                literals(text, start + colon + 1..start + at, blots);
                next = next.max(start + at);
            }
            (Some(colon), _) if Some(colon) == authority_colon(authority) => {
                literals(text, start + colon + 1..start + authority.len(), blots);
            }
            _ => {}
        }
        let Some(query) = url.find('?') else { continue };
        let mut at = start + query + 1;
        for pair in url.get(query + 1..).unwrap_or("").split('&') {
            if let Some((name, _)) = pair.split_once('=')
                && is_secret_key(name)
            {
                literals(text, at + name.len() + 1..at + pair.len(), blots);
            }
            at += pair.len() + 1;
        }
    }
}

/// Returns the colon of an authority that is not followed by a port.
fn authority_colon(authority: &str) -> Option<usize> {
    let colon = colon_outside_placeholders(authority)?;
    let is_port = |c: char| c.is_ascii_digit() || matches!(c, ']' | ')' | ',' | '.' | ';' | '}' | ':');
    let behind = authority.get(colon + 1..)?;
    (!authority.starts_with('[') && !behind.contains("${") && !behind.chars().all(is_port)).then_some(colon)
}

fn colon_outside_placeholders(text: &str) -> Option<usize> {
    let mut inside = false;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        (c == ':' && !inside).then_some(at)
    })
}

/// Masks ranges, and control characters everywhere, because a quoted line must not move the cursor.
fn blot(text: &str, blots: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in &mut bytes {
        if byte.is_ascii_control() && !matches!(*byte, b'\n' | b'\r' | b'\t') {
            *byte = b'?';
        }
    }
    for range in blots {
        for byte in bytes.get_mut(range.clone()).unwrap_or(&mut []) {
            if !matches!(*byte, b'\n' | b'\r' | b'"' | b'\'') {
                *byte = b'*';
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| "*".repeat(error.into_bytes().len()))
}

/// Returns a URL of the spec with `***` for a literal password, for display and digests.
pub(super) fn written_url(text: &str) -> String {
    let mut blots = Vec::new();
    urls(text, &mut blots);
    blots.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for range in blots.into_iter().filter(|range| !range.is_empty()) {
        shown.push_str(text.get(at..range.start).unwrap_or(""));
        shown.push_str("***");
        at = range.end.max(at);
    }
    shown.push_str(text.get(at..).unwrap_or(""));
    shown
}

/// Whether a URL has a literal password, or a literal default for one.
pub(super) fn has_literal_password(text: &str) -> bool {
    // The colon of `sqlite://C:…` belongs to a drive.
    if text.starts_with("sqlite:") {
        return false;
    }
    let mut blots = Vec::new();
    urls(text, &mut blots);
    blots.iter().any(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_passwords_of_urls_are_blotted_out_byte_for_byte() {
        let text = "url: postgres://app:s3cr@t@db:5432/x?sslpassword=abc&a=b\n";
        let masked = mask(text, &[]);
        assert_eq!(masked, "url: postgres://app:******@db:5432/x?sslpassword=***&a=b\n");
        assert_eq!(masked.len(), text.len());
    }

    #[test]
    fn placeholders_stay_and_their_defaults_do_not() {
        let text = "redis://:${REDIS_PASSWORD:-hunter2}@redis:6379/0";
        assert_eq!(mask(text, &[]), "redis://:${REDIS_PASSWORD:-*******}@redis:6379/0");
        assert_eq!(written_url("redis://:${PW}@h/0"), "redis://:${PW}@h/0");
        assert_eq!(written_url("redis://:pw@h/0"), "redis://:***@h/0");
    }

    #[test]
    fn passwords_that_tear_a_url_apart_are_blotted_out() {
        for password in ["2024/Winter@Base1", "a b", "a#b c", "it's", "a\"b", "a`b", "a]b{c", "x, y: z"] {
            let text = format!("  url: postgres://app:{password}@127.0.0.1:5432/shop # note\nnext: 1\n");
            let masked = mask(&text, &[]);
            assert_eq!(masked.len(), text.len(), "{masked}");
            assert!(masked.contains("://app:*") && masked.contains("@127.0.0.1"), "{masked}");
            let signs = ['\'', '"'];
            assert!(password.split(signs).all(|part| part.len() < 2 || !masked.contains(part)), "{masked}");
            assert!(has_literal_password(&text), "{text}");
        }
        assert_eq!(mask("postgres://app:s3cret/db", &[]), "postgres://app:******/db");
        for text in
            ["http://h:8000/x", "postgres://[::1]:5432/d", "redis://h:${PORT}/0", "mail a@b, see http://h"]
        {
            assert_eq!(mask(text, &[]), text);
        }
    }

    #[test]
    fn secrets_of_broken_files_are_found_by_their_looks() {
        let masked = mask_by_lines("a: {password: hunter2, b\ntoken: |\n  abc\n  def\nnext: 1\n");
        assert!(!masked.contains("hunter2") && !masked.contains("abc") && !masked.contains("def"));
        assert!(masked.contains("next: 1"));
    }

    #[test]
    fn secrets_of_broken_files_are_found_over_several_lines() {
        for value in ["{hunter2:\n    [hunter3,", "'hunter2\n    hunter3", "hunter2\n    hunter3"] {
            let masked = mask_by_lines(&format!("a:\n  password: {value}\n  next: }}\n"));
            assert!(!masked.contains("hunter") && masked.contains("next: }"), "{masked}");
        }
        let masked = mask_by_lines("a: {password: hunter2,\n  role: [admin\n");
        assert!(!masked.contains("hunter2") && masked.contains("role: [admin"));
    }
}
