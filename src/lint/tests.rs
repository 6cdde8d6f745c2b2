//! Statements and their findings, one a line, so that a changed rule is visible in the diff.

mod fresh;
mod held;
mod rebuilds;
mod types_and_locks;

use insta::assert_snapshot;

use super::*;

fn said(
    sql: &str,
    dialect: Dialect,
    known: &mut Known,
    rows: &dyn Fn(&TableName) -> Option<Emptiness>,
) -> String {
    let in_transaction = !sql.starts_with("-- no-transaction");
    let statements = classify(Text { sql, dialect, in_transaction }, known, rows);
    let line = |statement: &Statement| {
        let (risk, rule) = (statement.risk(), statement.rule().map_or("-", |rule| rule.name));
        format!("{} {} {rule}: {}", statement.line, risk.as_str(), statement.reason())
    };
    statements.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Classifies a text on a database whose tables `t` and `u` are in use.
fn on(dialect: Dialect, sql: &str) -> String {
    let mut known = Known::default();
    let setup = "CREATE TABLE t (id integer, name varchar(20), price numeric(10, 4), at timestamp); CREATE TABLE u (id integer);";
    said(setup, dialect, &mut known, &|_| None);
    known.mark_all_used();
    said(sql, dialect, &mut known, &|_| None)
}

fn postgres(sql: &str) -> String {
    on(Dialect::Postgres, sql)
}

fn sqlite(sql: &str) -> String {
    on(Dialect::Sqlite, sql)
}

/// Returns the risk and the rule of a text's last statement.
fn last(said: &str) -> String {
    let line = said.lines().last().unwrap_or_default();
    line.split(':').next().unwrap_or_default().split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap()
}

#[test]
fn what_destroys_on_postgres() {
    assert_snapshot!(postgres(
        "DROP TABLE t;
         DROP TABLE IF EXISTS u, other CASCADE;
         ALTER TABLE only public.\"T\" DROP COLUMN name, DROP price CASCADE;
         DROP SCHEMA app CASCADE;
         DROP TYPE mood;
         DROP TYPE mood CASCADE;
         DROP DOMAIN d;
         ALTER TYPE pair DROP ATTRIBUTE second;
         DROP SEQUENCE s;
         DROP EXTENSION postgis;
         DROP OWNED BY app;
         DROP DATABASE app;
         DROP FUNCTION f() CASCADE;
         TRUNCATE t, u;
         TRUNCATE t CASCADE;
         DELETE FROM t;
         DELETE FROM t WHERE id = 1;
         WITH gone AS (DELETE FROM u RETURNING *) INSERT INTO t SELECT * FROM gone;
         UPDATE t SET name = 'x', id = 1;
         UPDATE t SET name = 'x' WHERE true;
         MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE;
         SELECT 1 FROM (SELECT 1) x"
    ), @r"
    1 destructive drop-table: loses the rows of t
    2 destructive drop-table: loses the rows of u, other
    3 destructive drop-column: loses the values of T.name
    4 destructive drop-schema: loses what is in schema app
    5 safe -: loses nothing and blocks nobody
    6 destructive drop-type: loses the type mood and every column of it
    7 safe -: loses nothing and blocks nobody
    8 destructive drop-type: loses an attribute of a type, in all rows that have it
    9 destructive drop-sequence: loses the position of s
    10 destructive drop-extension: loses what extension postgis brought
    11 destructive drop-owned: loses everything that the role owns
    12 destructive drop-database: loses a whole database; also unvalidated (ban-in-transaction): it fails in a transaction: let the file begin with `-- no-transaction`
    13 destructive drop-cascade: loses what depends on it, generated columns too
    14 destructive truncate: deletes all rows of t, u
    15 destructive truncate: deletes all rows of t and of the tables that refer to it
    16 destructive delete-rows: deletes all rows of t; also locking (work-under-lock): everybody who uses t waits until it is done: line 1 locks t until its transaction ends; do this in another migration
    17 destructive delete-rows: deletes some rows of t; also locking (work-under-lock): everybody who uses t waits until it is done: line 1 locks t until its transaction ends; do this in another migration
    18 destructive delete-rows: deletes all rows of u; also locking (work-under-lock): everybody who uses t waits until it is done: line 1 locks t until its transaction ends; do this in another migration
    19 destructive update-all-rows: overwrites name, id in all rows of t; also locking (work-under-lock): everybody who uses t waits until it is done: line 1 locks t until its transaction ends; do this in another migration
    20 destructive update-all-rows: overwrites name in all rows of t; also locking (work-under-lock): everybody who uses t waits until it is done: line 1 locks t until its transaction ends; do this in another migration
    21 destructive delete-rows: deletes rows of t; also locking (work-under-lock): everybody who uses t waits until it is done: line 1 locks t until its transaction ends; do this in another migration
    22 safe -: loses nothing and blocks nobody
    ");
}

#[test]
fn what_loses_nothing_on_postgres() {
    assert_snapshot!(postgres(
        "CREATE VIEW v AS SELECT * FROM t;
         DROP VIEW v CASCADE;
         DROP FUNCTION f();
         ALTER TABLE t ADD COLUMN note text DEFAULT 'x';
         ALTER TABLE t ALTER COLUMN name DROP NOT NULL, DROP CONSTRAINT c CASCADE;
         UPDATE t SET name = 'x' WHERE id = 3;
         INSERT INTO t (id) VALUES (1) ON CONFLICT DO NOTHING;
         CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM t; $$;
         CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f();
         COMMENT ON TABLE t IS 'DROP TABLE t; -- no';
         GRANT SELECT ON t TO PUBLIC;
         ALTER TYPE mood ADD VALUE 'new';
         SELECT nextval('s')"
    ), @r"
    1 safe -: loses nothing and blocks nobody
    2 safe -: loses nothing and blocks nobody
    3 safe -: loses nothing and blocks nobody
    4 safe -: loses nothing and blocks nobody
    5 safe -: loses nothing and blocks nobody
    6 locking work-under-lock: everybody who uses t waits until it is done: line 4 locks t until its transaction ends; do this in another migration
    7 safe -: loses nothing and blocks nobody
    8 safe -: loses nothing and blocks nobody
    9 safe -: loses nothing and blocks nobody
    10 safe -: loses nothing and blocks nobody
    11 safe -: loses nothing and blocks nobody
    12 safe -: loses nothing and blocks nobody
    13 safe -: loses nothing and blocks nobody
    ");
}

#[test]
fn what_blocks_on_postgres() {
    assert_snapshot!(postgres(
        "CREATE INDEX i ON t (id);
         DROP INDEX old;
         ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0);
         ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0) NOT VALID;
         ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES u (id);
         ALTER TABLE t ADD COLUMN r double precision DEFAULT random();
         ALTER TABLE t ALTER COLUMN id SET NOT NULL;
         ALTER TABLE t ADD PRIMARY KEY (id);
         ALTER TABLE t ADD CONSTRAINT q UNIQUE (id);
         REINDEX TABLE t;
         VACUUM FULL t;
         CLUSTER t USING i;
         ALTER TABLE t RENAME COLUMN id TO number;
         ALTER TABLE t SET SCHEMA app;
         ALTER TABLE u RENAME TO w;
         ALTER TABLE w SET UNLOGGED;
         LOCK TABLE w;
         REFRESH MATERIALIZED VIEW m;
         ALTER DOMAIN d ADD CONSTRAINT c CHECK (value > 0)"
    ), @r"
    1 locking require-concurrent-index-creation: writers wait while the index is built; use CONCURRENTLY in a migration that begins with `-- no-transaction`
    2 locking require-concurrent-index-deletion: everybody waits behind the drop; use CONCURRENTLY in a migration that begins with `-- no-transaction`
    3 locking constraint-missing-not-valid: everybody waits while all rows are checked; add it NOT VALID and validate it in another migration
    4 safe -: loses nothing and blocks nobody
    5 locking adding-foreign-key-constraint: writers of both tables wait while all rows are checked; add it NOT VALID and validate it in another migration
    6 locking adding-field-with-default: everybody waits while the table is written anew: its default differs by row
    7 locking adding-not-nullable-field: everybody waits while all rows are looked at; add a CHECK … IS NOT NULL NOT VALID first and validate it in another migration
    8 locking adding-serial-primary-key-field: everybody waits while the key's index is built; build it CONCURRENTLY and add it USING INDEX
    9 locking disallowed-unique-constraint: everybody waits while the index is built; build it CONCURRENTLY and add it USING INDEX
    10 locking require-concurrent-reindex: writers wait while the index is built; use CONCURRENTLY
    11 unvalidated ban-in-transaction: VACUUM fails in a transaction: let the file begin with `-- no-transaction`; also locking (rewrite-table): everybody waits while the table is written anew
    12 locking rewrite-table: everybody waits while the table is written anew
    13 locking renaming-column: statements by the old name fail from then on
    14 locking renaming-table: statements that look for t where it was fail from then on
    15 locking renaming-table: statements by the old name fail from then on
    16 locking rewrite-table: everybody waits while w is written in another form
    17 locking lock-table: locks w until the migration ends
    18 locking refresh-materialized-view: readers of m wait; use CONCURRENTLY
    19 locking ban-alter-domain-with-add-constraint: writers wait while every table that uses the domain is checked
    ");
}

#[test]
fn what_cannot_be_told_on_postgres() {
    assert_snapshot!(postgres(
        "DO $$ BEGIN DELETE FROM t; END $$;
         CALL p();
         BEGIN;
         CREATE INDEX CONCURRENTLY i ON t (id);
         ALTER TABLE t ADD COLUMN c int NOT NULL;
         SELEKT 1;
         DROP TABBLE t;
         -- trueup:assert-emtpy t
         DROP TABLE t;
         -- trueup:assert-empty
         SELECT 1"
    ), @r"
    1 unvalidated code-block: the block's code is not looked into
    2 unvalidated code-block: what the procedure does is not looked into
    3 unvalidated transaction-control: the migration runs in a transaction already, together with its record
    4 unvalidated ban-concurrent-index-creation-in-transaction: CONCURRENTLY fails in a transaction: let the file begin with `-- no-transaction`
    5 unvalidated adding-required-field: fails when the table has rows: the column is NOT NULL and has no default
    6 unvalidated not-parsed: cannot be read: expected command, found IDENT
    7 destructive drop-cascade: cannot be read: expected command, found DROP_KW
    9 destructive drop-table: loses the rows of t; `trueup:assert-emtpy t` is no assertion; there is `trueup:assert-empty TABLE`
    11 unvalidated unknown-assertion: `trueup:assert-empty` is no assertion; there is `trueup:assert-empty TABLE`
    ");
    assert_snapshot!(postgres("-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (id);\nCOMMIT"), @r"
    2 safe -: loses nothing and blocks nobody
    3 safe -: loses nothing and blocks nobody
    ");
}

#[test]
fn a_new_type_that_holds_all_values_of_the_old_one_loses_nothing() {
    assert_snapshot!(postgres(
        "ALTER TABLE t ALTER COLUMN id TYPE bigint;
         ALTER TABLE t ALTER id SET DATA TYPE numeric(19, 0);
         ALTER TABLE t ALTER COLUMN id TYPE integer;
         ALTER TABLE t ALTER COLUMN name TYPE text;
         ALTER TABLE t ALTER COLUMN name TYPE varchar(10);
         ALTER TABLE t ALTER COLUMN price TYPE numeric(12, 4) USING price::numeric(12, 4);
         ALTER TABLE t ALTER COLUMN price TYPE numeric(12, 2);
         ALTER TABLE t ALTER COLUMN at TYPE timestamptz USING at AT TIME ZONE 'UTC';
         ALTER TABLE t ALTER COLUMN at TYPE date;
         ALTER TABLE elsewhere ALTER COLUMN x TYPE bigint;
         ALTER TABLE elsewhere ALTER COLUMN x TYPE integer"
    ), @r"
    1 locking changing-column-type: t.id: everybody waits while the table is written anew
    2 locking changing-column-type: t.id: everybody waits while the table is written anew
    3 unvalidated conversion-may-fail: t.id: fails where integer cannot hold a value: it does not hold all that numeric(19, 0) does; also locking (changing-column-type): t.id: everybody waits while the table is written anew
    4 safe -: loses nothing and blocks nobody
    5 unvalidated conversion-may-fail: t.name: fails where varchar(10) cannot hold a value: it does not hold all that text does; also locking (changing-column-type): t.name: everybody waits while the table is written anew
    6 safe -: loses nothing and blocks nobody
    7 destructive narrow-column-type: t.price: numeric(12, 2) does not hold all that numeric(12, 4) does; also locking (changing-column-type): t.price: everybody waits while the table is written anew
    8 locking changing-column-type: t.at: everybody waits while the table is written anew
    9 destructive narrow-column-type: t.at: date does not hold all that timestamptz does; also locking (changing-column-type): t.at: everybody waits while the table is written anew
    10 locking changing-column-type: elsewhere.x: everybody waits while the table is written anew
    11 unvalidated conversion-may-fail: elsewhere.x: fails where integer cannot hold a value: it does not hold all that bigint does; also locking (changing-column-type): elsewhere.x: everybody waits while the table is written anew
    ");
}

#[test]
fn what_sqlite_loses_and_blocks() {
    assert_snapshot!(sqlite(
        "DROP TABLE t;
         ALTER TABLE u DROP COLUMN id;
         DELETE FROM u;
         DELETE FROM u WHERE id = 1;
         WITH x AS (SELECT 1) DELETE FROM u;
         UPDATE u SET id = 1;
         UPDATE u SET id = 1 WHERE id = 2;
         REPLACE INTO u VALUES (1);
         INSERT OR REPLACE INTO u VALUES (1);
         INSERT OR IGNORE INTO u VALUES (1);
         INSERT INTO u VALUES (1) ON CONFLICT (id) DO UPDATE SET id = excluded.id;
         CREATE INDEX i ON u (id);
         ALTER TABLE u ADD COLUMN n TEXT NOT NULL;
         ALTER TABLE u ADD COLUMN m TEXT NOT NULL DEFAULT '';
         ALTER TABLE u RENAME COLUMN id TO number;
         ALTER TABLE u RENAME TO w;
         DROP VIEW v; DROP TRIGGER g; DROP INDEX i;
         PRAGMA foreign_keys = off; PRAGMA writable_schema = on;
         VACUUM; COMMIT;
         CREATE VIRTUAL TABLE f USING fts5(body);
         CREATE TRIGGER g AFTER INSERT ON u BEGIN DELETE FROM w; UPDATE w SET id = CASE WHEN 1 THEN 2 END; END;
         DELETE FROM w LIMIT LIMIT;
         SELEKT 1"
    ), @r"
    1 destructive drop-table: loses the rows of t
    2 destructive drop-column: loses the values of u.id; also locking (long-write): writers of the whole file wait while u is written anew without the column
    3 destructive delete-rows: deletes all rows of u
    4 destructive delete-rows: deletes some rows of u; also locking (long-write): writers of the whole file wait while rows of u are read
    5 destructive delete-rows: deletes all rows of u
    6 destructive update-all-rows: overwrites id in all rows of u; also locking (long-write): writers of the whole file wait while rows of u are read
    7 locking long-write: writers of the whole file wait while rows of u are read
    8 destructive replace-rows: deletes the rows of u that are in the way; use ON CONFLICT DO UPDATE
    9 destructive replace-rows: deletes the rows of u that are in the way; use ON CONFLICT DO UPDATE
    10 safe -: loses nothing and blocks nobody
    11 safe -: loses nothing and blocks nobody
    12 locking long-write: writers of the whole file wait while the index is built
    13 unvalidated adding-required-field: fails when the table has rows: the column is NOT NULL and has no default
    14 safe -: loses nothing and blocks nobody
    15 locking renaming-column: statements by the old name id fail from then on
    16 locking renaming-table: statements by the old name u fail from then on
    17 safe -: loses nothing and blocks nobody
    17 safe -: loses nothing and blocks nobody
    17 safe -: loses nothing and blocks nobody
    18 safe -: loses nothing and blocks nobody
    18 unvalidated code-block: what is written into the schema's own table is not looked into
    19 unvalidated ban-in-transaction: VACUUM fails in a transaction: let the file begin with `-- no-transaction`; also locking (long-write): writers wait while the file is written anew
    19 unvalidated transaction-control: the migration runs in a transaction already, together with its record
    20 safe -: loses nothing and blocks nobody
    21 safe -: loses nothing and blocks nobody
    22 destructive delete-rows: deletes all rows of w
    23 unvalidated not-parsed: cannot be read: Expected: an SQL statement, found: SELEKT at Line: 1, Column: 1
    ");
}

#[test]
fn an_assertion_is_as_good_as_what_was_seen() {
    let sql = "-- trueup:assert-empty t\nDROP TABLE t;\n-- trueup:assert-empty t\nDROP TABLE t, u;\n\
               -- trueup:assert-empty t\n-- trueup:assert-empty u\nTRUNCATE t, u;\n-- trueup:assert-empty t\nTRUNCATE t CASCADE";
    let seen = |seen| {
        let mut known = Known::default();
        said(sql, Dialect::Postgres, &mut known, &move |_| seen)
    };

    assert_snapshot!(seen(Some(Emptiness::Empty)), @r"
    2 safe drop-table: asserted empty: t
    4 destructive drop-table: loses the rows of t, u; that t is empty makes no difference to it
    7 safe truncate: asserted empty: t, u
    9 destructive truncate: deletes all rows of t and of the tables that refer to it; that t is empty makes no difference to it
    ");
    assert_snapshot!(seen(Some(Emptiness::NotEmpty)), @r"
    2 destructive drop-table: loses the rows of t; asserted empty, and has rows: t
    4 destructive drop-table: loses the rows of t, u; that t is empty makes no difference to it
    7 destructive truncate: deletes all rows of t, u; asserted empty, and has rows: t, u
    9 destructive truncate: deletes all rows of t and of the tables that refer to it; that t is empty makes no difference to it
    ");
    assert_snapshot!(seen(None), @r"
    2 unvalidated drop-table: loses the rows of t; asserted empty, and nobody has looked yet: t
    4 destructive drop-table: loses the rows of t, u; that t is empty makes no difference to it
    7 unvalidated truncate: deletes all rows of t, u; asserted empty, and nobody has looked yet: t, u
    9 destructive truncate: deletes all rows of t and of the tables that refer to it; that t is empty makes no difference to it
    ");
    assert_eq!(seen(Some(Emptiness::Missing)), seen(Some(Emptiness::Empty)));
}

#[test]
fn a_comment_silences_nothing() {
    let sql = "-- squawk-ignore ban-drop-table, require-concurrent-index-creation\nCREATE INDEX i ON t (id);\n\
               /* squawk-ignore-file */ DROP TABLE t /* trueup:assert-empty t */";
    assert_snapshot!(postgres(sql), @r"
    2 locking require-concurrent-index-creation: writers wait while the index is built; use CONCURRENTLY in a migration that begins with `-- no-transaction`
    3 destructive drop-table: loses the rows of t
    ");
}

#[test]
fn the_migrations_of_this_repository_are_safe_on_an_empty_database() {
    for (folder, dialect) in [("postgres", Dialect::Postgres), ("sqlite", Dialect::Sqlite)] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut known = Known::default();
        for file in files {
            let sql = std::fs::read_to_string(&file).unwrap();
            let statements =
                classify(Text { sql: &sql, dialect, in_transaction: true }, &mut known, &|_| None);
            assert!(!statements.is_empty());
            let risky: Vec<_> =
                statements.iter().filter(|statement| statement.risk() != Risk::Safe).collect();
            assert!(risky.is_empty(), "{}: {risky:?}", file.display());
        }
    }
}

#[test]
fn every_rule_has_a_section_in_the_reference() {
    let page = include_str!("../../docs/reference/lint.md");
    for rule in rules::all() {
        assert!(page.contains(&format!("### {}\n", rule.name)), "{} has no section", rule.name);
    }
    let sections = page.matches("\n### ").count();
    assert_eq!(sections, rules::all().count(), "a section is about no rule");
}

#[test]
fn a_statement_that_is_nested_too_deep_ends_no_process() {
    let deep = format!("UPDATE u SET id = {}1{};\nDROP TABLE t", "(".repeat(20_000), ")".repeat(20_000));
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        let risks = on(dialect, &deep);
        assert!(
            risks.contains("1 unvalidated not-parsed") && risks.contains("2 destructive drop-table"),
            "{risks}"
        );
    }
}
