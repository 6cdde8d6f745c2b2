//! Parses what SQLite keeps only as text: CHECK constraints, generation expressions, keys and predicates of
//! indexes, bodies of views. The input was accepted by SQLite. Pure; never fails, but omits what it cannot
//! parse.

use std::collections::BTreeMap;

use crate::sql::Dialect;
use crate::sql::lexer::{Lexer, Syntax, Token, TokenKind};

/// The parsed parts of a CREATE TABLE.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableText {
    /// The expressions of all CHECK constraints, in order.
    pub(super) checks: Vec<String>,
    /// The expressions of generated columns, by the column's name in lower case.
    pub(super) generated: BTreeMap<String, String>,
}

pub(super) fn table(sql: &str) -> TableText {
    let tokens = tokens(sql);
    let mut found = TableText::default();
    let Some(open) = tokens.iter().position(|token| token.is_sign('(')) else { return found };
    let Some(body) = tokens.get(open..).and_then(parenthesised) else { return found };
    for item in items(body) {
        let name = item.first().map(|token| token.unquoted().to_lowercase()).unwrap_or_default();
        let mut at = 0;
        while let Some(token) = item.get(at) {
            let next = item.get(at + 1).filter(|next| next.is_sign('(')).and_then(|_| item.get(at + 1..));
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
    let Some(open) = tokens.iter().position(|token| token.is_sign('(')) else { return (Vec::new(), None) };
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
        match token.kind {
            TokenKind::Other('(') => depth += 1,
            TokenKind::Other(')') => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is("AS") => {
                return sql.get(token.at.end..).unwrap_or("").trim().to_owned();
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
    tokens.get(using + 1).map(|token| token.unquoted().to_lowercase())
}

/// The tokens between the opening parenthesis, which is the first token, and its closing one.
fn parenthesised<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Other('(') => depth += 1,
            TokenKind::Other(')') => depth = depth.checked_sub(1)?,
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
            match token.kind {
                TokenKind::Other('(') => depth += 1,
                TokenKind::Other(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.is_sign(',')
        })
        .collect()
}

/// The text from the first to the last token.
fn slice<'a>(sql: &'a str, tokens: &[Token<'a>]) -> &'a str {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => sql.get(first.at.start..last.at.end).unwrap_or(""),
        _ => "",
    }
}

/// The tokens without comments.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    Lexer::code(sql, Syntax::Of(Dialect::Sqlite)).collect()
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
