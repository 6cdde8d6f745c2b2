//! Finds passwords and the like that stand in SQL as literals, so that nothing shows them. Prefers
//! hiding too much to too little; changes nothing that is run, and knows no dialect.

mod columns;
mod connections;
mod files;
mod names;
mod rows;
mod sentences;

use std::ops::Range;

use columns::{Columns, Tables};
use connections::{credentials, is_connection, urls, within};
pub use files::FileTables;
pub use names::says_secret;

use super::identifier;
use super::lexer::{Lexer, Syntax, Token, TokenKind};

/// Texts in texts are looked into as deep as this.
const MOST_DEPTH: usize = 8;

/// The bytes of the literals that are known to be secrets, without quotes, in their order; no two overlap.
pub fn secrets(sql: &str) -> Vec<Range<usize>> {
    found(sql, None)
}

/// The text with `…` for each of [`secrets`].
pub fn masked(sql: &str) -> String {
    replaced(sql, secrets(sql), |_| "…".to_owned())
}

/// The SQL of a column's default or generated value, with `…` for its secrets.
pub fn masked_value(column: &str, sql: &str) -> String {
    if !sql.contains(['\'', '$']) {
        return sql.to_owned();
    }
    let declared = format!("{} DEFAULT ", identifier(column));
    let masked = masked(&format!("{declared}{sql}"));
    masked.strip_prefix(&declared).map_or_else(|| "…".to_owned(), str::to_owned)
}

/// The text with a `*` for each byte of [`secrets`], so that every place in it still fits.
pub fn masked_same_length(sql: &str) -> String {
    replaced(sql, secrets(sql), blot)
}

/// With `files`, rows of tables whose columns are not known count as secrets.
fn found(sql: &str, files: Option<&FileTables>) -> Vec<Range<usize>> {
    let mut search = Search { tables: Tables::default(), files, found: Vec::new() };
    search.scan(sql, 0, 0);
    let mut found = search.found;
    found.retain(|range| !range.is_empty());
    found.sort_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

fn blot(secret: &str) -> String {
    secret.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect()
}

fn replaced(sql: &str, secrets: Vec<Range<usize>>, shown: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut at = 0;
    for secret in secrets {
        out.push_str(sql.get(at..secret.start).unwrap_or(""));
        at = secret.end;
        out.push_str(&shown(sql.get(secret).unwrap_or("")));
    }
    out.push_str(sql.get(at..).unwrap_or(""));
    out
}

/// What has been found in a text.
struct Search<'f> {
    /// The tables that the text itself creates.
    tables: Tables,
    files: Option<&'f FileTables>,
    found: Vec<Range<usize>>,
}

/// Where in a statement a text would be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// Behind a word that names a secret.
    AfterKey,
    /// In the declaration of a column or variable of such a name, within so many parentheses.
    Declared(usize),
    /// In the value that it is given, within so many parentheses.
    InValue(usize),
    /// Behind the beginning of a statement that is put together from texts.
    Assembled,
}

