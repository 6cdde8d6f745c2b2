//! Splits a script into tokens and records its comments.

use std::ops::Range;

use crate::sql::Dialect;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An unquoted keyword or name, in lower case.
    Word(String),
    /// A quoted name.
    Name(String),
    /// A punctuation character, or the first character of a string or number.
    Other(char),
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub at: Range<usize>,
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(&self.kind, TokenKind::Word(is) if is == word)
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
                    // In SQLite a carriage return does not end a line comment.
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

    /// Returns the length of a terminated comment. PostgreSQL nests comments.
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
                (escaped(rest), TokenKind::Other('\''))
            }
            '\'' => (quoted(rest, '\'', false), TokenKind::Other('\'')),
            '"' | '`' => {
                let length = quoted(rest, first, false);
                let inner = rest.get(1..length.unwrap_or(0).saturating_sub(1)).unwrap_or("");
                (length, TokenKind::Name(inner.replace(&format!("{first}{first}"), &first.to_string())))
            }
            '[' if self.dialect == Dialect::Sqlite => {
                let end = rest.find(']');
                let inner = rest.get(1..end.unwrap_or(1)).unwrap_or("");
                (end.map(|end| end + 1), TokenKind::Name(inner.to_owned()))
            }
            '$' if self.dialect == Dialect::Postgres => (dollar_quoted(rest), TokenKind::Other('$')),
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(length), TokenKind::Word(rest.get(..length).unwrap_or("").to_lowercase()))
            }
            other => (Some(other.len_utf8()), TokenKind::Other(other)),
        };
        let all = rest.len();
        self.never_ends |= length.is_none();
        let length = length.unwrap_or(all);
        let at = self.at..self.at + length;
        self.at = at.end;
        Some(Token { kind, at })
    }
}

/// Returns the length of a terminated `E'…'`, including continuations on following lines.
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

/// Returns the length of a terminated quoted text, with its quotes. A doubled quote is one escaped
/// quote.
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

/// Returns the length of a terminated `$tag$ … $tag$`, or of a lone `$`.
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
