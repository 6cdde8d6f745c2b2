//! Escapes foreign text in Markdown, so that code hosts do not render links, images, mentions,
//! references, HTML or emphasis from it. Hosts detect mentions and addresses after rendering, where
//! escapes have no effect; those become code, in which hosts detect nothing.

use crate::neutral::one_line;

/// Escapes text within an HTML element.
pub(super) fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Renders a code span outside of a table, with a fence longer than any run of backticks in the
/// text.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let needs_blank = text.trim().is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let blank = if needs_blank { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

/// Renders a code span in a table cell. A bar there is written `\|`; after a backslash, renderers
/// interpret that differently, so the bar becomes a numeric entity.
pub(super) fn code_cell(text: &str) -> String {
    code(&text.replace("\\|", "\\\\u007c")).replace('|', "\\|")
}

/// Escapes text outside of code, in a table cell or a list item. Text between backticks stays code.
pub(super) fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // With an unpaired backtick, none of the backticks marks code.
    if parts.len().is_multiple_of(2) || parts.iter().skip(1).step_by(2).any(|part| part.is_empty()) {
        return words(text);
    }
    let part = |(at, part): (usize, &&str)| if at % 2 == 1 { code_cell(part) } else { words(part) };
    parts.iter().enumerate().map(part).collect()
}

fn words(text: &str) -> String {
    let text = one_line(text);
    let word = |word: &str| {
        if !is_linkable(word) {
            return escaped(word);
        }
        let (word, punctuation) = without_punctuation(word);
        code_cell(word) + &escaped(punctuation)
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A word, and the punctuation of the sentence behind it. A parenthesis belongs to the word that opens it.
fn without_punctuation(word: &str) -> (&str, &str) {
    let opens = word.contains('(');
    let core =
        word.trim_end_matches(|c| matches!(c, '.' | ',' | ';' | ':' | '?' | '!') || c == ')' && !opens);
    word.split_at(if core.is_empty() { word.len() } else { core.len() })
}

/// Whether a host could turn a word into a link, a mention or a reference.
fn is_linkable(word: &str) -> bool {
    let lower = word.to_lowercase();
    let begins_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '"' | '/' | '`');
    let is_reference = word.char_indices().any(|(at, c)| {
        let rest = word.get(at + c.len_utf8()..).unwrap_or("");
        matches!(c, '@' | '#' | '!' | '~' | '%' | '&' | '$' | ':') && rest.starts_with(begins_name)
    });
    let hex = word.trim_matches(|c: char| c.is_ascii_punctuation());
    let is_commit = hex.len() >= 7
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        && hex.bytes().any(|byte| byte.is_ascii_digit());
    is_reference || is_commit || lower.contains("www.") || lower.contains("gh-")
}

fn escaped(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' => out.push_str("&#124;"),
            '`' => out.push_str("&#96;"),
            '\\' => out.push_str("&#92;"),
            '*' | '_' | '~' | '[' | ']' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_span_survives_any_number_of_backticks() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("``@org/team``"), "``` ``@org/team`` ```");
        assert_eq!(code("a```b`"), "```` a```b` ````");
        assert_eq!(code("a\nb"), "`a\\nb`");
    }

    #[test]
    fn a_bar_ends_no_cell() {
        assert_eq!(code_cell("a|b"), "`a\\|b`");
        assert_eq!(code_cell("a\\|b"), "`a\\\\u007cb`");
        assert_eq!(prose("a|b"), "a&#124;b");
    }

    #[test]
    fn nothing_in_prose_is_live() {
        for (text, written) in [
            ("see @org/team, #12", "see `@org/team`, `#12`"),
            ("(did you mean \"a@b\"?): x", "(did you mean `\"a@b\"`?): x"),
            ("(#12): x", "`(#12)`: x"),
            ("https://evil.example www.evil.example", "`https://evil.example` `www.evil.example`"),
            ("![x](y) **b** <img>", "\\!\\[x\\](y) \\*\\*b\\*\\* &lt;img&gt;"),
            ("![x](https://e.example/p.png)", "`![x](https://e.example/p.png)`"),
            ("run `trueup apply` now", "run `trueup apply` now"),
            ("one ` tick @a", "one &#96; tick `@a`"),
            ("a\n# b", "a\\nn# b"),
        ] {
            assert_eq!(prose(text), written.replace("\\nn", "&#92;n"), "{text}");
        }
    }
}
