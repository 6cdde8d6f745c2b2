//! A08 to A12: migrations that fail, are edited, are late, run outside a transaction, run again,
//! have a way down, or were run by another tool.

use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use crate::servers::{Postgres, Wire};
use crate::stacks::{Database, MIGRATIONS, on_each_database, sqlx_runs};
use crate::world::{Run, World};

/// Returns the names of the migrations in the folder.
fn migrations(world: &World, files: &[(&str, &str)]) {
    drop(std::fs::remove_dir_all(world.path("migrations")));
    for (name, sql) in files {
        world.file(&format!("migrations/{name}.sql"), sql);
    }
}

/// Returns a server address behind a [`Wire`].
fn wired(postgres: &Postgres) -> (Wire, String) {
    let url = postgres.url();
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let wire = Wire::before(port.parse().unwrap());
    let through = url.replace(&format!(":{port}/"), &format!(":{}/", wire.port()));
    (wire, through)
}

#[test]
fn a_hundred_migrations_ask_less_than_sqlx_does_and_an_empty_plan_five_times() {
    let (ours, theirs, world) = (Postgres::start(), Postgres::start(), World::new());
    world.spec(MIGRATIONS);
    for number in 1..=100 {
        let sql = format!("CREATE TABLE t{number} (id bigint PRIMARY KEY, name text NOT NULL);");
        world.file(&format!("migrations/{number:04}_t{number}.sql"), sql);
    }
    let (wire, url) = wired(&theirs);
    let began = std::time::Instant::now();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        Migrator::new(world.path("migrations")).await.unwrap().run(&mut connection).await.unwrap();
    });
    let (sqlx_asked, sqlx_took) = (wire.questions(), began.elapsed());

    let (wire, url) = wired(&ours);
    world.env("DATABASE_URL", url);
    let began = std::time::Instant::now();
    world.apply().exits(0);
    let (asked, took) = (wire.questions(), began.elapsed());
    wire.forget();
    world.plan().exits(0);

    println!("sqlx asks {sqlx_asked} times in {sqlx_took:?}, apply {asked} times in {took:?}");
    assert!(asked < sqlx_asked, "apply asks {asked} times, sqlx {sqlx_asked}");
    assert_eq!(wire.questions(), 5, "questions of an empty plan");
}

fn addresses(plan: &Run) -> Vec<String> {
    let changes = plan.json()["changes"].as_array().unwrap().clone();
    changes.iter().map(|change| change["address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a08_a_failing_migration_stops_what_needs_it_and_the_same_command_goes_on() {
    on_each_database(|world, database| {
        world.spec(&format!(
            "{MIGRATIONS}cache: {{ url: \"sqlite://cache.db\", namespaces: {{ s: {{ prefix: \"s:\", ttl: 1h }} }} }}\n"
        ));
        let good = "CREATE TABLE a (id integer PRIMARY KEY);\n";
        let bad = "CREATE TABLE b (id integer);\n\n-- no such table\nINSERT INTO nowhere VALUES (1);\n";
        migrations(world, &[("0001_a", good), ("0002_b", bad), ("0003_c", "CREATE TABLE c (id integer)")]);

        let failed = world.apply();

        failed.exits(6).says("line 4, at `INSERT INTO nowhere VALUES (1)`");
        failed.says("migrations/0002_b.sql").says("needs system.migration.0002_b");
        failed.says("1 failed").warns("`trueup apply --auto-approve` goes on from here");
        assert_eq!(database.sql("SELECT version FROM _sqlx_migrations"), "1");
        assert!(world.path("cache.db").exists(), "what does not need it is done");
        migrations(
            world,
            &[
                ("0001_a", good),
                ("0002_b", "CREATE TABLE b (id integer)"),
                ("0003_c", "CREATE TABLE c (id integer)"),
            ],
        );
        world.apply().exits(0);
        assert_eq!(database.sql("SELECT count(*) FROM _sqlx_migrations"), "3");
        world.plan().exits(0);
    });
}

#[test]
fn a08_a_spec_that_the_migrated_schema_does_not_fit_is_an_apply_in_part_and_recorded_as_failed() {
    on_each_database(|world, database| {
        world.spec(&format!(
            "{MIGRATIONS}  seeds: {{ a: {{ table: a, key: [id], rows: rows.csv, when: seed_demo_data }} }}\n"
        ));
        world.file("rows.csv", "id,nowhere\n1,x\n");
        migrations(world, &[("0001_a", "CREATE TABLE a (id integer PRIMARY KEY);\n")]);

        let applied = world.apply();

        applied.exits(6).says("failed system.seed.a: column nowhere does not exist").says("1 failed");
        applied.warns("what this run did could not be verified").warns("goes on from here");
        let runs = database.bookkeeping("runs");
        assert_eq!(database.sql(&format!("SELECT status FROM {runs}")), "failed");
        world.plan().exits(1).warns("column nowhere does not exist");
    });
}

#[test]
fn a08_outside_a_transaction_the_next_run_begins_at_the_failed_statement() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        let begin = "-- no-transaction\nCREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);\n";
        migrations(world, &[("0001_a", &format!("{begin}INSERT INTO nowhere VALUES (1);\n"))]);
        world.apply().exits(6).says("line 4").says("what comes before this statement is kept");
        let refused = sqlx_runs(world, database, "migrations").unwrap_err();
        assert!(refused.contains("partially applied"), "{refused}");

        migrations(world, &[("0001_a", &format!("{begin}INSERT INTO a VALUES (2);\n"))]);
        world.plan().exits(2).says("2 of 3 statements are done");
        world.apply().exits(0);

        assert_eq!(database.sql("SELECT id FROM a ORDER BY id"), "1\n2");
        assert_eq!(sqlx_runs(world, database, "migrations"), Ok(()));
    });
}

