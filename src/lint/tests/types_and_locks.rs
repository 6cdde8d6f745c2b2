//! Type changes, called functions, conditions and locks.

use super::*;

#[test]
fn a_cast_in_using_is_as_narrow_as_its_narrowest_type() {
    let to = |column: &str, rest: &str| last(&postgres(&format!("ALTER TABLE t ALTER {column} TYPE {rest}")));
    for (column, rest) in [
        ("price", "numeric(10, 4) USING price::int"),
        ("at", "timestamp USING at::date"),
        ("name", "varchar(20) USING name::varchar(3)"),
        ("name", "text USING CAST(name AS char(1))"),
        ("name", "text USING name::varchar(3)::text"),
        ("id", "bigint USING u.id"),
        ("id", "bigint USING length(name)"),
        ("other", "numeric USING other::int"),
        ("other", "float(10)"),
        ("price", "numeric(12, -2)"),
    ] {
        assert_eq!(to(column, rest), "destructive narrow-column-type", "{column} {rest}");
    }
    for (column, rest) in [
        ("id", "int USING (id::smallint)"),
        ("id", "smallint"),
        ("name", "varchar(10)"),
        ("name", "uuid USING name::uuid"),
        ("price", "numeric(7, 4)"),
        ("other", "mood USING other::text::mood"),
    ] {
        assert_eq!(to(column, rest), "unvalidated conversion-may-fail", "{column} {rest}");
    }
    for (column, rest) in [
        ("price", "numeric(12, 4) USING price::numeric(12, 4)"),
        ("price", "numeric USING (price)::numeric"),
        ("name", "text USING \"name\""),
        ("name", "varchar(40)"),
        ("id", "integer"),
        ("at", "timestamp(6)"),
    ] {
        assert_eq!(to(column, rest), "safe -", "{column} {rest}");
    }
    for (column, rest) in [
        ("id", "bigint USING CAST(id AS bigint)"),
        ("id", "float(53)"),
        ("at", "timestamptz USING at AT TIME ZONE 'UTC'"),
        ("name", "varchar(20) COLLATE \"C\""),
        ("other", "text USING other::text"),
    ] {
        assert_eq!(to(column, rest), "locking changing-column-type", "{column} {rest}");
    }
}

#[test]
fn code_of_a_function_that_is_not_known_is_not_looked_into() {
    for sql in [
        "SELECT purge()",
        "SELECT app.lower('X')",
        "SELECT 1 FROM t WHERE purge(id)",
        "SELECT * FROM purge()",
        "INSERT INTO t (id) SELECT purge()",
        "INSERT INTO t (id) VALUES (coalesce(purge(), 1))",
        "UPDATE t SET id = purge() WHERE id = 1",
        "WITH x AS (SELECT purge()) SELECT 1",
        "CREATE TABLE x AS SELECT purge()",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM t'; SELECT f()",
        "SELECT setval('s', 1)",
        "SELECT lo_unlink(1)",
        "SELECT dblink_exec('x', 'DROP TABLE t')",
        "SELECT query_to_xml('DELETE FROM t', true, true, '')",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_read_file('x')",
    ] {
        assert_eq!(last(&postgres(sql)), "unvalidated code-block", "{sql}");
    }
    for sql in [
        "SELECT now(), gen_random_uuid(), coalesce(lower(name), 'x'), count(*) FROM t GROUP BY 3",
        "SELECT pg_catalog.set_config('lock_timeout', '1s', true)",
        "SELECT extract(year FROM at), CAST(id AS numeric(3, 1)) FROM t",
        "INSERT INTO t (id) SELECT nextval('s') FROM generate_series(1, 3)",
        "CREATE VIEW v AS SELECT purge()",
        "CREATE TABLE x (id int DEFAULT purge())",
        "ALTER TABLE t ALTER id SET DEFAULT purge()",
        "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION purge()",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT purge()'",
    ] {
        assert_eq!(last(&postgres(sql)), "safe -", "{sql}");
    }
    let with_data = postgres("ALTER TABLE t ADD COLUMN c int DEFAULT purge()");
    assert_eq!(last(&with_data), "unvalidated code-block");
}

