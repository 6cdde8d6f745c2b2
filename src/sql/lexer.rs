//! Splits SQL into tokens. Never fails: an unclosed quote ends with the text.

use std::borrow::Cow;
use std::ops::Range;

use super::Dialect;

/// What the quotes and comments of a text mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Of(Dialect),
    /// SQL of any dialect, possibly cut off: the quotes of all dialects count, and the rows behind
    /// `COPY … FROM stdin` are no SQL.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An unquoted keyword or name.
    Word,
    /// A name in quotes, with the character that opens them.
    Name(char),
    /// A text in single quotes.
    Text,
    /// A text in dollar quotes.
    Body,
    Comment,
    /// The rows behind `COPY … FROM stdin;`.
    Data,
    /// Any other character.
    Other(char),
}

/// A token and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: TokenKind,
    /// The content, without quotes.
    pub(crate) text: &'t str,
    /// The bytes of the content.
    pub(crate) range: Range<usize>,
    /// The bytes with the quotes.
    pub(crate) at: Range<usize>,
    /// False if a quote or a comment never ends.
    pub(crate) is_closed: bool,
}

impl Token<'_> {
    /// Whether it is this unquoted word.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        self.kind == TokenKind::Other(sign)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, TokenKind::Text | TokenKind::Body)
    }

    pub(crate) fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Name(_))
    }

    /// The content with single quotes in place of doubled ones.
    pub(crate) fn unquoted(&self) -> Cow<'_, str> {
        match self.kind {
            TokenKind::Name(quote @ ('"' | '`')) => {
                self.text.replace(&format!("{quote}{quote}"), &quote.to_string()).into()
            }
            TokenKind::Text => self.text.replace("''", "'").into(),
            _ => self.text.into(),
        }
    }
}

/// The tokens of a text, with its comments.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'t> {
    sql: &'t str,
    at: usize,
    syntax: Syntax,
    copy: Copying,
}

/// How much of `COPY … FROM stdin;` has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copying {
    Begins,
    Copies,
    FromStdin,
    Rows,
    Other,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(sql: &'t str, syntax: Syntax) -> Self {
        Self { sql, at: 0, syntax, copy: Copying::Begins }
    }

    /// The tokens without the comments.
    pub(crate) fn code(sql: &'t str, syntax: Syntax) -> impl Iterator<Item = Token<'t>> {
        Self::new(sql, syntax).filter(|token| token.kind != TokenKind::Comment)
    }

    fn is(&self, dialect: Dialect) -> bool {
        self.syntax == Syntax::Of(dialect)
    }

    /// Returns the kind and the length of the opening quotes, of the whole token if it is closed, and of the
    /// closing quotes.
    fn measure(&self, rest: &str) -> Option<(TokenKind, usize, Option<usize>, usize)> {
        let first = rest.chars().next()?;
        if rest.starts_with("--") {
            // In SQLite a carriage return does not end a line comment.
            let ends = |c| c == '\n' || c == '\r' && self.is(Dialect::Postgres);
            return Some((TokenKind::Comment, 2, Some(rest.find(ends).unwrap_or(rest.len())), 0));
        }
        if rest.starts_with("/*") {
            return Some((TokenKind::Comment, 2, comment(rest, self.is(Dialect::Postgres)), 2));
        }
        let is_quoted_at = |at: usize| rest.get(at..).is_some_and(|rest| rest.starts_with('\''));
        Some(match first {
            'e' | 'E' if is_quoted_at(1) && self.is(Dialect::Postgres) => {
                (TokenKind::Text, 2, continued(rest), 1)
            }
            // E'…', B'…', N'…', X'…' and U&'…'.
            'e' | 'E' | 'b' | 'B' | 'n' | 'N' | 'x' | 'X'
                if is_quoted_at(1) && self.syntax == Syntax::Any =>
            {
                (TokenKind::Text, 2, quoted(rest, 1, '\'', matches!(first, 'e' | 'E')), 1)
            }
            'u' | 'U'
                if rest.get(1..).is_some_and(|rest| rest.starts_with("&'")) && self.syntax == Syntax::Any =>
            {
                (TokenKind::Text, 3, quoted(rest, 2, '\'', false), 1)
            }
            '\'' => (TokenKind::Text, 1, quoted(rest, 0, '\'', false), 1),
            '"' | '`' => (TokenKind::Name(first), 1, quoted(rest, 0, first, false), 1),
            '[' if self.is(Dialect::Sqlite) => {
                (TokenKind::Name('['), 1, rest.find(']').map(|end| end + 1), 1)
            }
            '$' if !self.is(Dialect::Sqlite) => match dollar_quote(rest) {
                Some(quote) => {
                    let body = rest.get(quote.len()..).unwrap_or("");
                    let length = body.find(quote).map(|end| end + 2 * quote.len());
                    (TokenKind::Body, quote.len(), length, quote.len())
                }
                None => (TokenKind::Other('$'), 0, Some(1), 0),
            },
            c if is_word(c) && !c.is_numeric() && c != '$' => {
                (TokenKind::Word, 0, Some(rest.find(|c| !is_word(c)).unwrap_or(rest.len())), 0)
            }
            other => (TokenKind::Other(other), 0, Some(other.len_utf8()), 0),
        })
    }

    /// The rows behind COPY, which end before a line `\.`.
    fn rows(&mut self) -> Token<'t> {
        let start = self.at;
        let mut end = start;
        for line in self.sql.get(start..).unwrap_or("").split_inclusive('\n') {
            self.at += line.len();
            if line.trim_end() == "\\." {
                break;
            }
            end = self.at;
        }
        let text = self.sql.get(start..end).unwrap_or("");
        Token { kind: TokenKind::Data, text, range: start..end, at: start..end, is_closed: true }
    }
}

