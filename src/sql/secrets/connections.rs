//! Secrets inside of texts: of connections, URLs, JSON, command lines and headers.

use std::ops::Range;

use super::names::says_secret;

/// Whether a text is `key=value …`, as connections are described.
pub(super) fn is_connection(text: &str) -> bool {
    let rest = text.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    rest.len() < text.trim_start().len() && rest.trim_start().starts_with('=') && !text.contains(';')
}

/// Secrets in a text: of a connection's description, of JSON, of a statement that is executed.
/// True when the text begins a statement whose secret comes later.
pub(super) fn within(text: &str, base: usize, is_executed: bool, found: &mut Vec<Range<usize>>) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let quotes = ['\'', '"', '\\'];
    let begins = text.trim_start().get(..6).map(str::to_lowercase).unwrap_or_default();
    let is_statement = is_executed || begins == "create" || begins == "update" || begins.starts_with("alter");
    let mut at = 0;
    let mut assembles = false;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(is_word)).map(|start| at + start) {
        let word = text.get(start..).unwrap_or("");
        let end = start + word.find(|c: char| !is_word(c)).unwrap_or(word.len());
        at = end;
        if !text.get(start..end).is_some_and(says_secret) {
            continue;
        }
        let rest = text.get(end..).unwrap_or("");
        let between = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_whitespace() || quotes.contains(&c) || "=:>".contains(c))
                .len();
        let (separator, value) = rest.split_at_checked(between).unwrap_or((rest, ""));
        let is_placeholder = value.starts_with(['%', '$', '{', '(']);
        if value.is_empty() || is_placeholder {
            assembles |= is_statement && (is_executed || !separator.is_empty());
            continue;
        }
        let last_sign = separator.trim_end().chars().next_back();
        let length = match last_sign {
            Some(sign) if quotes.contains(&sign) && !separator.ends_with(char::is_whitespace) => {
                value.find(quotes).unwrap_or(value.len())
            }
            Some('=') => value
                .find(|c: char| c.is_whitespace() || quotes.contains(&c) || ";,&})".contains(c))
                .unwrap_or(value.len()),
            _ => continue,
        };
        if value.get(..length).is_some_and(|value| !value.contains('(')) {
            found.push(base + end + between..base + end + between + length);
        }
        at = end + between + length;
    }
    assembles
}

/// Passwords of URLs: between `://user:` and the last `@`.
pub(super) fn urls(text: &str, base: usize, found: &mut Vec<Range<usize>>) {
    let mut next = 0;
    while let Some(start) = text.get(next..).and_then(|rest| rest.find("://")).map(|at| at + next + 3) {
        let rest = text.get(start..).unwrap_or("");
        let length = rest.find(|c: char| c.is_whitespace() || "\"'`;,<>".contains(c)).unwrap_or(rest.len());
        next = start + length;
        let user_info = rest.get(..length).and_then(|url| url.rsplit_once('@')).map_or("", |(info, _)| info);
        if let Some((user, password)) = user_info.split_once(':') {
            let at = base + start + user.len() + 1;
            found.push(at..at + password.len());
        }
    }
}

/// Secrets of commands and headers in a text: `curl -u user:…` and `Authorization: Bearer …`.
pub(super) fn credentials(text: &str, base: usize, found: &mut Vec<Range<usize>>) {
    let is_end = |c: char| c.is_whitespace() || "\"'`;,\\".contains(c);
    let mut words = text.split(is_end).map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word));
    let mut before: [&str; 2] = ["", ""];
    for (at, word) in words.by_ref().filter(|(_, word)| !word.is_empty()) {
        let [scheme, option] = before;
        let secret = match word.split_once(':') {
            Some((user, password)) if matches!(option, "-u" | "--user") && !user.is_empty() => password,
            _ if scheme.ends_with(':') && is_scheme(option) => word,
            // The value of a header.
            _ if scheme.is_empty() && option == "Bearer" && text.trim_end().ends_with(word) => word,
            _ => "",
        };
        let start = base + at + word.len() - secret.len();
        found.push(start..start + secret.len());
        before = [option, word];
    }
}

fn is_scheme(word: &str) -> bool {
    ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}