impl Search<'_> {
    fn scan(&mut self, text: &str, base: usize, depth: usize) {
        if depth > MOST_DEPTH {
            return;
        }
        let tokens = tokens(text, base);
        rows::secrets(&tokens, self);
        let mut place = Place::Elsewhere;
        let mut parentheses = 0_usize;
        let mut is_executed = false;
        let is_comment = tokens.iter().any(|token| token.is("comment"));
        for Token { kind, text: content, range, .. } in tokens {
            match kind {
                TokenKind::Text | TokenKind::Body => {
                    if matches!(place, Place::Elsewhere | Place::Declared(_)) {
                        let is_key_and_value =
                            kind == TokenKind::Text || is_executed || is_connection(content);
                        let assembles = is_key_and_value
                            && within(content, range.start, is_executed, &mut self.found)
                            || is_sql(content) && rows::writes_secrets(content, self);
                        place = if assembles { Place::Assembled } else { place };
                    } else {
                        self.found.push(range.clone());
                    }
                    if is_comment {
                        sentences::secrets(content, range.start, &mut self.found);
                    }
                    if kind == TokenKind::Body || is_sql(content) {
                        self.scan_unquoted(kind, content, range.start, depth);
                    }
                    urls(content, range.start, &mut self.found);
                    credentials(content, range.start, &mut self.found);
                }
                TokenKind::Comment | TokenKind::Data => {
                    self.scan(content, range.start, depth + 1);
                    sentences::secrets(content, range.start, &mut self.found);
                    urls(content, range.start, &mut self.found);
                    credentials(content, range.start, &mut self.found);
                }
                TokenKind::Word | TokenKind::Name(_) | TokenKind::Other(_) => {
                    parentheses = match kind {
                        TokenKind::Other('(') => parentheses + 1,
                        TokenKind::Other(')') => parentheses.saturating_sub(1),
                        _ => parentheses,
                    };
                    is_executed = match kind {
                        TokenKind::Other(';') => false,
                        _ => {
                            is_executed || kind == TokenKind::Word && content.eq_ignore_ascii_case("execute")
                        }
                    };
                    place = next_place(place, kind, content, parentheses);
                }
            }
        }
    }

    /// Looks into a text as it is without its quotes: `'…''x''…'` holds `'x'`.
    fn scan_unquoted(&mut self, kind: TokenKind, text: &str, base: usize, depth: usize) {
        const QUOTES: [&str; 2] = ["''", "\\'"];
        if kind == TokenKind::Body || !QUOTES.iter().any(|quote| text.contains(quote)) {
            return self.scan(text, base, depth + 1);
        }
        let mut plain = String::with_capacity(text.len());
        // For each byte of the plain text, and for its end, where it stands.
        let mut places = Vec::with_capacity(text.len() + 1);
        let mut characters = text.char_indices();
        while let Some((at, character)) = characters.next() {
            let is_quote =
                QUOTES.iter().any(|quote| text.get(at..).is_some_and(|rest| rest.starts_with(quote)));
            let second = if is_quote { characters.next() } else { None };
            let character = second.map_or(character, |(_, quote)| quote);
            plain.push(character);
            places.extend((0..character.len_utf8()).map(|byte| at + byte));
        }
        places.push(text.len());
        let place = |at: usize| base + places.get(at).copied().unwrap_or(text.len());
        let outer = std::mem::take(&mut self.found);
        self.scan(&plain, 0, depth + 1);
        let inner = std::mem::replace(&mut self.found, outer);
        self.found.extend(inner.into_iter().map(|range| place(range.start)..place(range.end)));
    }

    /// The columns of a table that a statement writes to without naming them; the tokens begin with the name.
    fn columns(&self, table: &[Token<'_>]) -> Columns {
        match (self.tables.columns(table), self.files) {
            (Columns::Unknown, Some(files)) => files.columns(table),
            (Columns::Unknown, None) => Columns::NONE,
            (known, _) => known,
        }
    }
}

/// The tokens of a text whose first byte is at `base`.
fn tokens(text: &str, base: usize) -> Vec<Token<'_>> {
    let moved = |token: Token<'_>| base + token.range.start..base + token.range.end;
    Lexer::new(text, Syntax::Any).map(|token| Token { range: moved(token.clone()), ..token }).collect()
}

/// Whether a text begins like a statement.
fn is_sql(text: &str) -> bool {
    const FIRST_WORDS: [&str; 18] = [
        "alter", "begin", "call", "comment", "copy", "create", "declare", "delete", "do", "execute",
        "insert", "merge", "perform", "replace", "select", "set", "update", "with",
    ];
    Lexer::code(text, Syntax::Any).next().is_some_and(|first| first.is_any(&FIRST_WORDS))
}

/// Words that follow a name where no type of it does.
const NO_TYPES: [&str; 18] = [
    "is",
    "in",
    "like",
    "ilike",
    "and",
    "or",
    "from",
    "where",
    "as",
    "on",
    "check",
    "then",
    "values",
    "select",
    "between",
    "order",
    "using",
    "references",
];

fn next_place(place: Place, kind: TokenKind, word: &str, parentheses: usize) -> Place {
    let is_word = matches!(kind, TokenKind::Word | TokenKind::Name(_));
    let is = |words: &[&str]| is_word && words.iter().any(|other| word.eq_ignore_ascii_case(other));
    match place {
        _ if kind == TokenKind::Other(';') => Place::Elsewhere,
        Place::Assembled => Place::Assembled,
        Place::InValue(within) => {
            let ends = parentheses < within
                || kind == TokenKind::Other(',') && parentheses == within
                || is(&["where", "and", "or", "from", "returning", "valid", "then", "is"]);
            if ends { Place::Elsewhere } else { place }
        }
        _ if is_word && says_secret(word) => Place::AfterKey,
        Place::AfterKey if is(&["to", "default"]) || matches!(kind, TokenKind::Other('=' | '>')) => {
            Place::InValue(parentheses)
        }
        // `:=`
        Place::AfterKey if kind == TokenKind::Other(':') => Place::AfterKey,
        // A type stands between the name of a column or variable and its value.
        Place::AfterKey if is_word && !is(&NO_TYPES) => Place::Declared(parentheses),
        Place::Declared(_) if is(&["default"]) || kind == TokenKind::Other('=') => {
            Place::InValue(parentheses)
        }
        Place::Declared(within) => {
            let ends = parentheses < within || kind == TokenKind::Other(',') && parentheses == within;
            if ends || is(&NO_TYPES) { Place::Elsewhere } else { place }
        }
        Place::AfterKey | Place::Elsewhere => Place::Elsewhere,
    }
}

#[cfg(test)]
mod tests;