#[test]
fn a09_an_edited_migration_is_refused_and_line_endings_are_not() {
    on_each_database(|world, _| {
        world.spec(MIGRATIONS);
        migrations(world, &[("0001_a", "CREATE TABLE a (id integer);\nSELECT 1;\n")]);
        world.apply().exits(0);

        migrations(world, &[("0001_a", "\u{feff}CREATE TABLE a (id integer);\r\nSELECT 1;\r\n")]);
        world.plan().exits(0);
        migrations(world, &[("0001_a", "CREATE TABLE a (id  integer);\nSELECT 1;\n")]);
        let spaced = world.plan();
        migrations(world, &[("0001_a", "CREATE TABLE a (id bigint);\nSELECT 1;\n")]);
        let edited = world.plan();
        migrations(world, &[("0002_b", "CREATE TABLE a (id integer);\nSELECT 1;\n")]);
        let moved = world.plan();

        spaced.exits(1).warns("in white space only").warns("0001_a");
        edited.exits(1).warns("not only in white space");
        moved.exits(1).warns("0002_b");
    });
}

#[test]
fn a10_a_late_migration_is_refused_or_allowed() {
    on_each_database(|world, _| {
        world.spec(MIGRATIONS);
        migrations(world, &[("0001_a", "SELECT 1"), ("0003_c", "SELECT 3")]);
        world.apply().exits(0);
        migrations(world, &[("0001_a", "SELECT 1"), ("0002_b", "SELECT 2"), ("0003_c", "SELECT 3")]);

        world.plan().exits(1).warns("0002_b").warns("0003_c").warns("order: allow");
        world.spec(&format!("{MIGRATIONS}  order: allow\n"));

        world.apply().exits(0).says("out of order");
        world.plan().exits(0);
    });
}

#[test]
fn a11_an_index_is_built_while_others_write_and_a_half_built_one_anew() {
    on_each_database(|world, database| {
        let Database::Postgres(_) = database else { return };
        world.spec(MIGRATIONS);
        let table = "CREATE TABLE t (a integer);\nINSERT INTO t VALUES (1), (1);\n";
        let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY j ON t (a);\n\
                     CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);\n";
        migrations(world, &[("0001_t", table), ("0002_i", index)]);
        world.apply().exits(6).says("line 3").says("could not create unique index");
        let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
        assert_eq!(database.sql(invalid), "0", "it takes what it left along");

        // As left behind by a killed REINDEX.
        database.sql("CREATE INDEX i ON t (a)");
        database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass");
        database.sql("DELETE FROM t");
        world.apply().exits(0);

        assert_eq!(database.sql(invalid), "0");
        database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass");
        world.trueup(&["plan"]).exits(0).says("REINDEX INDEX CONCURRENTLY");
    });
}

