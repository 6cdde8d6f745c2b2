//! Tables that nobody uses yet: only those that this plan surely created, under the name that resolves to them.

use super::*;

#[test]
fn a_table_is_not_new_because_one_of_a_similar_name_is() {
    for (sql, risk) in [
        ("CREATE TEMP TABLE t (id int); DELETE FROM public.t", "destructive delete-rows"),
        (
            "CREATE TEMP TABLE x (id int); ALTER TABLE x RENAME TO t; DROP TABLE public.t",
            "destructive drop-table",
        ),
        ("CREATE TEMP TABLE x (id int) ON COMMIT DROP; DELETE FROM public.x", "destructive delete-rows"),
        ("CREATE TABLE \"U\" (id int); DROP TABLE u", "destructive drop-table"),
        ("CREATE TABLE app.t (id int); DROP TABLE t", "destructive drop-table"),
        ("CREATE TABLE main.t (id int); DROP TABLE t", "destructive drop-table"),
        ("CREATE TABLE x (id int); DELETE FROM other.public.t", "destructive delete-rows"),
        ("CREATE TABLE x (id int); DROP TABLE U&\"x\"", "destructive drop-table"),
        ("SET search_path = app; CREATE TABLE x (id int); DROP TABLE x", "destructive drop-table"),
        (
            "SET LOCAL search_path TO app; CREATE TABLE x (id int); DROP TABLE public.x",
            "destructive drop-table",
        ),
        ("SET SCHEMA 'app'; CREATE TABLE x (id int); DROP TABLE x", "destructive drop-table"),
        (
            "SELECT set_config('search_path', 'app', false); CREATE TABLE x (id int); DELETE FROM x",
            "destructive delete-rows",
        ),
        (
            "SAVEPOINT s; ALTER TABLE t RENAME TO o; CREATE TABLE t (id int); ROLLBACK TO s; DELETE FROM t",
            "destructive delete-rows",
        ),
        ("CREATE TABLE x (id int); ROLLBACK; DELETE FROM x", "destructive delete-rows"),
        (
            "CREATE TABLE x (id int); ALTER TABLE x RENAME TO y; ALTER TABLE t RENAME TO x; DROP TABLE x",
            "destructive drop-table",
        ),
        (
            "CREATE TYPE x AS ENUM (); ALTER TYPE x RENAME TO y; ALTER TYPE mood RENAME TO x; DROP TYPE x CASCADE",
            "destructive drop-type",
        ),
        (
            "CREATE TABLE a.x (id int); ALTER SCHEMA a RENAME TO c; ALTER SCHEMA b RENAME TO a; DROP TABLE a.x",
            "destructive drop-table",
        ),
        ("CREATE TABLE p (id int); ALTER TABLE t INHERIT p; DELETE FROM p", "destructive delete-rows"),
        (
            "CREATE TABLE g (id int); CREATE TABLE p () INHERITS (g); ALTER TABLE t INHERIT p; DELETE FROM g",
            "destructive delete-rows",
        ),
        (
            "CREATE TABLE p (id int) PARTITION BY LIST (id); ALTER TABLE p ATTACH PARTITION t DEFAULT; DROP TABLE p",
            "destructive drop-table",
        ),
        (
            "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME name TO a; ALTER TABLE t DROP a",
            "destructive drop-column",
        ),
        (
            "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME TO o; ALTER TABLE u RENAME TO t; ALTER TABLE t DROP a",
            "destructive drop-column",
        ),
        ("CREATE TABLE IF NOT EXISTS elsewhere (id int); DROP TABLE elsewhere", "destructive drop-table"),
        (
            "CREATE TABLE IF NOT EXISTS elsewhere (id smallint); ALTER TABLE elsewhere ALTER id TYPE int",
            "destructive narrow-column-type",
        ),
        (
            "ALTER TABLE elsewhere ADD a int; ALTER TABLE elsewhere ADD COLUMN IF NOT EXISTS b int; UPDATE elsewhere SET b = 1",
            "destructive update-all-rows",
        ),
    ] {
        assert_eq!(last(&postgres(sql)), risk, "{sql}");
    }
    for (sql, risk) in [
        ("CREATE TEMP TABLE t (id); DELETE FROM main.t", "destructive delete-rows"),
        ("CREATE TABLE temp.t (id); DROP TABLE main.t", "destructive drop-table"),
        (
            "CREATE TABLE aux.x (id); DETACH aux; ATTACH 'b.db' AS aux; DROP TABLE aux.x",
            "destructive drop-table",
        ),
        (
            "ALTER TABLE t ADD COLUMN a; ALTER TABLE t RENAME TO o; ALTER TABLE u RENAME TO t; ALTER TABLE t DROP a",
            "destructive drop-column",
        ),
        ("DROP TABLE 'u'", "destructive drop-table"),
    ] {
        assert_eq!(last(&sqlite(sql)), risk, "{sql}");
    }
}

