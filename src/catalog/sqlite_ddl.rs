//! Parses what SQLite keeps only as text: CHECK constraints, generation expressions, keys and predicates of
//! indexes, bodies of views. The input was accepted by SQLite. Pure; never fails, but omits what it cannot
//! parse.

use std::collections::BTreeMap;

/// The parsed parts of a CREATE TABLE.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableText {
    /// The expressions of all CHECK constraints, in order.
    pub(super) checks: Vec<String>,
    /// The expressions of generated columns, by the column's name in lower case.
    pub(super) generated: BTreeMap<String, String>,
}

/// A token with its offset in the text.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    at: usize,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

pub(super) fn table(sql: &str) -> TableText {
    let tokens = tokens(sql);
    let mut found = TableText::default();
    let Some(open) = tokens.iter().position(|token| token.is("(")) else { return found };
    let Some(body) = tokens.get(open..).and_then(parenthesised) else { return found };
    for item in items(body) {
        let name = item.first().map(|token| unquoted(token.text).to_lowercase()).unwrap_or_default();
        let mut at = 0;
        while let Some(token) = item.get(at) {
            let next = item.get(at + 1).filter(|next| next.is("(")).and_then(|_| item.get(at + 1..));
            match next.and_then(parenthesised) {
                Some(inner) if token.is("CHECK") => {
                    found.checks.push(slice(sql, inner).to_owned());
                    at += inner.len() + 3;
                }
                Some(inner) if token.is("AS") && at > 0 => {
                    found.generated.insert(name.clone(), slice(sql, inner).to_owned());
                    at += inner.len() + 3;
                }
                Some(inner) => at += inner.len() + 3,
                None => at += 1,
            }
        }
    }
    found
}

/// The keys of a CREATE INDEX as written, and its predicate.
pub(super) fn index(sql: &str) -> (Vec<String>, Option<String>) {
    let tokens = tokens(sql);
    let Some(open) = tokens.iter().position(|token| token.is("(")) else { return (Vec::new(), None) };
    let rest = tokens.get(open..).unwrap_or_default();
    let Some(body) = parenthesised(rest) else { return (Vec::new(), None) };
    let keys = items(body).into_iter().map(|item| slice(sql, item).to_owned()).collect();
    let predicate = match rest.get(body.len() + 2..) {
        Some([token, predicate @ ..]) if token.is("WHERE") => Some(slice(sql, predicate).to_owned()),
        _ => None,
    };
    (keys, predicate)
}

/// The text behind the AS of a CREATE VIEW.
pub(super) fn view_body(sql: &str) -> String {
    let tokens = tokens(sql);
    let mut depth = 0_usize;
    // The first three tokens are CREATE, VIEW and a name, which may be "as".
    for token in tokens.iter().skip(3) {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is("AS") => {
                return sql.get(token.end()..).unwrap_or("").trim().to_owned();
            }
            _ => {}
        }
    }
    sql.trim().to_owned()
}

/// The module of a CREATE VIRTUAL TABLE, in lower case.
pub(super) fn module(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let using = tokens.iter().position(|token| token.is("USING"))?;
    tokens.get(using + 1).map(|token| unquoted(token.text).to_lowercase())
}

/// The tokens between the opening parenthesis, which is the first token, and its closing one.
fn parenthesised<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return tokens.get(1..at);
        }
    }
    None
}

/// Splits at commas outside of parentheses.
fn items<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            match token.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.text == ","
        })
        .collect()
}

/// The text from the first to the last token.
fn slice<'a>(sql: &'a str, tokens: &[Token<'a>]) -> &'a str {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => sql.get(first.at..last.end()).unwrap_or(""),
        _ => "",
    }
}

fn unquoted(text: &str) -> String {
    let inner = |quote: char, close: char| text.strip_prefix(quote)?.strip_suffix(close);
    if let Some(name) = inner('[', ']') {
        return name.to_owned();
    }
    for quote in ['"', '`', '\''] {
        if let Some(name) = inner(quote, quote) {
            return name.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_owned()
}

/// Splits into words, quoted names, strings and single characters; omits white space and comments.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let (length, kept) = token(rest);
        if kept && let Some(text) = rest.get(..length) {
            tokens.push(Token { text, at });
        }
        at += length;
    }
    tokens
}

/// The length of the first token, and whether it is not white space or a comment.
fn token(rest: &str) -> (usize, bool) {
    let Some(first) = rest.chars().next() else { return (0, false) };
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let until = |end: Option<usize>| end.unwrap_or(rest.len());
    match first {
        _ if rest.starts_with("--") => (until(rest.find('\n')), false),
        _ if rest.starts_with("/*") => {
            (until(rest.get(2..).and_then(|inner| inner.find("*/")).map(|at| at + 4)), false)
        }
        '[' => (until(rest.find(']').map(|at| at + 1)), true),
        '"' | '`' | '\'' => (until(closing(rest, first)), true),
        c if c.is_ascii_whitespace() => (1, false),
        c if word(c) => (until(rest.find(|c| !word(c))), true),
        c => (c.len_utf8(), true),
    }
}

/// The offset of the closing quote; a doubled quote is an escape.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.find(quote)? + 1;
        if !text.get(at..)?.starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_checks_and_generated_columns_are_taken() {
        let found = table(
            r#"CREATE TABLE "a (b" ( -- CHECK (comment)
                 "check" TEXT DEFAULT ('CHECK (text)') CHECK("check" <> ')' /* ) */),
                 [as] INT DEFAULT (CAST(1 AS INT)) REFERENCES t (as1),
                 Total DECIMAL(10, 2) generated always as ([as] * 2) virtual,
                 CONSTRAINT c CHECK ((1)), CHECK (x IN (1, 2))
               ) STRICT"#,
        );

        assert_eq!(found.checks, [r#""check" <> ')'"#, "(1)", "x IN (1, 2)"]);
        assert_eq!(found.generated, [("total".to_owned(), "[as] * 2".to_owned())].into());
    }

    #[test]
    fn keys_predicates_bodies_and_modules_are_cut_out() {
        let (keys, predicate) =
            index("CREATE INDEX i ON t (a, f(b, ','), c COLLATE NOCASE DESC) WHERE a > (1)");
        assert_eq!(keys, ["a", "f(b, ',')", "c COLLATE NOCASE DESC"]);
        assert_eq!(predicate.as_deref(), Some("a > (1)"));
        assert_eq!(view_body("CREATE VIEW as_is (x) AS SELECT 1 AS x"), "SELECT 1 AS x");
        assert_eq!(view_body("CREATE VIEW \"as\" AS -- why\nSELECT 1"), "-- why\nSELECT 1");
        assert_eq!(module("CREATE VIRTUAL TABLE \"using\" USING FTS5(a)").as_deref(), Some("fts5"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_it_panic_or_run_on(
            sql in "(CREATE|TABLE|CHECK|AS|USING|WHERE|x|é|[(),'\"`\\[\\]; \n]|--|/\\*|\\*/){0,30}"
        ) {
            table(&sql);
            index(&sql);
            view_body(&sql);
            module(&sql);
        }
    }
}