#[test]
fn a12_a_database_of_another_tool_is_adopted_after_comparing_it() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        let users = "CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL);\n";
        let index = "CREATE INDEX users_email ON users (email);\n";
        migrations(
            world,
            &[
                ("0001_users", users),
                ("0002_email", index),
                ("0003_later", "CREATE TABLE later (id integer)"),
            ],
        );
        database.sql(users);
        database
            .sql("CREATE TABLE alembic_version (version_num text); INSERT INTO users VALUES (1, 'a@b.c')");

        world.plan().exits(1).warns("Alembic").warns("trueup baseline --to");
        let differs = world.trueup(&["baseline", "--to", "0002"]);
        differs.exits(3).says("-CREATE INDEX users_email").never_says("alembic_version");
        assert_eq!(history(database), "none");
        world.trueup(&["baseline", "--to", "7"]).exits(1).warns("0003_later");
        database.sql(index);

        world.trueup(&["baseline", "--to", "0002_email"]).exits(0).says("2 migrations recorded, none run");

        assert_eq!(database.sql("SELECT version FROM _sqlx_migrations ORDER BY 1"), "1\n2");
        assert_eq!(database.sql("SELECT count(*) FROM users"), "1");
        let plan = world.trueup(&["plan", "--format", "json"]);
        assert_eq!(addresses(&plan), ["system.migration.0003_later", "flags"]);
        world.apply().exits(0);
        world.trueup(&["baseline", "--to", "3"]).exits(0).says("nothing to do");
        world.trueup(&["history", "--format", "json"]).exits(0).says("\"baseline\"");
        assert_eq!(sqlx_runs(world, database, "migrations"), Ok(()));
        if let Database::Postgres(postgres) = database {
            // Concurrent tests may create one on the same server.
            let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'trueup_scratch_%'";
            crate::servers::wait_until("no scratch database", || postgres.on_server(left) == "0");
        }
    });
}

fn history(database: &Database) -> &'static str {
    let sql = match database {
        Database::Sqlite(_) => "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
        Database::Postgres(_) => "SELECT count(to_regclass('_sqlx_migrations'))",
    };
    if database.sql(sql) == "0" { "none" } else { "some" }
}

#[test]
fn reversible_and_repeatable_files_are_run_as_they_are_meant() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        let (own, other) = match database {
            Database::Sqlite(_) => ("sqlite", "postgres"),
            Database::Postgres(_) => ("postgres", "sqlite"),
        };
        world.file(&format!("migrations/{own}/0001_a.up.sql"), "CREATE TABLE a (id integer);\n");
        world.file(&format!("migrations/{own}/0001_a.down.sql"), "DROP TABLE a;\n");
        world.file(&format!("migrations/{other}/0001_a.sql"), "no SQL at all");
        world.file(
            "migrations/repeatable/all.sql",
            "DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT id FROM a;\n",
        );
        world.file(
            &format!("migrations/{own}/repeatable/own.sql"),
            "DROP VIEW IF EXISTS w;\nCREATE VIEW w AS SELECT 1 AS one;\n",
        );
        world.file(&format!("migrations/{other}/repeatable/other.sql"), "no SQL at all");

        let plan = world.trueup(&["plan", "--format", "json"]);
        world.apply().exits(0);

        let runs: Vec<_> = addresses(&plan)
            .into_iter()
            .filter(|a| a.contains(".migration.") || a.contains(".rep"))
            .collect();
        assert_eq!(runs, ["system.migration.0001_a", "system.repeatable.all", "system.repeatable.own"]);
        world.plan().exits(0);
        assert_eq!(sqlx_runs(world, database, &format!("migrations/{own}")), Ok(()));
        assert_eq!(database.sql("SELECT (SELECT count(*) FROM v), (SELECT one FROM w)"), "0|1");

        world.file(
            "migrations/repeatable/all.sql",
            "DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT 2 AS two;\n",
        );
        world.plan().exits(2).says("system.repeatable.all").never_says("system.repeatable.own");
        world.apply().exits(0);
        assert_eq!(database.sql("SELECT two FROM v"), "2");
        world.plan().exits(0).never_says("by hand");
    });
}

