//! Secrets in sentences: of comments in SQL, and of the texts of `COMMENT ON`.

use std::ops::Range;

use super::names::says_secret;

/// Finds `password: …`, `token=…` and `password is …`. A value behind `is` must not look like a word of the
/// language: `the password is required` names no secret.
pub(super) fn secrets(text: &str, base: usize, found: &mut Vec<Range<usize>>) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let word = rest.get(start..).unwrap_or("");
        let length = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, behind) = word.split_at(length);
        rest = behind;
        let Some(value) = Some(word).filter(|word| says_secret(word)).and_then(|_| value(behind)) else {
            continue;
        };
        let start = base + value.as_ptr() as usize - text.as_ptr() as usize;
        found.push(start..start + value.len());
    }
}

/// The value that follows the name of a secret.
fn value(behind: &str) -> Option<&str> {
    let behind = behind.trim_start_matches([' ', '\t', '"', '\'', '`']);
    let (value, is_assigned) = match (behind.strip_prefix([':', '=']), behind.strip_prefix("is ")) {
        (Some(value), _) => (value, true),
        (None, Some(value)) => (value, false),
        (None, None) => return None,
    };
    let value = value.trim_start_matches([' ', '\t', '=', '"', '\'', '`']);
    let end = value.find(|c: char| c.is_whitespace() || "\"'`;,)".contains(c)).unwrap_or(value.len());
    let value = value.get(..end)?.trim_end_matches(['.', '!', '?']);
    let is_word = value.chars().all(char::is_alphabetic);
    (!value.is_empty() && (is_assigned || !is_word)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_behind_the_name_of_a_secret_is_found() {
        for (text, secret) in [
            (" password: hunter22", "hunter22"),
            ("the api_token = 'hunter 22'", "hunter"),
            ("Its password is hunter22.", "hunter22"),
            ("user bob, pw:hunter22, since 2024", "hunter22"),
            ("\"password\": \"hunter22\"", "hunter22"),
        ] {
            let mut found = Vec::new();
            secrets(text, 0, &mut found);
            let found: Vec<&str> = found.into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, [secret], "{text}");
        }
        for text in
            ["the password is required", "a token, of 20 bytes", "keys: a, b", "password:", "is the hash"]
        {
            let mut found = Vec::new();
            secrets(text, 0, &mut found);
            assert!(found.is_empty(), "{text}");
        }
    }
}