#[test]
fn a_condition_that_compares_no_column_with_anything_is_none() {
    let conditions = [
        "id = id",
        "t.id = id",
        "(id) >= id",
        "'a' = 'a'",
        "2 > 1",
        "TRUE AND TRUE",
        "id > 0 OR true",
        "EXISTS (SELECT 1)",
        "EXISTS (SELECT 1 FROM u WHERE u.id = 1)",
        "id IS NOT NULL",
        "NOT id IS NULL",
        "NOT (id > 0 AND false)",
        "id IN (1, id)",
        "id BETWEEN id AND id",
        "1",
        "NOT false",
    ];
    for condition in conditions {
        let sql = format!("UPDATE t SET name = 'x' WHERE {condition}");
        for said in [postgres(&sql), sqlite(&sql)] {
            assert_eq!(last(&said), "destructive update-all-rows", "{sql}");
        }
    }
    for condition in [
        "id = 1",
        "name IS NULL",
        "id > 0 AND true",
        "id = 1 OR id = 2",
        "NOT (id = 1)",
        "name LIKE 'a%'",
        "id IN (SELECT id FROM u)",
        "EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
        "lower(name) = 'x'",
        "price <> round(price)",
        "id BETWEEN 1 AND 3",
        "name IS NOT NULL AND name <> ''",
    ] {
        let sql = format!("UPDATE t SET name = 'x' WHERE {condition}");
        for said in [postgres(&sql), sqlite(&sql)] {
            assert!(!said.contains("update-all-rows"), "{said}");
        }
    }
    for (sql, risk) in [
        ("UPDATE t AS a SET name = 'x' FROM u WHERE a.id = u.id", "locking row-locks"),
        ("UPDATE t AS a SET name = 'x' FROM u WHERE u.id = 3", "destructive update-all-rows"),
        ("MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET name = 'x'", "locking row-locks"),
        (
            "MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET name = 'x'",
            "destructive update-all-rows",
        ),
        ("MERGE INTO t USING u ON true WHEN MATCHED AND t.id = 1 THEN UPDATE SET name = 'x'", "safe -"),
    ] {
        assert_eq!(last(&postgres(sql)), risk, "{sql}");
    }
}

#[test]
fn an_array_holds_what_its_elements_hold() {
    let retyped = |from: &str, to: &str| {
        let mut known = Known::default();
        said(&format!("CREATE TABLE x (a {from})"), Dialect::Postgres, &mut known, &|_| None);
        known.mark_all_used();
        let sql = format!("ALTER TABLE x ALTER a TYPE {to}");
        last(&said(&sql, Dialect::Postgres, &mut known, &|_| None))
    };
    assert_eq!(retyped("text[]", "varchar[]"), "locking changing-column-type");
    assert_eq!(retyped("varchar(9)[]", "varchar(5)[]"), "unvalidated conversion-may-fail");
    assert_eq!(retyped("timestamp[]", "date[]"), "destructive narrow-column-type");
}

#[test]
fn what_squawk_takes_to_be_new_counts_for_nothing() {
    for (sql, rule) in [
        (
            "CREATE TABLE IF NOT EXISTS t (id int); CREATE INDEX i ON t (id)",
            "require-concurrent-index-creation",
        ),
        ("CREATE TABLE app.t (id int); CREATE INDEX i ON t (id)", "require-concurrent-index-creation"),
        (
            "CREATE TABLE app.t (id int); ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0)",
            "constraint-missing-not-valid",
        ),
        (
            "CREATE TABLE app.t (id int); ALTER TABLE t ADD CONSTRAINT q UNIQUE (id)",
            "disallowed-unique-constraint",
        ),
    ] {
        assert_eq!(last(&postgres(sql)), format!("locking {rule}"), "{sql}");
    }
    let before = postgres(
        "CREATE INDEX i ON x (id);\nDROP TABLE IF EXISTS x;\nCREATE TABLE x (id int);\nCREATE INDEX i ON x (id)",
    );
    assert!(before.starts_with("1 locking") && last(&before) == "safe -", "{before}");
}

