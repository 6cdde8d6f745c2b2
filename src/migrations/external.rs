//! Finds statements that affect more than their database: roles, other databases, the server, files. They
//! cannot be tried in a scratch database. When in doubt, a statement counts as one. Pure.

use std::ops::Range;

use crate::lint::script::{self, Script};
use crate::sql::Dialect;

/// The statements of a script that affect more than the database they run in.
pub fn external_statements(sql: &str, dialect: Dialect) -> Vec<Range<usize>> {
    let script = Script::read(sql, dialect);
    let is_reaching = |range: &Range<usize>| {
        let statement = sql.get(range.clone()).unwrap_or("");
        let words = script::words(statement, dialect);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        is_external(&words) || has_body(&words) && body_is_external(statement)
    };
    script.statements.into_iter().filter(is_reaching).collect()
}

/// The script with these statements replaced by blanks, so that all offsets stay the same.
pub fn without_external_statements(sql: &str, dialect: Dialect) -> String {
    let mut kept = sql.to_owned();
    for range in external_statements(sql, dialect) {
        let text = sql.get(range.clone()).unwrap_or("");
        let blank: String = text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(range, &blank);
    }
    kept
}

fn is_external(words: &[&str]) -> bool {
    match words {
        ["create" | "alter" | "drop", "user", "mapping", ..] => false,
        [
            "create" | "alter" | "drop",
            "role" | "user" | "group" | "database" | "tablespace" | "subscription" | "server" | "system",
            ..,
        ]
        | ["comment", "on", "role" | "database" | "tablespace", ..]
        | ["reassign" | "drop", "owned", ..]
        | ["attach", ..]
        | ["vacuum", "into", ..] => true,
        // `GRANT` without `ON` grants membership in a role.
        ["grant" | "revoke", rest @ ..] => {
            let on = rest.iter().position(|word| *word == "on");
            on.is_none_or(|on| matches!(rest.get(on + 1), Some(&("database" | "tablespace" | "parameter"))))
        }
        ["copy", rest @ ..] => rest.contains(&"program") || rest.windows(2).any(|pair| pair == ["to", "'"]),
        _ => words.iter().any(|word| calls_out(word)),
    }
}

/// Whether a word is a function that acts on other databases, sessions, files or the server.
fn calls_out(word: &str) -> bool {
    const NAMES: [&str; 6] = [
        "lo_export",
        "pg_reload_conf",
        "pg_terminate_backend",
        "pg_cancel_backend",
        "pg_promote",
        "load_extension",
    ];
    word.starts_with("dblink") || word.starts_with("pg_create_") || NAMES.contains(&word)
}

/// Whether the statement contains code in a string: a `DO` block or a routine.
fn has_body(words: &[&str]) -> bool {
    match words {
        ["do", ..] => true,
        ["create", rest @ ..] => rest.iter().take(4).any(|word| matches!(*word, "function" | "procedure")),
        _ => false,
    }
}

/// Searches for such a statement anywhere in a body, including strings for `EXECUTE`.
fn body_is_external(text: &str) -> bool {
    let text = text.to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    (0..words.len()).any(|at| {
        let rest = words.get(at..).unwrap_or_default();
        let is_grant = matches!(rest, ["grant" | "revoke", ..]);
        let near = rest.get(..rest.len().min(4)).unwrap_or_default();
        // The end of a statement in a body is unknown: a GRANT is judged by the next few words.
        if is_grant { !rest.iter().take(12).any(|word| *word == "on") } else { is_external(near) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str) -> Vec<&str> {
        external_statements(sql, Dialect::Postgres).into_iter().map(|range| &sql[range]).collect()
    }

    #[test]
    fn what_changes_the_server_is_found() {
        for sql in [
            "CREATE ROLE app LOGIN",
            "alter user app set search_path = x",
            "ALTER DATABASE shop SET timezone = 'UTC'",
            "ALTER SYSTEM SET work_mem = '1GB'",
            "GRANT reader TO app",
            "GRANT CONNECT ON DATABASE shop TO app",
            "COPY t TO PROGRAM 'sh'",
            "COPY t TO '/tmp/x'",
            "DO $$ BEGIN EXECUTE 'CREATE ROLE ' || quote_ident('app'); END $$",
            "SELECT dblink_exec('…', 'DELETE FROM t')",
        ] {
            assert_eq!(found(sql), [sql], "{sql}");
        }
    }

    #[test]
    fn what_stays_in_the_database_is_not() {
        let sql = "CREATE TABLE role (id int, database text);\n\
                   GRANT SELECT ON role TO app;\n\
                   INSERT INTO role VALUES (1, 'create role x');\n\
                   DO $$ BEGIN PERFORM 1; GRANT SELECT ON role TO app; END $$;\n\
                   CREATE TYPE user_kind AS ENUM ('a');\n\
                   -- CREATE ROLE x\n\
                   ALTER TABLE role OWNER TO app; CREATE USER MAPPING FOR app SERVER s";
        assert_eq!(found(sql), [""; 0]);
    }

    #[test]
    fn blanks_keep_every_other_statement_in_its_place() {
        let sql = "CREATE TABLE a (i int);\nCREATE ROLE é\n  LOGIN;\nCREATE TABLE b (i int);\n";
        let kept = without_external_statements(sql, Dialect::Postgres);
        assert_eq!(kept.len(), sql.len());
        assert_eq!(kept.find("CREATE TABLE b"), sql.find("CREATE TABLE b"));
        assert_eq!(kept.matches('\n').count(), 4);
        assert!(!kept.contains("ROLE"));
    }
}
