//! A08: server errors are recognised by their code in any language, with fitting help.

use crate::servers::{Postgres, psql};
use crate::stacks::{Database, on_each_database};
use crate::world::World;

const SPEC: &str = "
version: 1
stack: shop
environment: dev
system: { url: \"${DATABASE_URL}\", migrations: migrations, accounts: false, lock_timeout: 200ms }
";

/// Creates an account and returns an address for it.
fn account(postgres: &Postgres, may: &str) -> String {
    let (name, url) = (format!("{}_app", postgres.name()), postgres.url());
    postgres.psql(&format!("CREATE ROLE {name} LOGIN {may} PASSWORD 'for-tests-only'"));
    postgres.psql(&format!("GRANT CREATE ON DATABASE {} TO {name}", postgres.name()));
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    format!("{scheme}://{name}:for-tests-only@{place}")
}

#[test]
fn a08_an_account_that_may_make_no_tables_is_told_what_to_grant() {
    let database = Postgres::start();
    let world = World::new();
    world.spec(SPEC).file("migrations/0001_a.sql", "CREATE TABLE a (id int);\n");
    let url = account(&database, "");
    world.env("DATABASE_URL", &url);
    let role = format!("{}_app", database.name());
    database.psql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");

    let without = world.apply();
    database.psql(&format!("CREATE SCHEMA theirs; ALTER ROLE {role} SET search_path = nowhere"));
    let nowhere = world.apply();
    database.psql(&format!("ALTER ROLE {role} RESET search_path; GRANT CREATE ON SCHEMA public TO {role}"));
    world.file("migrations/0002_b.sql", "CREATE TABLE theirs.b (id int);\n");
    let elsewhere = world.apply();
    database.psql(&format!("GRANT ALL ON SCHEMA theirs TO {role}"));
    let granted = world.apply();
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));

    for refused in [&without, &nowhere] {
        refused.exits(6).says("cannot make _sqlx_migrations").says("CREATE ON SCHEMA public TO");
        refused.never_says("line 36").never_says("while executing migrations");
    }
    elsewhere
        .exits(6)
        .says("permission denied for schema theirs")
        .says("lacks a right that this statement needs");
    granted.exits(0);
}

#[test]
fn a08_what_is_there_already_is_adopted_as_the_help_says() {
    on_each_database(|world, database| {
        let spec = SPEC.replace("migrations: migrations", "migrations: migrations, create_database: true");
        world.spec(&spec).file("migrations/0001_a.sql", "CREATE TABLE a (id int);\n");
        world.apply().exits(0);
        database.sql("ALTER TABLE a ADD COLUMN n text");
        world.trueup(&["drift"]).exits(2);
        world.file("migrations/0002_n.sql", "ALTER TABLE a ADD COLUMN n text;\n");

        let failed = world.apply();

        failed.exits(6);
        if let Database::Postgres(_) = database {
            failed.says("what it makes is there already").says("`trueup baseline --to");
        }
        world.trueup(&["baseline", "--to", "2"]).exits(0);
        world.plan().exits(0);
        world.trueup(&["drift"]).exits(0).says("No drift.");
    });
}

#[test]
fn a08_the_version_that_the_tables_reach_is_suggested() {
    on_each_database(|world, database| {
        world.spec(SPEC);
        for (name, sql) in [
            ("0001_users", "CREATE TABLE users (id int PRIMARY KEY);\nCREATE TABLE gone (id int);\n"),
            ("0002_bio", "ALTER TABLE users ADD COLUMN bio text;\nDROP TABLE gone;\n"),
            ("0003_index", "CREATE INDEX by_bio ON users (bio);\n"),
            ("0004_rows", "INSERT INTO users (id) SELECT 1 WHERE 1 = 0;\n"),
            ("0005_more", "ALTER TABLE users ADD COLUMN phone text;\n"),
            ("0006_orders", "CREATE TABLE orders (id int);\n"),
        ] {
            world.file(&format!("migrations/{name}.sql"), sql);
        }
        for (done, version) in [
            ("CREATE TABLE users (id int PRIMARY KEY)", 1),
            ("ALTER TABLE users ADD COLUMN bio text", 2),
            ("CREATE INDEX by_bio ON users (bio)", 4),
            ("ALTER TABLE users ADD COLUMN phone text", 5),
            ("CREATE TABLE orders (id int)", 6),
        ] {
            database.sql(done);
            world.plan().exits(1).warns(&format!("`trueup baseline --to {version}`"));
        }
        world.trueup(&["baseline", "--to", "6"]).exits(0);
        world.plan().exits(2).never_says("system.migration.");
    });
}

#[test]
fn a08_a_german_server_is_understood_by_its_codes() {
    let database = Postgres::in_language("de");
    // Only the distribution packages of PostgreSQL have translated messages. Elsewhere the codes
    // are tested in English.
    let is_german = database.sample_message() == "Division durch Null";
    if !is_german {
        println!("NOT TESTED in German: PostgreSQL {} has no German messages here", database.major());
    }
    let in_german = |word: &'static str| if is_german { word } else { "" };
    let world = World::new();
    let spec = SPEC.replace("migrations: migrations", "migrations: migrations, create_database: true");
    world.env("DATABASE_URL", database.url()).spec(&spec);
    world.file("migrations/0001_a.sql", "CREATE TABLE a (id int PRIMARY KEY, mood text);\n");
    world.apply().exits(0);
    database.psql("INSERT INTO a VALUES (7, 'of the application')");

    // A row that refers to existing data is not a failure of the rehearsal.
    world.file("migrations/0002_b.sql", "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a (id));\n");
    world.file("rows.csv", "id,a\n1,7\n");
    world.spec(&spec.replace(
        "accounts: false",
        "accounts: false, seeds: { s: { table: b, key: [id], rows: rows.csv } }",
    ));
    world.trueup(&["plan", "--rehearse"]).exits(0).says("1 of 2 pending steps ran");
    world.apply().exits(0);

    // A lock wait times out and names the blocking session.
    world.file("migrations/0003_c.sql", "ALTER TABLE a ADD COLUMN c int;\n");
    let url = database.url();
    let holder = std::thread::spawn(move || psql(&url, "BEGIN; LOCK TABLE a; SELECT pg_sleep(600)"));
    crate::servers::wait_until("the lock", || {
        database.psql(
            "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'a'::regclass",
        ) == "1"
    });
    let blocked = world.apply();
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'a'::regclass";
    assert_eq!(database.psql(ended), "1");
    assert!(holder.join().is_err(), "it was ended");
    blocked.exits(6).says("another session holds a lock").says(in_german("Sperr"));
    world.apply().exits(0);

    // Existing objects, statements outside of transactions, missing privileges.
    world.file("migrations/0004_d.sql", "ALTER TABLE a ADD COLUMN c int;\n");
    world.apply().exits(6).says(in_german("existiert bereits")).says("what it makes is there already");
    world.file("migrations/0004_d.sql", "VACUUM a;\n");
    world.apply().exits(6).says("let the file begin with the line `-- no-transaction`");
    world.file("migrations/0004_d.sql", "-- no-transaction\nVACUUM a;\n");
    world.apply().exits(0);
    world.plan().exits(0);

    // Unreachable servers.
    let wrong = database.url().replace("for-tests-only", "not-the-password");
    world.env("DATABASE_URL", wrong).plan().exits(1).warns("check user and password of `system.url`");
    let missing = database.url_of("nowhere");
    world.env("DATABASE_URL", missing).spec(SPEC);
    world.plan().warns("does not exist");
}
