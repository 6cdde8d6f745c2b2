//! Values of rows whose types only the server can read: other spellings of a stored value are no change, and
//! a value that the type rejects is an error of the plan with file, line and column.

use std::fmt::Write as _;

use crate::servers::Postgres;
use crate::stacks::{Database, on_each_database};
use crate::world::World;

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok');\n\
     CREATE TYPE pair AS (a integer, b text);\n\
     CREATE DOMAIN positive AS integer CHECK (VALUE > 0);\n\
     CREATE DOMAIN cents AS numeric(6,2);\n\
     CREATE DOMAIN short AS varchar(3);\n\
     CREATE DOMAIN span AS interval CHECK (VALUE > '0');\n";

/// A type, a declared value, what is stored, and a value that the type rejects.
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("time", "9:05", "09:05:00", "25:00"),
    ("timetz", "9:05 UTC", "09:05:00+00", "noonish"),
    ("interval", "1 day 24:00", "1 day 24:00:00", "one day"),
    ("interval[]", "[\"1 day\", \"90 min\"]", "{\"1 day\",01:30:00}", "{1 dy}"),
    ("inet", "10.0.0.1/32", "10.0.0.1/32", "abc"),
    ("inet[]", "{10.0.0.1/32}", "{10.0.0.1}", "{10.0.0.256}"),
    ("cidr", "10.1", "10.1.0.0/16", "10.0.0.1/8"),
    ("macaddr", "08-00-2B-01-02-03", "08:00:2b:01:02:03", "08:00"),
    ("money", "1000", "$1,000.00", "a lot"),
    ("bit(3)", "b101", "101", "1010"),
    ("varbit(5)", "x1", "0001", "101010"),
    ("int4range", "[1,5]", "[1,6)", "[5,1]"),
    ("daterange", "[2024-1-1,]", "[2024-01-01,)", "[2024-13-01,]"),
    ("uuid", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99"),
    ("xml", "<a/>", "<a/>", "<a>"),
    ("jsonb", "{\"b\": 1, \"a\": [true]}", "{\"a\": [true], \"b\": 1}", "{b: 1}"),
    ("boolean", "TRUE", "true", "maybe"),
    ("boolean[]", "[\"TRUE\", \"f\"]", "{t,f}", "[2]"),
    ("tsquery", "a&b", "'a' & 'b'", "a &"),
    ("point", "1, 2", "(1,2)", "1"),
    ("regclass", "pg_catalog.pg_class", "pg_class", "pg_none"),
    ("pair", "(1,a b)", "(1,\"a b\")", "(x,a)"),
    ("mood", "sad", "sad", "angry"),
    ("positive", "+05", "5", "-5"),
    ("cents", "1.005", "1.01", "10000"),
    ("short", "ab", "ab", "abcd"),
    ("span", "36:00", "36:00:00", "-1 day"),
    ("date", "Jan 8, 1999", "1999-01-08", "Jan 32, 1999"),
    ("timestamp", "Jan 8, 1999 10:00 PM", "1999-01-08 22:00:00", "Jan 8, 1999 25:00"),
];

fn world(database: &Database, migration: &str) -> World {
    let world = World::new();
    world.env("DATABASE_URL", database.url()).file("migrations/0001_t.sql", migration);
    world
}

fn spec(seed: &str, rows: &str) -> String {
    format!(
        "version: 1\nstack: shop\nenvironment: dev\nsystem: {{ url: \"${{DATABASE_URL}}\", create_database: true, \
         migrations: migrations, accounts: false, seeds: {{ s: {{ table: t, {seed}, rows: {rows} }} }} }}\n"
    )
}

