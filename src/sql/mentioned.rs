//! The tables that a query reads, found by its words: it may be of any dialect, and need not be whole.

use std::collections::BTreeSet;

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Functions whose arguments may have a FROM between them.
const WITH_FROM: [&str; 5] = ["EXTRACT", "SUBSTRING", "TRIM", "OVERLAY", "POSITION"];

/// Names of tables behind FROM and JOIN, as they are written but without quotes: `table`, `schema.table`.
/// Not among them: functions, subqueries, and what the query itself names in WITH. Empty for a text that
/// cannot be cut into words.
pub fn tables_mentioned(sql: &str) -> BTreeSet<String> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return BTreeSet::new() };
    let tokens: Vec<Token> =
        tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let own = names_of_with(&tokens);
    let mut found = BTreeSet::new();
    // Of each open parenthesis, whether a FROM in it begins no list of tables, and whether such a list goes on.
    let mut open: Vec<(bool, bool)> = vec![(false, false)];
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        at += 1;
        match token {
            Token::LParen => {
                let is_function = before.is_some_and(|token| WITH_FROM.iter().any(|name| is(token, name)));
                open.push((is_function, false));
            }
            Token::RParen if open.len() > 1 => {
                open.pop();
            }
            _ => {}
        }
        let Some((is_function, in_list)) = open.last_mut() else { continue };
        let begins =
            (is(token, "FROM") && !*is_function && !before.is_some_and(|token| is(token, "DISTINCT")))
                || is(token, "JOIN");
        if [
            "WHERE",
            "GROUP",
            "ORDER",
            "HAVING",
            "LIMIT",
            "UNION",
            "EXCEPT",
            "INTERSECT",
            "SELECT",
            "ON",
            "SET",
        ]
        .iter()
        .any(|word| is(token, word))
        {
            *in_list = false;
        }
        let goes_on = *in_list && *token == Token::Comma;
        if !begins && !goes_on {
            continue;
        }
        *in_list = true;
        while tokens.get(at).is_some_and(|token| is(token, "LATERAL") || is(token, "ONLY")) {
            at += 1;
        }
        let (name, next) = name_at(&tokens, at);
        at = next;
        let is_call = tokens.get(at) == Some(&Token::LParen);
        if !name.is_empty() && !is_call && !own.contains(&name.to_lowercase()) {
            found.insert(name);
        }
    }
    found
}

/// The name that begins at a token, and the token behind it.
fn name_at(tokens: &[Token], mut at: usize) -> (String, usize) {
    let mut parts: Vec<&str> = Vec::new();
    while let Some(Token::Word(word)) = tokens.get(at) {
        parts.push(&word.value);
        at += 1;
        if tokens.get(at) != Some(&Token::Period) {
            break;
        }
        at += 1;
    }
    (parts.join("."), at)
}

/// What stands before `AS (` is a name that the query gives itself.
fn names_of_with(tokens: &[Token]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| is(token, "AS")) {
        let mut next = at + 1;
        while tokens.get(next).is_some_and(|token| is(token, "NOT") || is(token, "MATERIALIZED")) {
            next += 1;
        }
        if tokens.get(next) != Some(&Token::LParen) {
            continue;
        }
        let mut before = at.checked_sub(1);
        if before.and_then(|before| tokens.get(before)) == Some(&Token::RParen) {
            let columns =
                tokens.get(..at).unwrap_or_default().iter().rposition(|token| *token == Token::LParen);
            before = columns.and_then(|columns| columns.checked_sub(1));
        }
        if let Some(Token::Word(word)) = before.and_then(|before| tokens.get(before)) {
            names.insert(word.value.to_lowercase());
        }
    }
    names
}

/// Whether a token is a word without quotes.
fn is(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_what_stands_behind_from_and_join() {
        for (sql, tables) in [
            ("SELECT sum(total) FROM invoices WHERE day >= '${start_date}'", vec!["invoices"]),
            ("SELECT * FROM a x, sales.\"B\" AS y JOIN c USING (id), d", vec!["a", "c", "d", "sales.B"]),
            (
                "WITH m AS (SELECT 1 FROM t), n(x) AS (SELECT 2) SELECT * FROM m, n JOIN u ON true",
                vec!["t", "u"],
            ),
            ("SELECT EXTRACT(year FROM day), a IS DISTINCT FROM b FROM t", vec!["t"]),
            ("SELECT * FROM generate_series(1, 2) g, LATERAL (SELECT 1 FROM v) w", vec!["v"]),
            (
                "SELECT a, b FROM (SELECT x FROM inner_t) s WHERE a IN (SELECT y FROM z) ORDER BY a, b",
                vec!["inner_t", "z"],
            ),
            ("SELECT 'FROM nothing'", vec![]),
            ("SELECT 'open", vec![]),
        ] {
            assert_eq!(tables_mentioned(sql), tables.into_iter().map(str::to_owned).collect(), "{sql}");
        }
    }
}
