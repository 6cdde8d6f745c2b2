//! Rebuilds of SQLite tables: which data is lost between the old table and the new one.

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
    known.mark_all_used();
    let rebuilt = "CREATE TABLE n (id INTEGER); INSERT INTO n SELECT * FROM t;\nDROP TABLE t;\n\
                   ALTER TABLE n RENAME TO t; CREATE INDEX i ON t (id)";

    let said = said(rebuilt, Dialect::Sqlite, &mut known, &rows);

    let drop = said.lines().find(|line| line.starts_with("2 ")).unwrap();
    assert!(drop.ends_with("which has all its rows and columns, but not g, j: make it again"), "{drop}");
}

#[test]
fn a_table_that_sqlite_rebuilds_takes_the_rows_along_that_refer_to_it_unless_foreign_keys_are_off() {
    let rebuilt = "CREATE TABLE n (id INTEGER, name TEXT, price, at); INSERT INTO n SELECT * FROM t;\n\
                   DROP TABLE t; ALTER TABLE n RENAME TO t;";
    let drop_after = |setup: &str, sql: &str| {
        let mut known = Known::default();
        let tables = "CREATE TABLE t (id integer, name text, price, at);";
        said(&format!("{tables} {setup}"), Dialect::Sqlite, &mut known, &|_| None);
        known.mark_all_used();
        let said = said(sql, Dialect::Sqlite, &mut known, &|_| None);
        said.lines().find(|line| line.starts_with("2 ")).unwrap().to_owned()
    };
    let child = "CREATE TABLE c (t integer REFERENCES t ON DELETE CASCADE);";

    let bound = drop_after(child, rebuilt);
    assert!(bound.starts_with("2 destructive drop-table: rows of c refer to t"), "{bound}");
    let off = format!("PRAGMA foreign_keys = OFF;{rebuilt}");
    for free in [
        drop_after(child, &off),
        drop_after("", rebuilt),
        drop_after(&format!("{child} DROP TABLE c;"), rebuilt),
    ] {
        assert!(free.starts_with("2 locking long-write"), "{free}");
    }
}

#[test]
fn a_table_that_sqlite_rebuilds_loses_nothing_while_all_columns_are_copied() {
    let rebuilt = |columns: &str, copied: &str, to: &str| {
        sqlite(&format!(
            "CREATE TABLE t_new ({columns});
             INSERT INTO t_new {to} SELECT {copied};
             DROP TABLE t;
             ALTER TABLE t_new RENAME TO t;
             CREATE INDEX i ON t (id);
             DELETE FROM t"
        ))
    };
    let risk_of_drop = |columns, copied, to| rebuilt(columns, copied, to).lines().nth(2).unwrap().to_owned();

    assert_snapshot!(rebuilt("id INTEGER, name TEXT, price, at", "* FROM t", ""), @r"
    1 safe -: loses nothing and blocks nobody
    2 locking long-write: writers of the whole file wait while rows of t are read
    3 locking long-write: writers wait while t is replaced by t_new, which has all its rows and columns
    4 safe -: loses nothing and blocks nobody
    5 safe -: loses nothing and blocks nobody
    6 destructive delete-rows: deletes all rows of t
    ");

    assert!(
        risk_of_drop("id, name, price, at, more", "id, name, price, at FROM t", "(id, name, price, at)")
            .contains("long-write")
    );
    for (columns, copied, to) in [
        ("id, name, price", "id, name, price FROM t", ""),
        ("id, name, price, at", "id, name, price FROM t", "(id, name, price)"),
        ("id, name, price, at", "* FROM t WHERE id > 3", ""),
        ("id, name, price, at", "* FROM t LIMIT 3", ""),
        ("id, name, price, at", "DISTINCT * FROM t", ""),
        ("id, name, price, at", "max(id), name, price, at FROM t", ""),
        ("id, name, price, at", "t.* FROM t JOIN u ON t.id = u.id", ""),
    ] {
        let said = risk_of_drop(columns, copied, to);
        assert!(said.contains("destructive drop-table"), "{columns} {copied} {to}: {said}");
    }
}