#[test]
fn a_value_in_another_spelling_than_the_stored_one_is_no_change() {
    let database = Database::Postgres(Postgres::start());
    let columns: String = VALUES.iter().enumerate().fold(String::new(), |mut all, (at, (data_type, ..))| {
        let _ = write!(all, ", c{at} {data_type}");
        all
    });
    let world = world(&database, &format!("{TYPES}CREATE TABLE t (id integer PRIMARY KEY{columns});\n"));
    world.file("rows.json", "[]").spec(&spec("key: [id], mode: upsert", "rows.json")).apply().exits(0);
    let row = |values: &[&str]| {
        let mut row = serde_json::json!({ "id": 1 });
        for (at, value) in values.iter().enumerate() {
            row[format!("c{at}")] = (*value).into();
        }
        world.file("rows.json", format!("[\n{row}\n]"));
    };
    let [declared, stored]: [Vec<&str>; 2] =
        [VALUES.iter().map(|value| value.1).collect(), VALUES.iter().map(|value| value.2).collect()];

    row(&declared);
    world.plan().exits(2);
    world.apply().exits(0);

    world.plan().exits(0);
    for (at, (data_type, _, stored, _)) in VALUES.iter().enumerate() {
        assert_eq!(database.sql(&format!("SELECT c{at}::text FROM t")), *stored, "{data_type}");
    }
    world.trueup(&["observe", "--out", "world.json"]).exits(0);
    world.trueup(&["plan", "--detailed-exitcode", "--world", "world.json"]).exits(0);
    let observed = world.read("world.json");
    assert!(!observed.contains("1 day 24:00") && !observed.contains("9:05"), "{observed}");
    row(&stored);
    world.plan().exits(0);
    database.sql("UPDATE t SET c2 = '2 days', c24 = 7");
    world.plan().exits(2).says("1 row to change");

    // The server would store another time whenever it is asked.
    world.file("rows.json", "[{\"id\": 2, \"c0\": \"now\"}]").apply().exits(6).says("keeps other values");

    for (at, (_, _, _, bad)) in VALUES.iter().enumerate() {
        let mut values = stored.clone();
        values[at] = bad;
        row(&values);
        let shown = format!("{bad:?} is no value of column c{at} (");
        world.plan().exits(1).warns("rows.json:2: ").warns(&shown);
    }
}

/// A type and a value that PostgreSQL refuses, though it looks like one.
const REFUSED: &[(&str, &str)] = &[
    ("numeric(5,2)", "Infinity"),
    ("numeric", "1e199999"),
    ("numeric(3,-2)", "99950"),
    ("real", "1e39"),
    ("real", "1e-60"),
    ("float8", "1e400"),
    ("float8", "1e-400"),
    ("oid", "4294967296"),
    ("jsonb", "\"\\u0000\""),
    ("jsonb", "\"\\ud800\""),
    ("jsonb", "1e140000"),
    ("int[]", "[[1], [2, 3]]"),
    ("int[]", "{{1},{2,3}}"),
    ("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a1"),
];

/// A type, a value that PostgreSQL rounds or shortens, and what is stored.
const ROUNDED: &[(&str, &str, &str)] = &[
    ("numeric(5,2)", "10.005", "10.01"),
    ("numeric(3,-2)", "1234", "1200"),
    ("time(1)", "10:00:00.26", "10:00:00.3"),
    ("interval second(2)", "00:00:01.255", "00:00:01.26"),
    ("timestamp(1)", "2024-01-05 10:00:00.26", "2024-01-05 10:00:00.3"),
    ("varchar(3)", "a     ", "a  "),
    (
        "name",
        "n123456789n123456789n123456789n123456789n123456789n123456789n123456789",
        "n123456789n123456789n123456789n123456789n123456789n123456789n12",
    ),
    ("real", "0.123456789", "0.12345679"),
];

