//! Tokens of SQL with what stands between quotes, in any dialect: for looking into texts, bodies and
//! comments, not for telling statements apart. Says nothing about what they mean.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bare word, or a quoted name.
    Word,
    /// What stands between the quotes of a text.
    Text,
    /// What stands between two dollar quotes.
    Body,
    /// What stands in a comment.
    Comment,
    /// The lines of rows behind `COPY … FROM stdin;`.
    Data,
    /// Any other character.
    Other(char),
}

/// A token with its text and its place in the whole SQL.
#[derive(Clone)]
pub(super) struct Token<'t> {
    pub(super) kind: TokenKind,
    pub(super) text: &'t str,
    pub(super) range: Range<usize>,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.kind == TokenKind::Other(sign)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.kind, TokenKind::Text | TokenKind::Body)
    }
}

/// All tokens of a text whose first byte is at `base`.
pub(super) fn tokens(text: &str, base: usize) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut at, mut statement) = (0, 0);
    while let Some((kind, inner, end)) = token(text, at) {
        at = end;
        let content = |inner: &Range<usize>| text.get(inner.clone()).unwrap_or("");
        let range = base + inner.start..base + inner.end;
        tokens.push(Token { kind, text: content(&inner), range });
        if kind == TokenKind::Other(';') {
            if copies_from_stdin(tokens.get(statement..).unwrap_or_default()) {
                let (inner, end) = data(text, at);
                let range = base + inner.start..base + inner.end;
                tokens.push(Token { kind: TokenKind::Data, text: content(&inner), range });
                at = end;
            }
            statement = tokens.len();
        }
    }
    tokens
}

/// The word that a text begins with, behind comments.
pub(super) fn first_word(text: &str) -> Option<&str> {
    let mut at = 0;
    loop {
        match token(text, at)? {
            (TokenKind::Comment, _, end) => at = end,
            (TokenKind::Word, inner, _) => return text.get(inner),
            _ => return None,
        }
    }
}

fn copies_from_stdin(statement: &[Token<'_>]) -> bool {
    let is_code = |token: &&Token<'_>| !matches!(token.kind, TokenKind::Comment | TokenKind::Data);
    let mut tokens = statement.iter().filter(is_code);
    tokens.next().is_some_and(|first| first.is("copy")) && tokens.any(|token| token.is("stdin"))
}

/// The bytes of the rows, which end before a line `\\.`, and the end of that line.
fn data(text: &str, from: usize) -> (Range<usize>, usize) {
    let mut at = from;
    for line in text.get(from..).unwrap_or("").split_inclusive('\n') {
        let end = at + line.len();
        if line.trim_end() == "\\." {
            return (from..at, end);
        }
        at = end;
    }
    (from..at, at)
}

/// The next token: its kind, the bytes of what it holds, and where it ends.
fn token(text: &str, from: usize) -> Option<(TokenKind, Range<usize>, usize)> {
    let rest = text.get(from..)?;
    let at = from + (rest.len() - rest.trim_start().len());
    let rest = text.get(at..)?;
    let first = rest.chars().next()?;
    let closed = |start: usize, length: usize, close: usize| {
        let end = at + length;
        (at + start..end.saturating_sub(close).max(at + start), end)
    };
    if rest.starts_with("--") {
        let length = rest.find('\n').unwrap_or(rest.len());
        return Some((TokenKind::Comment, at + 2..at + length, at + length));
    }
    if rest.starts_with("/*") {
        let end = rest.find("*/").unwrap_or(rest.len());
        return Some((TokenKind::Comment, at + 2.min(end)..at + end, at + (end + 2).min(rest.len())));
    }
    // E'…', B'…', N'…', X'…' and U&'…'.
    let lower = first.to_ascii_lowercase();
    let prefix = match rest.get(1..) {
        Some(next) if next.starts_with('\'') && matches!(lower, 'e' | 'b' | 'n' | 'x') => 1,
        Some(next) if next.starts_with("&'") && lower == 'u' => 2,
        _ => 0,
    };
    if prefix > 0 || first == '\'' {
        let (length, is_closed) = quoted(rest.get(prefix..).unwrap_or(""), '\'', lower == 'e' && prefix == 1);
        let (inner, end) = closed(prefix + 1, prefix + length, usize::from(is_closed));
        return Some((TokenKind::Text, inner, end));
    }
    if matches!(first, '"' | '`') {
        let (length, is_closed) = quoted(rest, first, false);
        let (inner, end) = closed(1, length, usize::from(is_closed));
        return Some((TokenKind::Word, inner, end));
    }
    if let Some((opening, length)) = dollar_quoted(rest) {
        let is_closed = length >= 2 * opening && rest.get(length - opening..length) == rest.get(..opening);
        let (inner, end) = closed(opening, length, if is_closed { opening } else { 0 });
        return Some((TokenKind::Body, inner, end));
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        return Some((TokenKind::Word, at..at + length, at + length));
    }
    Some((TokenKind::Other(first), at..at + first.len_utf8(), at + first.len_utf8()))
}

/// Length with quotes, and whether it ends; a doubled quote stands for one.
fn quoted(text: &str, quote: char, backslash: bool) -> (usize, bool) {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if backslash && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return (at + quote.len_utf8(), true);
            }
        }
    }
    (text.len(), false)
}

/// Length of the opening and of the whole of `$tag$ … $tag$`.
fn dollar_quoted(text: &str) -> Option<(usize, usize)> {
    let inner = text.strip_prefix('$')?;
    let tag = inner.get(..inner.find('$')?)?;
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(char::is_numeric);
    let opening = is_tag.then_some(tag.len() + 2)?;
    let body = text.get(opening..)?;
    let end = body.find(text.get(..opening)?);
    Some((opening, end.map_or(text.len(), |end| end + 2 * opening)))
}
