//! Detects statements that affect the session: explicit transactions, foreign keys switched off,
//! and commands that only an interactive client understands. Pure; the callers decide what follows.

use std::ops::Range;

use super::script::{Script, first_words, words};
use crate::sql::Dialect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    Begins,
    Ends,
}

/// Returns whether a statement begins or ends a transaction. A savepoint does neither.
pub(crate) fn boundary(statement: &str, dialect: Dialect) -> Option<Boundary> {
    let words = first_words(statement, dialect);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["begin", ..] | ["start", "transaction", ..] => Some(Boundary::Begins),
        ["commit" | "rollback", "prepared", ..]
        | ["rollback", "to", ..]
        | ["rollback", "transaction" | "work", "to", ..] => None,
        ["commit" | "end" | "rollback", ..] | ["prepare", "transaction", ..] => Some(Boundary::Ends),
        ["abort", ..] if dialect == Dialect::Postgres => Some(Boundary::Ends),
        _ => None,
    }
}

/// Whether a text rolls back to a savepoint or rolls back a transaction.
pub(super) fn takes_back(sql: &str, script: &Script, dialect: Dialect) -> bool {
    script.statements.iter().any(|at| {
        let words = first_words(sql.get(at.clone()).unwrap_or(""), dialect);
        matches!(words.first().map(String::as_str), Some("rollback" | "abort"))
    })
}

/// Whether a text begins or ends transactions itself.
pub(crate) fn has_transactions(sql: &str, dialect: Dialect) -> bool {
    const WORDS: [&str; 7] = ["begin", "start", "commit", "end", "rollback", "abort", "prepare"];
    // Scanning the text first is cheaper than lexing it: most files have no transactions, and some
    // are large.
    let is_in_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_known = |word: &str| WORDS.iter().any(|known| known.eq_ignore_ascii_case(word));
    if !sql.split(|c| !is_in_word(c)).any(is_known) {
        return false;
    }
    let script = Script::read(sql, dialect);
    script.statements.iter().any(|at| boundary(sql.get(at.clone()).unwrap_or(""), dialect).is_some())
}

/// Returns the first statement that no server can run, with the reason: a command of psql or
/// sqlite3, or COPY from or to the terminal, which would wait for rows forever.
pub fn client_command(sql: &str, dialect: Dialect) -> Option<(Range<usize>, String)> {
    let may_have = match dialect {
        Dialect::Postgres => sql.contains('\\') || sql.to_ascii_lowercase().contains("copy"),
        Dialect::Sqlite => sql.lines().any(|line| line.trim_start().starts_with('.')),
    };
    if !may_have {
        return None;
    }
    let script = Script::read(sql, dialect);
    script.statements.into_iter().find_map(|at| {
        let why = why_of_client(sql.get(at.clone()).unwrap_or(""), dialect)?;
        Some((at, why))
    })
}

/// Returns why no server can run a statement.
pub(super) fn why_of_client(statement: &str, dialect: Dialect) -> Option<String> {
    let command = || statement.split_whitespace().next().unwrap_or("").to_owned();
    match dialect {
        Dialect::Sqlite if statement.starts_with('.') => {
            Some(format!("`{}` is a command of the program sqlite3, not SQL", command()))
        }
        Dialect::Postgres if statement.starts_with('\\') => {
            Some(format!("`{}` is a command of psql, not SQL", command()))
        }
        Dialect::Postgres if first_words(statement, dialect).first().is_some_and(|word| word == "copy") => {
            let words = words(statement, dialect);
            let has = |one, other| words.windows(2).any(|pair| pair == [one, other]);
            match (has("from", "stdin"), has("to", "stdout")) {
                (true, _) => Some("COPY … FROM stdin waits for rows that only psql sends".to_owned()),
                (_, true) => Some("COPY … TO stdout has nobody to send its rows to".to_owned()),
                (false, false) => None,
            }
        }
        Dialect::Postgres if statement.contains('\\') => {
            let is_command = |word: &String| word == "\\";
            words(statement, dialect)
                .iter()
                .any(is_command)
                .then(|| "a backslash outside a text is a command of psql, not SQL".to_owned())
        }
        Dialect::Postgres | Dialect::Sqlite => None,
    }
}

/// The help text for the error.
pub(crate) const OF_CLIENT_HELP: &str =
    "take it out of the file: write rows as INSERT, or make them a seed of the spec";