/// A type and a spelling that only the server reads, and what is stored.
const SPELLED: &[(&str, &str, &str)] = &[
    ("uuid", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("oid", "-1", "4294967295"),
    ("numeric", "1e5", "100000"),
    ("float8", "1e300", "1e+300"),
    ("jsonb", "\"\\u00e9\"", "\"é\""),
];

#[test]
fn the_plan_knows_what_postgresql_refuses_and_what_it_rounds() {
    let database = Database::Postgres(Postgres::start());
    // A negative scale is read since version 15.
    let version: u32 = database.sql("SHOW server_version_num").parse().unwrap();
    let is_there = |data_type: &str| version >= 150_000 || !data_type.contains(",-");
    let types = REFUSED.iter().map(|(data_type, _)| *data_type);
    let types = types.chain(ROUNDED.iter().chain(SPELLED).map(|(data_type, ..)| *data_type));
    let types: Vec<&str> = types.filter(|data_type| is_there(data_type)).collect();
    let columns: String = types.iter().enumerate().fold(String::new(), |mut all, (at, data_type)| {
        let _ = write!(all, ", c{at} {data_type}");
        all
    });
    let world = world(
        &database,
        &format!("CREATE TABLE t (id integer PRIMARY KEY, must integer NOT NULL{columns});\n"),
    );
    world.file("rows.json", "[]").spec(&spec("key: [id], mode: upsert", "rows.json")).apply().exits(0);
    let column = |data_type: &str| types.iter().position(|name| *name == data_type);
    let row = |data_type: &str, value: &str| {
        let at = column(data_type)?;
        let mut row = serde_json::json!({ "id": 1, "must": 1 });
        row[format!("c{at}")] = value.into();
        world.file("rows.json", format!("[\n{row}\n]"));
        Some(at)
    };

    for (data_type, value) in REFUSED {
        let Some(at) = row(data_type, value) else { continue };
        world.plan().exits(1).warns("rows.json:2: ").warns(&format!("is no value of column c{at} ("));
    }
    for (data_type, value, stored) in ROUNDED {
        let Some(at) = row(data_type, value) else { continue };
        world.plan().exits(2).says("is rounded").says(&format!("column c{at} ("));
        world.apply().exits(0);
        world.plan().exits(0);
        assert_eq!(
            database.sql(&format!("SELECT c{at}::text || '|' FROM t")),
            format!("{stored}|"),
            "{data_type}"
        );
    }
    for (data_type, value, stored) in SPELLED {
        let Some(at) = row(data_type, value) else { continue };
        world.plan().exits(2).never_says("rounded");
        world.apply().exits(0);
        world.plan().exits(0);
        assert_eq!(database.sql(&format!("SELECT c{at}::text FROM t")), *stored, "{data_type}");
    }
    world.file("rows.json", "[\n{\"id\": 1, \"must\": null}\n]");
    world.plan().exits(1).warns("rows.json:2: column must is NOT NULL");
}

#[test]
fn the_plan_knows_what_sqlite_refuses() {
    let world = World::new();
    let database = Database::Sqlite(world.path("data.db"));
    world.env("DATABASE_URL", database.url());
    world.file(
        "migrations/0001_t.sql",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, must TEXT NOT NULL, ratio REAL, big INTEGER, bytes BLOB) STRICT;\n\
         CREATE TABLE u (id INTEGER PRIMARY KEY, big INTEGER);\n",
    );
    world.file("rows.yaml", "[]").spec(&spec("key: [id], mode: upsert", "rows.yaml")).apply().exits(0);
    for (row, message) in [
        ("{ id: 1, must: null }", "column must is NOT NULL"),
        ("{ id: 1, must: a, ratio: NaN }", "\"NaN\" is no value of column ratio (REAL)"),
        ("{ id: 1, must: a, ratio: 1e999 }", "\"1e999\" is no value of column ratio (REAL)"),
        ("{ id: 1, must: a, big: 9223372036854775808 }", "is no value of column big (INTEGER)"),
        ("{ id: 1, must: a, bytes: hello }", "\"hello\" is no value of column bytes (BLOB)"),
    ] {
        world.file("rows.yaml", format!("-\n  {row}\n")).plan().exits(1).warns(message);
    }
    world.file("rows.yaml", "- { id: 1, must: a, bytes: \"0x1234\" }\n").apply().exits(0);
    world.plan().exits(0);
    assert_eq!(database.sql("SELECT hex(bytes) FROM t"), "1234");

    world.file("rows.yaml", "- { id: 1, big: 9223372036854775808 }\n");
    world.spec(&spec("key: [id], mode: upsert", "rows.yaml").replace("table: t", "table: u"));
    world.plan().exits(2).says("9223372036854775808");
    world.apply().exits(0);
    world.plan().exits(0);
}