#[test]
fn what_is_surely_new_is_free() {
    for sql in [
        "CREATE TEMP TABLE x AS SELECT * FROM t; UPDATE x SET id = 1; DROP TABLE x",
        "CREATE TEMP TABLE x (id int) ON COMMIT DROP; DELETE FROM x",
        "CREATE TABLE public.x (id int); DELETE FROM x",
        "CREATE TABLE X (id int); DELETE FROM \"x\"",
        "SELECT set_config('search_path', '', false); CREATE TABLE public.x (id int); DROP TABLE public.x",
        "CREATE TABLE x (id int); ALTER TABLE x RENAME TO y; DROP TABLE y",
        "CREATE TABLE p (id int); CREATE TABLE c () INHERITS (p); DELETE FROM p",
        "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t RENAME a TO b; ALTER TABLE t DROP b",
        "CREATE TYPE x AS ENUM (); DROP TYPE x",
    ] {
        assert_eq!(last(&postgres(sql)), "safe -", "{sql}");
    }
}

#[test]
fn a_table_that_is_made_where_it_is_missing_is_new_where_nothing_else_can_be() {
    let sql = "CREATE TABLE IF NOT EXISTS x (id int); DELETE FROM x";
    let on = |mut known: Known, dialect| last(&said(sql, dialect, &mut known, &|_| None));
    let empty = crate::catalog::Snapshot::default();

    assert_eq!(on(Known::empty_database(), Dialect::Postgres), "safe -");
    assert_eq!(on(Known::from_schema(&empty, Dialect::Sqlite), Dialect::Sqlite), "safe -");
    // A partition may have the name.
    assert_eq!(
        on(Known::from_schema(&empty, Dialect::Postgres), Dialect::Postgres),
        "destructive delete-rows"
    );
}

#[test]
fn temporary_tables_and_search_paths_end_with_the_file() {
    let mut known = Known::default();
    let rows = |_: &TableName| None;
    said("CREATE TEMP TABLE x (id int); SET search_path = app", Dialect::Postgres, &mut known, &rows);
    let next =
        said("DELETE FROM x; CREATE TABLE y (id int); DROP TABLE y", Dialect::Postgres, &mut known, &rows);
    assert!(
        next.contains("1 destructive delete-rows")
            && next.ends_with("1 safe -: loses nothing and blocks nobody"),
        "{next}"
    );
}

#[test]
fn what_this_plan_makes_nobody_uses_yet() {
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        let mut known = Known::default();
        let rows = |_: &TableName| None;
        said("CREATE TABLE Old (id integer)", dialect, &mut known, &rows);
        known.mark_all_used();
        said(
            "CREATE TABLE new (id integer); CREATE TABLE IF NOT EXISTS old (id integer)",
            dialect,
            &mut known,
            &rows,
        );

        let next =
            "CREATE INDEX i ON NEW (id); DELETE FROM new; ALTER TABLE new DROP COLUMN id; DROP TABLE new;
                    ALTER TABLE old ADD COLUMN x integer; UPDATE old SET x = 1; ALTER TABLE old DROP COLUMN x;
                    DELETE FROM old";
        let risks: Vec<String> = said(next, dialect, &mut known, &rows)
            .lines()
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect();

        // SQLite writes the table anew without the column.
        let drop = if dialect == Dialect::Sqlite { "locking" } else { "safe" };
        assert_eq!(
            risks,
            ["safe", "safe", "safe", "safe", "safe", "locking", drop, "destructive"],
            "{dialect}"
        );
    }
}

