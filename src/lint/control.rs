//! What a text does to the session that it runs in: transactions of its own, foreign keys switched
//! off. Pure; decides nothing about what follows from it.

use super::script::{Script, words};
use crate::sql::Dialect;

/// Whether a text for SQLite switches foreign keys off. SQLite heeds that outside a transaction
/// only, without a word.
pub(crate) fn without_keys(sql: &str) -> bool {
    if !sql.to_lowercase().contains("foreign_keys") {
        return false;
    }
    let script = Script::read(sql, Dialect::Sqlite);
    script.statements.iter().any(|at| {
        let words = words(sql.get(at.clone()).unwrap_or(""), Dialect::Sqlite);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let value = match words.as_slice() {
            ["pragma", "foreign_keys", "=" | "(", value, ..]
            | ["pragma", _, ".", "foreign_keys", "=" | "(", value, ..] => *value,
            _ => return false,
        };
        matches!(value, "off" | "no" | "false" | "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_are_off_where_a_statement_says_so() {
        for (sql, off) in [
            ("-- x\nPRAGMA foreign_keys = OFF; DROP TABLE a", true),
            ("pragma main.foreign_keys(0)", true),
            ("PRAGMA foreign_keys=on", false),
            ("PRAGMA foreign_keys", false),
            ("-- PRAGMA foreign_keys = OFF\nSELECT 'PRAGMA foreign_keys = OFF'", false),
        ] {
            assert_eq!(without_keys(sql), off, "{sql}");
        }
    }
}