#[test]
fn what_sqlx_applied_is_known_and_each_tool_goes_on_after_the_other() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        migrations(world, &[("0001_first_step", "CREATE TABLE a (id integer);\r\n")]);
        assert_eq!(sqlx_runs(world, database, "migrations"), Ok(()));

        let plan = world.trueup(&["plan", "--format", "json"]);
        assert_eq!(addresses(&plan), ["system.bookkeeping", "flags"]);
        world.file("migrations/0002_b.sql", "CREATE TABLE b (id integer);");
        world.apply().exits(0);
        world.file("migrations/0003_c.sql", "-- no-transaction\nCREATE TABLE c (id integer);");
        assert_eq!(sqlx_runs(world, database, "migrations"), Ok(()));

        world.plan().exits(0);
        assert_eq!(database.sql("SELECT count(*) FROM _sqlx_migrations"), "3");
    });
}

#[test]
fn a11_indexes_that_postgresql_named_are_not_left_invalid() {
    on_each_database(|world, database| {
        let Database::Postgres(_) = database else { return };
        world.spec(MIGRATIONS);
        let table = "CREATE TABLE t (a integer, b integer);\nINSERT INTO t VALUES (1, 1), (1, 2);\n\
                     CREATE UNIQUE INDEX i ON t (b);\n";
        migrations(
            world,
            &[
                ("0001_t", table),
                ("0002_i", "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY ON t (a);\n"),
            ],
        );
        let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
        world.apply().exits(6).says("could not create unique index");
        assert_eq!(database.sql(invalid), "0");
        database.sql("UPDATE t SET a = b");
        world.apply().exits(0);

        // A failed REINDEX CONCURRENTLY leaves an unused copy of the index.
        database.sql(
            "CREATE UNIQUE INDEX i_ccnew ON t (b); \
                      UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i_ccnew'::regclass",
        );
        world.trueup(&["plan"]).exits(0).says("DROP INDEX CONCURRENTLY \"i_ccnew\"");
        let again = "-- no-transaction\nREINDEX INDEX CONCURRENTLY i;\n";
        world.file("migrations/0003_again.sql", again);
        world.apply().exits(0);

        assert_eq!(database.sql(invalid), "0");
        assert_eq!(database.sql("SELECT count(*) FROM pg_class WHERE relname ~ '_cc(new|old)'"), "0");
    });
}

#[test]
fn a12_functions_triggers_and_the_like_are_compared_too() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        let (table, rest) = match database {
            Database::Sqlite(_) => (
                "CREATE TABLE t (id integer PRIMARY KEY) STRICT;\n",
                vec!["CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END"],
            ),
            Database::Postgres(_) => (
                "CREATE TABLE t (id integer PRIMARY KEY);\nCREATE TABLE p (id int) PARTITION BY RANGE (id);\n",
                vec![
                    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
                    "CREATE POLICY q ON t FOR SELECT USING (id > 0)",
                    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
                    "CREATE SEQUENCE s INCREMENT 5",
                    "CREATE DOMAIN d AS int CHECK (VALUE > 1)",
                    "CREATE TYPE e AS ENUM ('a', 'b')",
                    "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
                    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9)",
                ],
            ),
        };
        migrations(world, &[("0001_t", &format!("{table}{};\n", rest.join(";\n")))]);
        database.sql(&table.replace(" STRICT", ""));

        let differs = world.trueup(&["baseline", "--to", "1"]);

        differs.exits(3).says("trigger g on t");
        for statement in &rest {
            database.sql(statement);
        }
        if let Database::Postgres(_) = database {
            for name in ["function f()", "policy q on t", "row level security of t", "sequence s", "domain d"]
            {
                differs.says(name);
            }
            differs.says("type e").says("rule r on t").says("partition p1");
            database.sql("CREATE FUNCTION other() RETURNS int LANGUAGE sql AS 'SELECT 1'");
        } else {
            world.trueup(&["baseline", "--to", "1"]).exits(3).says("strict table t");
            database.sql("DROP TABLE t");
            database.sql(table);
            database.sql(rest[0]);
        }
        world.trueup(&["baseline", "--to", "1"]).exits(0).says("recorded system.migration.0001_t");
    });
}
