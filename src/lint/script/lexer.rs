//! Cuts a script into words, names, punctuation and texts, and remembers its comments.

use std::ops::Range;

use crate::sql::Dialect;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word, in lower case: a keyword or a name.
    Word(String),
    /// A quoted name.
    Name(String),
    /// Punctuation, one character; texts and numbers too, as their first character.
    Other(char),
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: Range<usize>,
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(is) if is == word)
    }
}

pub(super) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    pub comments: Vec<Range<usize>>,
    pub never_ends: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect, comments: Vec::new(), never_ends: false }
    }

    fn rest(&self) -> &str {
        self.sql.get(self.at..).unwrap_or("")
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank =
                rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
            let (skipped, ends) = match rest.get(blank..).unwrap_or("") {
                comment if comment.starts_with("--") => {
                    // To SQLite a carriage return ends no line.
                    let ends = |c| c == '\n' || c == '\r' && self.dialect == Dialect::Postgres;
                    (comment.find(ends).unwrap_or(comment.len()), true)
                }
                comment if comment.starts_with("/*") => {
                    self.comment(comment).map_or((comment.len(), false), |length| (length, true))
                }
                _ => (0, true),
            };
            self.never_ends |= !ends;
            self.at += blank + skipped;
            if skipped > 0 {
                self.comments.push(self.at - skipped..self.at);
            } else {
                return;
            }
        }
    }

    /// Length of a comment that ends; PostgreSQL nests them.
    fn comment(&self, text: &str) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth += 1;
                at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        None
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let (length, kind) = match first {
            'e' | 'E'
                if self.dialect == Dialect::Postgres
                    && rest.get(1..).is_some_and(|r| r.starts_with('\'')) =>
            {
                (escaped(rest), Kind::Other('\''))
            }
            '\'' => (quoted(rest, '\'', false), Kind::Other('\'')),
            '"' | '`' => {
                let length = quoted(rest, first, false);
                let inner = rest.get(1..length.unwrap_or(0).saturating_sub(1)).unwrap_or("");
                (length, Kind::Name(inner.replace(&format!("{first}{first}"), &first.to_string())))
            }
            '[' if self.dialect == Dialect::Sqlite => {
                let end = rest.find(']');
                let inner = rest.get(1..end.unwrap_or(1)).unwrap_or("");
                (end.map(|end| end + 1), Kind::Name(inner.to_owned()))
            }
            '$' if self.dialect == Dialect::Postgres => (dollar_quoted(rest), Kind::Other('$')),
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(length), Kind::Word(rest.get(..length).unwrap_or("").to_lowercase()))
            }
            other => (Some(other.len_utf8()), Kind::Other(other)),
        };
        let all = rest.len();
        self.never_ends |= length.is_none();
        let length = length.unwrap_or(all);
        let at = self.at..self.at + length;
        self.at = at.end;
        Some(Token { kind, at })
    }
}

/// Length of `E'…'` that ends, with what goes on in the same way on another line.
fn escaped(text: &str) -> Option<usize> {
    let mut length = 1;
    loop {
        length += quoted(text.get(length..).unwrap_or(""), '\'', true)?;
        let rest = text.get(length..).unwrap_or("");
        let blank = rest.len() - rest.trim_start().len();
        let goes_on = rest.get(blank..).is_some_and(|rest| rest.starts_with('\''));
        if !goes_on || !rest.get(..blank).unwrap_or("").contains(['\n', '\r']) {
            return Some(length);
        }
        length += blank;
    }
}

/// Length of a quoted text that ends, with its quotes; a doubled quote stands for one.
fn quoted(text: &str, quote: char, backslash: bool) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if backslash && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return Some(at + quote.len_utf8());
            }
        }
    }
    None
}

/// Length of `$tag$ … $tag$` that ends, or of a lone `$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let Some(inner) = text.get(1..) else { return Some(1) };
    let Some(end) = inner.find('$') else { return Some(1) };
    let tag = inner.get(..end).unwrap_or("");
    let is_tag =
        tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_numeric());
    if !is_tag {
        return Some(1);
    }
    let opening = end + 2;
    let delimiter = text.get(..opening).unwrap_or("$");
    let body = text.get(opening..).unwrap_or("");
    body.find(delimiter).map(|at| opening + at + delimiter.len())
}