/// Whether a text for SQLite switches foreign keys off. Inside a transaction SQLite ignores that
/// without an error.
pub(crate) fn disables_foreign_keys(sql: &str) -> bool {
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

/// Whether a text for SQLite only defines schema objects and reads or writes rows, so that it affects neither
/// the transaction nor the session in which it runs.
pub(crate) fn only_changes_schema_and_rows(sql: &str) -> bool {
    const FIRST_WORDS: [&str; 9] =
        ["alter", "create", "delete", "drop", "insert", "replace", "select", "update", "with"];
    let script = Script::read(sql, Dialect::Sqlite);
    script.statements.iter().all(|at| {
        let words = first_words(sql.get(at.clone()).unwrap_or(""), Dialect::Sqlite);
        words.first().is_some_and(|word| FIRST_WORDS.contains(&word.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_begins_and_ends_and_a_savepoint_does_not() {
        let at = |sql: &str| boundary(sql, Dialect::Postgres);
        for sql in ["BEGIN", "begin transaction", "START TRANSACTION READ ONLY"] {
            assert_eq!(at(sql), Some(Boundary::Begins), "{sql}");
        }
        for sql in ["COMMIT", "end", "ROLLBACK", "abort work", "rollback transaction"] {
            assert_eq!(at(sql), Some(Boundary::Ends), "{sql}");
        }
        for sql in ["SAVEPOINT a", "ROLLBACK TO a", "rollback work to savepoint a", "COMMIT PREPARED 'a'"] {
            assert_eq!(at(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_text_with_any_boundary_has_transactions() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            for sql in
                ["SELECT 1; COMMIT", "SELECT 1;END", "select 1; End Transaction; select 2", "BEGIN; SELECT 1"]
            {
                assert!(has_transactions(sql, dialect), "{sql}");
            }
            for sql in
                ["SELECT CASE WHEN true THEN 1 END", "SELECT 'x; COMMIT'", "SELECT 1 AS backend -- END"]
            {
                assert!(!has_transactions(sql, dialect), "{sql}");
            }
        }
        let trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END; SELECT 1";
        assert!(!has_transactions(trigger, Dialect::Sqlite));
        let atomic = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1";
        assert!(!has_transactions(atomic, Dialect::Postgres));
        assert!(has_transactions("SELECT 1; ABORT", Dialect::Postgres));
    }

    #[test]
    fn what_only_a_client_understands_is_told_from_sql() {
        let why = |sql: &str| client_command(sql, Dialect::Postgres).map(|(at, _)| at.start);
        assert_eq!(why("SELECT 1;\n\\connect app\nSELECT 2;"), Some(10));
        assert_eq!(why("CREATE TABLE a (x int); COPY a (x) FROM STDIN;\n1\n\\.\n"), Some(24));
        assert_eq!(why("copy (select 1) to stdout with csv"), Some(0));
        assert_eq!(why("SELECT 'DROP TABLE a' \\gexec\n"), Some(0));
        for sql in ["SELECT E'\\n', '\\'", "COPY a FROM '/tmp/stdin'", "DO $$ \\ $$", "-- \\c\nSELECT 1"] {
            assert_eq!(why(sql), None, "{sql}");
        }
        assert!(client_command(".mode csv\nSELECT 1;", Dialect::Sqlite).is_some());
    }

    #[test]
    fn what_affects_the_transaction_or_the_session_is_more_than_schema_and_rows() {
        for (sql, only) in [
            (
                "-- x\nCREATE TABLE a (x int); INSERT INTO a VALUES (1); WITH b AS (SELECT 1) DELETE FROM a",
                true,
            ),
            (
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; UPDATE a SET x = 1; END; DROP TABLE b",
                true,
            ),
            ("", true),
            ("CREATE TABLE a (x int); PRAGMA user_version = 2", false),
            ("SAVEPOINT a; RELEASE a", false),
            ("ATTACH 'b.db' AS b", false),
            ("VACUUM", false),
            ("SELECT 1; COMMIT; BEGIN", false),
            (".read b.sql", false),
        ] {
            assert_eq!(only_changes_schema_and_rows(sql), only, "{sql}");
        }
    }

    #[test]
    fn foreign_keys_are_off_where_a_statement_says_so() {
        for (sql, off) in [
            ("-- x\nPRAGMA foreign_keys = OFF; DROP TABLE a", true),
            ("pragma main.foreign_keys(0)", true),
            ("PRAGMA foreign_keys=on", false),
            ("PRAGMA foreign_keys", false),
            ("-- PRAGMA foreign_keys = OFF\nSELECT 'PRAGMA foreign_keys = OFF'", false),
        ] {
            assert_eq!(disables_foreign_keys(sql), off, "{sql}");
        }
    }
}