#[test]
fn a_value_that_is_rejected_among_thousands_is_found() {
    let database = Database::Postgres(Postgres::start());
    let world = world(&database, "CREATE TABLE t (id inet PRIMARY KEY, c interval, n integer);\n");
    world.file("rows.csv", "id,c,n\n").spec(&spec("key: [id], mode: upsert", "rows.csv")).apply().exits(0);
    let rows = |last: &str| {
        let many = (0..12_000).map(|n| format!("10.0.{}.{},{n} min,{n}\n", n / 250, n % 250));
        world.file("rows.csv", format!("id,c,n\n{}{last}", many.collect::<String>()));
    };

    rows("10.1.0.0,5 mim,1\n10.1.0.1,1 min,1\n");
    world.plan().exits(1).warns("rows.csv:12002: \"5 mim\" is no value of column c (interval)");
    rows("10.1.0.0,5 min,1\n10.1.0,1 min,1\n");
    world.plan().exits(1).warns("rows.csv:12003: \"10.1.0\" is no value of column id (inet)");

    rows("10.1.0.0/32,1 day -1 min,1\n");
    world.apply().exits(0);
    world.plan().exits(0);
    assert_eq!(database.sql("SELECT count(*) FROM t"), "12001");
}

#[test]
fn a_key_in_another_spelling_is_the_key_of_the_stored_row() {
    let database = Database::Postgres(Postgres::start());
    let world =
        world(&database, "CREATE TABLE t (at time, days int4range, n integer, PRIMARY KEY (at, days));\n");
    let mirror = spec("key: [at, days], mode: mirror", "rows.csv");

    world.file("rows.csv", "at,days,n\n9:05,\"[1,5]\",1\n12:00,\"[1,5]\",2\n").spec(&mirror).apply().exits(0);
    world.plan().exits(0);
    world.file("rows.csv", "at,days,n\n09:05:00,\"[1,6)\",1\n12:00 PM,\"[1,5]\",2\n").plan().exits(0);
    world
        .file("rows.csv", "at,days,n\n09:05,\"[1,6)\",1\n9:05,\"[1,5]\",2\n")
        .plan()
        .exits(1)
        .warns("same key");

    // Rows that the mirror wrote under another spelling are still its own.
    world
        .file("rows.csv", "at,days,n\n9:5,\"(0,5]\",3\n")
        .plan()
        .exits(2)
        .says("1 row to change, 1 to delete");
    world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);
    assert_eq!(database.sql("SELECT * FROM t"), "09:05:00|[1,6)|3");
    world.plan().exits(0);
}

#[test]
fn a_value_that_a_pending_migration_may_admit_is_unvalidated() {
    let database = Database::Postgres(Postgres::start());
    let world = world(&database, &format!("{TYPES}CREATE TABLE t (id integer PRIMARY KEY, c span);\n"));
    world
        .file("rows.csv", "id,c\n1,1 day\n")
        .spec(&spec("key: [id], mode: upsert", "rows.csv"))
        .apply()
        .exits(0);
    world.file("rows.csv", "id,c\n1,24:00\n2,-1 day\n").plan().exits(1);

    world.file("migrations/0002_span.sql", "ALTER DOMAIN span DROP CONSTRAINT span_check;\n");
    world.plan().exits(2).says("cannot be checked before").says("\"-1 day\" is no value of column c");
    world.apply().exits(0);
    world.plan().exits(0);
    assert_eq!(database.sql("SELECT c FROM t ORDER BY id"), "24:00:00\n-1 days");

    // A table that the same run creates cannot be asked before.
    world.file("migrations/0003_u.sql", "CREATE TABLE u (id integer PRIMARY KEY, c short);\n");
    world.file("rows.csv", "id,c\n1,abc\n2,abcd\n");
    world.spec(&spec("key: [id], mode: upsert", "rows.csv").replace("table: t", "table: u")).plan().exits(2);
    world.apply().exits(6).says("rows.csv:3: \"abcd\" is no value of column c (short)");
    assert_eq!(database.sql("SELECT count(*) FROM u"), "0");
}