impl<'t> Iterator for Lexer<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        if self.copy == Copying::Rows && self.syntax == Syntax::Any {
            self.copy = Copying::Begins;
            return Some(self.rows());
        }
        let rest = self.sql.get(self.at..)?;
        let start = self.at + rest.len()
            - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
        let rest = self.sql.get(start..)?;
        let (kind, open, length, close) = self.measure(rest)?;
        self.at = start + length.unwrap_or(rest.len());
        let range = start + open..self.at - length.map_or(0, |_| close);
        let text = self.sql.get(range.clone()).unwrap_or("");
        let token = Token { kind, text, range, at: start..self.at, is_closed: length.is_some() };
        self.copy = match self.copy {
            copy if kind == TokenKind::Comment => copy,
            Copying::FromStdin if token.is_sign(';') => Copying::Rows,
            _ if token.is_sign(';') => Copying::Begins,
            Copying::Begins if token.is("copy") => Copying::Copies,
            Copying::Copies if token.is("stdin") => Copying::FromStdin,
            Copying::Begins => Copying::Other,
            copy => copy,
        };
        Some(token)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii() && !c.is_whitespace()
}

/// Returns the length of a terminated comment.
fn comment(text: &str, nests: bool) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") && (depth == 0 || nests) {
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

/// Returns the length of a terminated `E'…'`, including continuations on following lines.
fn continued(text: &str) -> Option<usize> {
    let mut length = 1;
    loop {
        length = quoted(text, length, '\'', true)?;
        let rest = text.get(length..).unwrap_or("");
        let blank = rest.len() - rest.trim_start().len();
        let goes_on = rest.get(blank..).is_some_and(|rest| rest.starts_with('\''));
        if !goes_on || !rest.get(..blank).unwrap_or("").contains(['\n', '\r']) {
            return Some(length);
        }
        length += blank;
    }
}

/// Returns the end of a terminated quoted text, which starts at a quote. A doubled quote is one escaped
/// quote.
fn quoted(text: &str, start: usize, quote: char, backslash: bool) -> Option<usize> {
    let mut characters = text.get(start..)?.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if backslash && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return Some(start + at + quote.len_utf8());
            }
        }
    }
    None
}

/// Returns the `$tag$` that a text begins with.
fn dollar_quote(text: &str) -> Option<&str> {
    let tag = text.get(1..)?;
    let tag = tag.get(..tag.find('$')?)?;
    let is_tag = tag.chars().all(|c| c != '$' && is_word(c)) && !tag.starts_with(char::is_numeric);
    text.get(..tag.len() + 2).filter(|_| is_tag)
}
