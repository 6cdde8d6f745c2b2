//! Statements that take long while the transaction holds a lock that blocks others.

use super::*;

fn alone(sql: &str) -> String {
    postgres(&format!("-- no-transaction\n{sql}"))
}

#[test]
fn work_on_many_rows_under_a_lock_makes_others_wait() {
    for sql in [
        "ALTER TABLE t ADD COLUMN b text; UPDATE t SET b = name WHERE id > 5",
        "ALTER TABLE t ADD COLUMN b text; INSERT INTO u (id) SELECT id FROM t",
        "ALTER TABLE t ADD COLUMN b text; SELECT count(*) FROM u",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c",
        "LOCK TABLE t; INSERT INTO u (id) SELECT generate_series(1, 100000)",
        "DROP TRIGGER g ON t; ANALYZE u",
        "CREATE TABLE x (t_id int REFERENCES t (id)); INSERT INTO x SELECT id FROM u",
        "ALTER TABLE t ADD COLUMN b text; CREATE TABLE x AS SELECT * FROM u",
        "ALTER TABLE t ADD COLUMN b text; CREATE TABLE x AS SELECT 1 FROM u WHERE id = 1",
    ] {
        assert_eq!(last(&postgres(sql)), "locking work-under-lock", "{sql}");
    }
    let filled = "CREATE TABLE x AS SELECT * FROM t; ALTER TABLE t ADD b text; CREATE INDEX i ON x (id)";
    assert_eq!(last(&postgres(filled)), "locking work-under-lock");
}

#[test]
fn few_rows_or_no_lock_make_nobody_wait() {
    for sql in [
        "ALTER TABLE t ADD COLUMN b text; INSERT INTO u (id) VALUES (1), (2)",
        "ALTER TABLE t ADD COLUMN b text; INSERT INTO u (id) SELECT generate_series(1, 10)",
        "CREATE TABLE x (id int PRIMARY KEY, n int); CREATE INDEX i ON x (n); INSERT INTO x SELECT id FROM u",
        "CREATE TABLE x (id int PRIMARY KEY); ALTER TABLE t ADD b text; SELECT * FROM x",
        "ALTER TABLE t ADD COLUMN b text; SELECT relname FROM pg_catalog.pg_class",
        "UPDATE t SET name = 'x' WHERE id = 5",
        "ALTER TABLE t VALIDATE CONSTRAINT c",
        "ALTER TABLE t SET (fillfactor = 70); SELECT count(*) FROM u",
    ] {
        assert_eq!(last(&postgres(sql)), "safe -", "{sql}");
    }
    for sql in [
        "ALTER TABLE t ADD COLUMN b text; SELECT count(*) FROM u",
        "BEGIN; ALTER TABLE t ADD COLUMN b text; COMMIT; SELECT count(*) FROM u",
    ] {
        assert_eq!(last(&alone(sql)), "safe -", "{sql}");
    }
    let own = "BEGIN; ALTER TABLE t ADD COLUMN b text; SELECT count(*) FROM u";
    assert_eq!(last(&alone(own)), "locking work-under-lock");
}

#[test]
fn a_row_found_by_a_key_is_one_row() {
    let mut known = Known::default();
    let setup = "CREATE TABLE k (id int PRIMARY KEY, a int, b int, n int, UNIQUE (a, b))";
    said(setup, Dialect::Postgres, &mut known, &|_| None);
    known.mark_all_used();
    let risk = |rest: &str| {
        let sql = format!("ALTER TABLE k ADD COLUMN c int; {rest}");
        last(&said(&sql, Dialect::Postgres, &mut known.clone(), &|_| None))
    };

    for sql in [
        "UPDATE k SET n = 1 WHERE id = 7",
        "UPDATE k SET n = 1 WHERE id IN (1, 2)",
        "UPDATE k AS x SET n = 1 WHERE x.a = 1 AND (x.b = 2 OR x.b = 3)",
        "SELECT n FROM k WHERE 5 = id",
    ] {
        assert_eq!(risk(sql), "safe -", "{sql}");
    }
    for sql in [
        "UPDATE k SET n = 1 WHERE a = 1",
        "UPDATE k SET n = 1 WHERE id = 7 OR n = 1",
        "UPDATE k SET n = 1 WHERE id > 7",
        "UPDATE k SET n = 1 WHERE id = n",
        "UPDATE k SET n = 1 FROM u WHERE id = 1",
        "SELECT n FROM k, u WHERE id = 1",
    ] {
        assert_eq!(risk(sql), "locking work-under-lock", "{sql}");
    }
}

#[test]
fn filling_a_new_column_makes_writers_wait() {
    for (sql, risk) in [
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int; UPDATE t SET a = 1", "locking backfill"),
        ("ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1 WHERE id = 3", "locking work-under-lock"),
    ] {
        assert_eq!(last(&postgres(sql)), risk, "{sql}");
    }
    let alone = alone("ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1 WHERE a IS NULL");
    assert_eq!(last(&alone), "locking backfill");
    let sqlite = sqlite("ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1");
    assert_eq!(last(&sqlite), "locking long-write");
}