#[test]
fn columns_of_an_account_are_compared_as_stored_and_what_is_rounded_is_remarked() {
    let database = Database::Postgres(Postgres::start());
    let table = "CREATE TABLE users (id text PRIMARY KEY, username short UNIQUE, \
                 email text, password_hash text, role mood, is_active boolean, login inet, quota numeric(6,2), \
                 shift interval);\n";
    let world = world(&database, &format!("{TYPES}{table}"));
    world.env("PASSWORD", "correct horse battery staple");
    let account = |name: &str, columns: &str| {
        world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: ${{DATABASE_URL}}\n  create_database: true\n  \
             migrations: migrations\n  users:\n    {name}: {{ email: a@example.com, role: ok, password: \
             \"${{PASSWORD}}\", columns: {{ {columns} }} }}\n"
        ));
    };

    account("ann", "login: 10.0.0.1/32, quota: 10.005, shift: \"480 min\"");
    world.apply().exits(0);
    world.plan().exits(0).says(
        "system.user.ann (stack.yaml:9): \"10.005\" is rounded to 10.01 in column quota (numeric(6,2))",
    );
    assert_eq!(database.sql("SELECT login, quota, shift FROM users"), "10.0.0.1|10.01|08:00:00");
    account("ann", "login: 10.0.0.1, quota: 10.01, shift: \"8:00\"");
    world.plan().exits(0).never_says("rounded");
    account("ann", "login: 10.0.0.2, quota: 10.01, shift: \"8:00\"");
    world.plan().exits(2).says("login differs");

    account("ann", "login: 10.0.0.256");
    world.plan().exits(1).warns("\"10.0.0.256\" is no value of column login (inet)");
    account("anna", "login: 10.0.0.1");
    world.plan().exits(1).warns("\"anna\" is no value of column username (short)");
}

#[test]
fn a_value_of_an_account_that_its_column_cannot_hold_is_said_before_it_is_written() {
    on_each_database(|world, database| {
        let is_sqlite = matches!(database, Database::Sqlite(_));
        let table = |strict: &str| {
            format!(
                "CREATE TABLE users (id text PRIMARY KEY, username text UNIQUE, email text, password_hash text, \
                 role text, is_active integer, age integer){strict};\n"
            )
        };
        world.env("PASSWORD", "correct horse battery staple");
        let spec = "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: ${DATABASE_URL}\n  \
                    create_database: true\n  migrations: migrations\n  users:\n    ann: { email: a@example.com, \
                    password: \"${PASSWORD}\", columns: { age: old } }\n";
        world.file("migrations/0001_users.sql", table("")).spec(&spec.replace("old", "7")).apply().exits(0);

        let plan = world.spec(spec).plan();

        if is_sqlite {
            plan.exits(2).says("system.user.ann (stack.yaml:9): \"old\" is no value of column age (INTEGER)");
            database.sql("DROP TABLE users");
            database.sql(&table(" STRICT"));
            world.plan().exits(1).warns("\"old\" is no value of column age").warns("stack.yaml:9");
        } else {
            plan.exits(1).warns("\"old\" is no value of column age").warns("stack.yaml:9");
        }
    });
}
