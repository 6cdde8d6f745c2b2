//! The tables that a query reads, found by its words: it may be of any dialect, and need not be whole.

use std::collections::BTreeSet;

use super::lexer::{Lexer, Syntax, Token};

/// Functions whose arguments may have a FROM between them.
const WITH_FROM: [&str; 5] = ["EXTRACT", "SUBSTRING", "TRIM", "OVERLAY", "POSITION"];

/// Words behind which a list of tables ends.
const ENDS: [&str; 11] =
    ["WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "SELECT", "ON", "SET"];

/// Names of tables behind FROM and JOIN, as they are written but without quotes: `table`, `schema.table`.
/// Not among them: functions, subqueries, and what the query itself names in WITH. Empty for a text that
/// cannot be cut into words.
pub fn tables_mentioned(sql: &str) -> BTreeSet<String> {
    let tokens: Vec<_> = Lexer::code(sql, Syntax::Any).collect();
    if tokens.iter().any(|token| !token.is_closed) {
        return BTreeSet::new();
    }
    let own = names_of_with(&tokens);
    let mut found = BTreeSet::new();
    // Of each open parenthesis, whether a FROM in it begins no list of tables, and whether such a list goes on.
    let mut open: Vec<(bool, bool)> = vec![(false, false)];
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        at += 1;
        if token.is_sign('(') {
            open.push((before.is_some_and(|token| token.is_any(&WITH_FROM)), false));
        } else if token.is_sign(')') && open.len() > 1 {
            open.pop();
        }
        let Some((is_function, in_list)) = open.last_mut() else { continue };
        let begins = (token.is("FROM") && !*is_function && !before.is_some_and(|token| token.is("DISTINCT")))
            || token.is("JOIN");
        if token.is_any(&ENDS) {
            *in_list = false;
        }
        let goes_on = *in_list && token.is_sign(',');
        if !begins && !goes_on {
            continue;
        }
        *in_list = true;
        while tokens.get(at).is_some_and(|token| token.is("LATERAL") || token.is("ONLY")) {
            at += 1;
        }
        let (name, next) = name_at(&tokens, at);
        at = next;
        let is_call = tokens.get(at).is_some_and(|token| token.is_sign('('));
        if !name.is_empty() && !is_call && !own.contains(&name.to_lowercase()) {
            found.insert(name);
        }
    }
    found
}

/// The name that begins at a token, and the token behind it.
fn name_at(tokens: &[Token<'_>], mut at: usize) -> (String, usize) {
    let mut parts = Vec::new();
    while let Some(word) = tokens.get(at).filter(|token| token.is_name()) {
        parts.push(word.unquoted());
        at += 1;
        if !tokens.get(at).is_some_and(|token| token.is_sign('.')) {
            break;
        }
        at += 1;
    }
    (parts.join("."), at)
}

/// What stands before `AS (` is a name that the query gives itself.
fn names_of_with(tokens: &[Token<'_>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is("AS")) {
        let mut next = at + 1;
        while tokens.get(next).is_some_and(|token| token.is("NOT") || token.is("MATERIALIZED")) {
            next += 1;
        }
        if !tokens.get(next).is_some_and(|token| token.is_sign('(')) {
            continue;
        }
        let mut before = at.checked_sub(1);
        if before.and_then(|before| tokens.get(before)).is_some_and(|token| token.is_sign(')')) {
            let columns = tokens.get(..at).unwrap_or_default().iter().rposition(|token| token.is_sign('('));
            before = columns.and_then(|columns| columns.checked_sub(1));
        }
        let name = before.and_then(|before| tokens.get(before)).filter(|token| token.is_name());
        names.extend(name.map(|name| name.unquoted().to_lowercase()));
    }
    names
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