#[test]
fn a_new_column_is_required_only_after_it_has_values() {
    let required = "unvalidated adding-required-field";
    for (sql, risk) in [
        ("ALTER TABLE t ADD a int; ALTER TABLE t ALTER a SET NOT NULL", required),
        ("ALTER TABLE t ADD a int DEFAULT NULL; ALTER TABLE t ALTER a SET NOT NULL", required),
        ("ALTER TABLE t ALTER a SET NOT NULL, ADD a int", required),
        (
            "ALTER TABLE t ADD a int; UPDATE u SET id = 1 WHERE id = 3; ALTER TABLE t ALTER a SET NOT NULL",
            required,
        ),
        (
            "ALTER TABLE t ADD a int DEFAULT 1; ALTER TABLE t ALTER a SET NOT NULL",
            "locking adding-not-nullable-field",
        ),
        (
            "ALTER TABLE t ADD IF NOT EXISTS a int; ALTER TABLE t ALTER a SET NOT NULL",
            "locking adding-not-nullable-field",
        ),
        (
            "ALTER TABLE t ADD a int; UPDATE t SET a = id WHERE id > 3; ALTER TABLE t ALTER a SET NOT NULL",
            "locking adding-not-nullable-field",
        ),
        (
            "ALTER TABLE t ADD a int; DO 'x'; ALTER TABLE t ALTER a SET NOT NULL",
            "locking adding-not-nullable-field",
        ),
        (
            "CREATE DOMAIN one AS int DEFAULT 1; ALTER TABLE t ADD a one; ALTER TABLE t ALTER a SET NOT NULL",
            "locking adding-not-nullable-field",
        ),
        ("CREATE TABLE x (id int); ALTER TABLE x ADD a int; ALTER TABLE x ALTER a SET NOT NULL", "safe -"),
    ] {
        assert_eq!(last(&postgres(sql)), risk, "{sql}");
    }
}

#[test]
fn a_foreign_key_of_a_partitioned_table_cannot_be_left_unchecked() {
    let key = "ALTER TABLE p ADD FOREIGN KEY (id) REFERENCES t NOT VALID";
    let partitioned = postgres(&format!("CREATE TABLE p (id int) PARTITION BY HASH (id); {key}"));
    assert_eq!(last(&partitioned), "unvalidated partitioned-foreign-key");
    assert_eq!(last(&postgres(&format!("CREATE TABLE p (id int); {key}"))), "safe -");
}

#[test]
fn a_column_that_is_computed_otherwise_loses_its_values() {
    let said = postgres("ALTER TABLE t ALTER name SET EXPRESSION AS (id * 3)");
    assert_eq!(last(&said), "destructive update-all-rows");
    assert!(said.contains("; also locking (rewrite-table)"), "{said}");
}

#[test]
fn an_index_that_does_not_exist_is_not_missed() {
    let (known, drop) = (Known::default(), "DROP INDEX IF EXISTS gone");
    let (tables, schemas) = conditional_names(drop, Dialect::Postgres);
    let missing = Missing { tables: tables.into_iter().collect(), schemas: schemas.into_iter().collect() };
    let said_with = |missing: &Missing, sql| {
        last(&said(sql, Dialect::Postgres, &mut known.clone().with_lookups(missing, [], []), &|_| None))
    };
    assert_eq!(said_with(&missing, drop), "safe -");
    assert_eq!(said_with(&Missing::default(), drop), "locking require-concurrent-index-deletion");
}
