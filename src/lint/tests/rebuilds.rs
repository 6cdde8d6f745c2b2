//! Tables that SQLite rebuilds: what gets lost on the way from the old one to the new one.

use super::*;

const NEW: &str = "CREATE TABLE n (id INTEGER, name TEXT, price, at);";
const ALL: &str = "INSERT INTO n SELECT * FROM t;";

fn dropped(sql: &str) -> String {
    last(&sqlite(&format!("{sql} DROP TABLE t")))
}

#[test]
fn a_copy_that_may_leave_something_out_is_none() {
    for lossy in [
        format!("{NEW} INSERT OR IGNORE INTO n SELECT * FROM t;"),
        format!("{NEW} INSERT INTO n SELECT * FROM t WHERE true ON CONFLICT DO NOTHING;"),
        format!("{NEW} INSERT INTO n SELECT * FROM t ON CONFLICT DO NOTHING;"),
        format!("{NEW} WITH t AS (SELECT 1, 2, 3, 4) INSERT INTO n SELECT * FROM t;"),
        format!("{NEW} INSERT INTO n WITH t AS (SELECT 1, 2, 3, 4) SELECT * FROM t;"),
        format!("{NEW} INSERT INTO n SELECT id, NULL, price, at FROM t;"),
        format!("{NEW} INSERT INTO n SELECT id, '' AS name, price, at FROM t;"),
        format!("{NEW} INSERT INTO n SELECT id, trim(name), price, at FROM t;"),
        format!("{NEW} INSERT INTO n (name, id, price, at) SELECT * FROM t;"),
        format!("{NEW} INSERT INTO n (id, name, price, at) SELECT name, id, price, at FROM t;"),
        format!("{NEW} CREATE TRIGGER g BEFORE INSERT ON n BEGIN SELECT RAISE(IGNORE); END; {ALL}"),
        format!("CREATE TABLE n (id INTEGER UNIQUE ON CONFLICT IGNORE, name TEXT, price, at); {ALL}"),
        format!("CREATE TABLE n (id INTEGER, name TEXT, price, at, UNIQUE (id) ON CONFLICT REPLACE); {ALL}"),
        format!("CREATE TABLE n (name TEXT, id INTEGER, price, at); {ALL}"),
        format!("CREATE TABLE n (id INTEGER, name INTEGER, price, at); {ALL}"),
        format!("CREATE TABLE n (id INTEGER, name REAL, price, at); {ALL}"),
        "CREATE TEMP TABLE n (id INTEGER, name TEXT, price, at); INSERT INTO main.n SELECT * FROM t;"
            .to_owned(),
    ] {
        assert_eq!(dropped(&lossy), "destructive drop-table", "{lossy}");
    }
}

#[test]
fn a_copy_is_none_any_more_once_either_table_is_written_to() {
    for after in [
        "DELETE FROM n WHERE id = 1;",
        "UPDATE n SET name = 'x' WHERE id = 1;",
        "DROP TABLE n; CREATE TABLE n (id INTEGER, name TEXT, price, at);",
        "ALTER TABLE n DROP COLUMN name;",
        "ALTER TABLE n RENAME COLUMN name TO other;",
        "INSERT INTO t VALUES (1, 'x', 2, 3);",
        "REPLACE INTO t VALUES (1, 'x', 2, 3);",
        "UPDATE t SET name = 'x' WHERE id = 1;",
        "INSERT INTO t VALUES (1 LIMIT);",
    ] {
        assert_eq!(dropped(&format!("{NEW} {ALL} {after}")), "destructive drop-table", "{after}");
    }
}

#[test]
fn a_copy_of_all_rows_and_columns_is_one_in_any_spelling() {
    for whole in [
        format!("{NEW} {ALL}"),
        format!("{NEW} INSERT INTO n SELECT x.* FROM main.T AS x ORDER BY id;"),
        format!("{NEW} INSERT INTO n (at, price, name, id) SELECT at, t.price, \"name\", ID AS id FROM t;"),
        format!("{NEW} {ALL} CREATE INDEX i ON n (id); DELETE FROM u;"),
        "CREATE TABLE n (id INT, name VARCHAR(90), price NUMERIC, at TIMESTAMP); INSERT INTO n SELECT * FROM t;"
            .to_owned(),
    ] {
        assert_eq!(dropped(&whole), "locking long-write", "{whole}");
    }
    let renamed_first = "ALTER TABLE t RENAME TO old; CREATE TABLE t (id INTEGER, name TEXT, price, at);
                         INSERT INTO t SELECT * FROM old; DROP TABLE old";
    assert_eq!(last(&sqlite(renamed_first)), "locking long-write");
}

#[test]
fn what_has_all_of_a_dropped_table_is_as_dear_as_that() {
    for (after, risk) in [
        ("DROP TABLE n", "destructive drop-table"),
        ("ALTER TABLE n RENAME TO t; DROP TABLE t", "destructive drop-table"),
        ("ALTER TABLE n RENAME TO t; DELETE FROM t WHERE id = 1", "destructive delete-rows"),
    ] {
        assert_eq!(last(&sqlite(&format!("{NEW} {ALL} DROP TABLE t; {after}"))), risk, "{after}");
    }
}

#[test]
fn indexes_and_triggers_that_go_with_a_table_are_named_unless_the_text_makes_them() {
    let mut known = Known::default();
    let rows = |_: &TableName| None;
    let before = "CREATE TABLE t (id INTEGER); CREATE INDEX i ON t (id); CREATE INDEX j ON t (id); CREATE INDEX k ON t (id);
                  CREATE TRIGGER IF NOT EXISTS g AFTER INSERT ON t BEGIN SELECT 1; END; DROP INDEX k";
    said(before, Dialect::Sqlite, &mut known, &rows);
    known.settle();
    let rebuilt = "CREATE TABLE n (id INTEGER); INSERT INTO n SELECT * FROM t;\nDROP TABLE t;\n\
                   ALTER TABLE n RENAME TO t; CREATE INDEX i ON t (id)";

    let said = said(rebuilt, Dialect::Sqlite, &mut known, &rows);

    let drop = said.lines().find(|line| line.starts_with("2 ")).unwrap();
    assert!(drop.ends_with("which has all its rows and columns, but not g, j: make it again"), "{drop}");
}