#[test]
fn what_scans_or_writes_a_whole_table_makes_others_wait() {
    for (sql, rule) in [
        ("ALTER TABLE t ADD COLUMN j serial", "adding-field-with-default"),
        ("ALTER TABLE t ADD COLUMN j bigserial", "adding-field-with-default"),
        ("ALTER TABLE t ADD COLUMN j int GENERATED ALWAYS AS IDENTITY", "adding-field-with-default"),
        ("ALTER TABLE t ADD COLUMN o int CHECK (o > 0)", "constraint-missing-not-valid"),
        ("ALTER TABLE t ADD COLUMN o int DEFAULT 1 REFERENCES u (id)", "adding-foreign-key-constraint"),
        ("ALTER TABLE t ATTACH PARTITION u FOR VALUES IN (1)", "attach-partition"),
        ("CREATE TABLE x PARTITION OF t DEFAULT", "attach-partition"),
        ("CREATE TABLE x (id int); ALTER TABLE t ATTACH PARTITION x DEFAULT", "attach-partition"),
        ("ALTER DOMAIN d SET NOT NULL", "ban-alter-domain-with-add-constraint"),
        ("ALTER DOMAIN d VALIDATE CONSTRAINT c", "ban-alter-domain-with-add-constraint"),
        ("ALTER INDEX i SET TABLESPACE s", "rewrite-table"),
        ("ALTER MATERIALIZED VIEW m SET TABLESPACE s", "rewrite-table"),
        ("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b", "rewrite-table"),
        ("ALTER INDEX ALL IN TABLESPACE a SET TABLESPACE b", "rewrite-table"),
    ] {
        assert_eq!(last(&postgres(sql)), format!("locking {rule}"), "{sql}");
    }
    for sql in [
        "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE x PARTITION OF p DEFAULT",
        "CREATE TABLE x (id int); ALTER TABLE x ADD COLUMN j serial",
        "ALTER DOMAIN d DROP NOT NULL",
        "ALTER TABLE t ADD COLUMN o int REFERENCES u (id)",
    ] {
        assert_eq!(last(&postgres(sql)), "safe -", "{sql}");
    }
}

#[test]
fn a_statement_that_never_ends_is_one_that_cannot_be_read() {
    for sql in ["/* DROP TABLE t;", "SELECT 'a; SELECT 1", "SELECT $$ a; SELECT 1", "SELECT \"a; SELECT 1"] {
        assert_eq!(postgres(sql).lines().count(), 1, "{sql}");
        assert_eq!(last(&postgres(sql)), "unvalidated not-parsed", "{sql}");
    }
    for sql in ["/* DROP TABLE t;", "SELECT 'a; SELECT 1", "SELECT [a; SELECT 1"] {
        assert_eq!(last(&sqlite(sql)), "unvalidated not-parsed", "{sql}");
    }
    let after = postgres("SELECT 1; /* and");
    assert!(after.starts_with("1 safe") && last(&after) == "unvalidated not-parsed", "{after}");
    assert_eq!(last(&postgres("DROP TABLE t /* and")), "destructive drop-table");
}

#[test]
fn writes_to_system_catalogs_and_disabled_checks_are_unvalidated() {
    for (sql, expected) in [
        ("UPDATE pg_attribute SET attnotnull = true WHERE attname = 'x'", "unvalidated code-block"),
        ("COPY pg_catalog.pg_enum FROM '/tmp/x'", "unvalidated code-block"),
        ("CREATE TABLE pg_own (id int); INSERT INTO pg_own VALUES (1)", "safe -"),
        ("INSERT INTO public.pg_own VALUES (1)", "safe -"),
        ("ALTER ROLE app SET session_replication_role TO 'replica'", "unvalidated disabled-checks"),
        ("SET session_replication_role = DEFAULT", "safe -"),
        ("ALTER ROLE app RESET session_replication_role", "safe -"),
        ("CREATE TABLE x (id int); ALTER TABLE x DISABLE TRIGGER ALL", "safe -"),
        ("SET allow_system_table_mods = off", "safe -"),
    ] {
        assert_eq!(last(&postgres(sql)), expected, "{sql}");
    }
    let both = postgres("DELETE FROM pg_depend WHERE classid = 0");
    assert!(both.contains("delete-rows") && both.contains("code-block"), "{both}");
}
