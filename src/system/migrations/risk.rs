//! What running a migration may cost, as far as its statements tell without a database. Errs on
//! the side of caution: what cannot be read is `unvalidated`.

use crate::change::Risk;
use crate::sql::Dialect;
use crate::system::script::Script;

/// The highest risk of a script's statements, and the place of the first statement that has it.
pub(super) fn of(script: &Script, dialect: Dialect) -> (Risk, usize) {
    let mut highest = (Risk::Safe, 0);
    for (index, words) in script.words.iter().enumerate() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let risk = of_statement(&words, script, dialect);
        if risk > highest.0 {
            highest = (risk, index);
        }
    }
    highest
}

fn of_statement(words: &[&str], script: &Script, dialect: Dialect) -> Risk {
    let on_postgres = |risk| if dialect == Dialect::Postgres { risk } else { Risk::Safe };
    let deletes = || words.windows(2).any(|pair| pair == ["delete", "from"]);
    match words {
        // A routine's body does not run now.
        ["create", rest @ ..] => {
            on_postgres(if blocks_writers(rest, script) { Risk::Locking } else { Risk::Safe })
        }
        ["drop", "table", names @ ..] if names_of(names).all(|name| is_rebuilt(name, script)) => Risk::Safe,
        ["drop", "table" | "schema" | "database" | "owned", ..] | ["truncate", ..] => Risk::Destructive,
        ["alter", "table", rest @ ..] if drops_a_column(rest) => Risk::Destructive,
        ["alter", "table", rest @ ..] => {
            let is_new = names_of(rest).next().is_some_and(|name| is_created(name, script));
            on_postgres(if is_new { Risk::Safe } else { Risk::Locking })
        }
        ["reindex" | "cluster" | "lock", ..] | ["vacuum", "full", ..] if !words.contains(&"concurrently") => {
            on_postgres(Risk::Locking)
        }
        ["do" | "call" | "execute", ..] => Risk::Unvalidated,
        _ if deletes() => Risk::Destructive,
        _ => Risk::Safe,
    }
}

/// `[UNIQUE] INDEX … ON table` without CONCURRENTLY, on a table that was there before.
fn blocks_writers(rest: &[&str], script: &Script) -> bool {
    let (["index", rest @ ..] | ["unique", "index", rest @ ..]) = rest else { return false };
    let table = rest.iter().skip_while(|word| **word != "on").skip(1).copied().collect::<Vec<_>>();
    let is_new = names_of(&table).next().is_some_and(|name| is_created(name, script));
    rest.first() != Some(&"concurrently") && !is_new
}

/// What follows DROP in ALTER TABLE is a column unless it is one of the other things.
fn drops_a_column(rest: &[&str]) -> bool {
    const OTHERS: [&str; 6] = ["constraint", "default", "not", "identity", "expression", "index"];
    rest.windows(2).any(|pair| matches!(pair, ["drop", what] if !OTHERS.contains(what)))
}

/// SQLite changes a table by copying it: the old one is dropped, and a new one takes its name.
fn is_rebuilt(name: &str, script: &Script) -> bool {
    script.words.iter().any(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(words.as_slice(), ["alter", "table", from, "rename", "to", to, ..]
            if *to == name && is_created(from, script))
    })
}

fn is_created(name: &str, script: &Script) -> bool {
    script.creates.iter().any(|table| table.name == name)
}

/// The names of a list `a, b.c`, each without its schema.
fn names_of<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    const NOISE: [&str; 6] = ["if", "exists", "only", "cascade", "restrict", "concurrently"];
    words.split(|word| *word == ",").filter_map(|part| {
        let mut part = part.iter().filter(|word| !NOISE.contains(word)).copied();
        let first = part.next()?;
        if part.next() == Some(".") { part.next() } else { Some(first) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk(sql: &str, dialect: Dialect) -> Risk {
        of(&Script::read(sql, dialect), dialect).0
    }

    #[test]
    fn what_loses_data_is_destructive_in_both_dialects() {
        for sql in [
            "drop table a",
            "DROP TABLE IF EXISTS a, b CASCADE",
            "DELETE FROM a WHERE x = 1",
            "WITH old AS (SELECT 1) DELETE FROM a",
            "ALTER TABLE a DROP COLUMN b",
            "ALTER TABLE a ADD c int, DROP b",
            "SELECT 1; TRUNCATE a",
            "DROP SCHEMA app CASCADE",
        ] {
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                assert_eq!(risk(sql, dialect), Risk::Destructive, "{sql}");
            }
        }
    }

    #[test]
    fn what_blocks_a_table_that_was_there_is_locking_on_postgresql() {
        for sql in [
            "ALTER TABLE a ADD COLUMN b int",
            "ALTER TABLE a ALTER COLUMN b DROP NOT NULL",
            "ALTER TABLE a DROP CONSTRAINT c",
            "CREATE INDEX i ON a (b)",
            "CREATE UNIQUE INDEX i ON app.a (b)",
            "CREATE TABLE b (x int); CREATE INDEX ON a (x)",
            "REINDEX TABLE a",
        ] {
            assert_eq!(risk(sql, Dialect::Postgres), Risk::Locking, "{sql}");
            assert_eq!(risk(sql, Dialect::Sqlite), Risk::Safe, "{sql}");
        }
    }

    #[test]
    fn what_makes_something_new_is_safe() {
        for sql in [
            "CREATE TABLE a (x int REFERENCES b ON DELETE CASCADE); CREATE INDEX i ON a (x); ALTER TABLE ONLY a ADD y int",
            "CREATE INDEX CONCURRENTLY i ON a (x)",
            "INSERT INTO a VALUES (1); UPDATE a SET x = 'drop table a'",
            "CREATE FUNCTION f() RETURNS int AS $$ DELETE FROM a; SELECT 1 $$ LANGUAGE sql",
            "DROP INDEX i; DROP VIEW v",
            "CREATE TABLE a_new (x int); INSERT INTO a_new SELECT x FROM a; DROP TABLE a; ALTER TABLE a_new RENAME TO a",
        ] {
            assert_eq!(risk(sql, Dialect::Postgres), Risk::Safe, "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unvalidated() {
        assert_eq!(risk("DO $$ BEGIN DROP TABLE a; END $$", Dialect::Postgres), Risk::Unvalidated);
    }

    #[test]
    fn the_first_statement_of_the_highest_risk_is_named() {
        let script = Script::read("SELECT 1;\nDROP TABLE a;\nDROP TABLE b", Dialect::Sqlite);
        assert_eq!(of(&script, Dialect::Sqlite), (Risk::Destructive, 1));
    }
}
