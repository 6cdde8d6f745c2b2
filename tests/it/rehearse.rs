//! `plan --rehearse`: what would fail is found in a scratch database, which is gone afterwards, and
//! nothing real is touched.

use serde_json::Value;

use crate::servers::Postgres;
use crate::stacks::{Database, on_each_database};
use crate::world::{Run, World};

const SPEC: &str = "
version: 1
stack: demo
environment: dev
system:
  url: ${DATABASE_URL}
  create_database: true
  accounts: false
  migrations: migrations
";

const A: &str = "CREATE TABLE a (id integer PRIMARY KEY, name text NOT NULL CHECK (name <> 'x'));\n";

fn rehearse(world: &World) -> Run {
    world.trueup(&["plan", "--rehearse", "--format", "json"])
}

/// The checks of a rehearsal, as `status address: message`.
#[track_caller]
fn checks(run: &Run) -> Vec<String> {
    let plan = run.json();
    let word = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let checks = plan["checks"].as_array().unwrap().iter();
    let said = checks.map(|check| {
        format!("{} {}: {}", word(check, "status"), word(check, "address"), word(check, "message"))
    });
    said.filter(|check| check.contains(" system.rehearsal")).collect()
}

/// Everything in the database that a rehearsal could have changed, and scratch databases.
fn everything(database: &Database) -> String {
    match database {
        Database::Sqlite(path) => {
            let rows = database.sql("SELECT * FROM a ORDER BY 1");
            let history = database.sql("SELECT count(*) FROM _sqlx_migrations");
            let schema = database.sql("SELECT group_concat(sql) FROM sqlite_schema");
            let folder = path.parent().unwrap();
            let mut files: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
            files.sort();
            format!("{rows}\n{history}\n{schema}\n{files:?}")
        }
        Database::Postgres(postgres) => {
            let rows = database.sql("SELECT * FROM a ORDER BY 1");
            let history = database.sql("SELECT count(*) FROM _sqlx_migrations");
            let schema = database.sql("SELECT count(*) FROM pg_attribute");
            format!("{rows}\n{history}\n{schema}\n{}", scratch_databases(postgres))
        }
    }
}

/// Those in which this scenario's own account or files would show: other scenarios share the server.
fn scratch_databases(postgres: &Postgres) -> String {
    postgres.on_server("SELECT count(*) FROM pg_database WHERE datname LIKE 'trueup_scratch_%'")
}

#[test]
fn a_failing_statement_is_found_with_its_place_and_nothing_real_is_touched() {
    on_each_database(|world, database| {
        world.spec(SPEC).file("migrations/0001_a.sql", A);
        world.apply().exits(0);
        database.sql("INSERT INTO a VALUES (1, 'kept')");
        let bad = "CREATE TABLE b (id integer);\n\nINSERT INTO nowhere\n  VALUES (1);\n";
        world.file("migrations/0002_b.sql", bad);
        world.file("migrations/0003_c.sql", "CREATE TABLE c (id integer);\n");
        let before = everything(database);

        let run = rehearse(world);

        run.exits(3);
        let checks = checks(&run);
        assert_eq!(checks.len(), 1, "{checks:?}");
        let check = &checks[0];
        assert!(check.starts_with("fail system.rehearsal.migration.0002_b: "), "{check}");
        assert!(check.contains("migrations/0002_b.sql:3: "), "{check}");
        assert!(check.contains("at `INSERT INTO nowhere VALUES (1)`"), "{check}");
        assert!(check.ends_with("not rehearsed after it: system.migration.0003_c"), "{check}");
        assert_eq!(everything(database), before);
    });
}

#[test]
fn a_seed_that_the_new_table_refuses_is_found_in_the_spec() {
    on_each_database(|world, _| {
        world.file("migrations/0001_a.sql", A);
        world.spec(&format!(
            "{SPEC}  seeds:\n    good:\n      table: a\n      key: [id]\n      rows: [{{ id: 1, name: y }}]\n    \
             refused:\n      table: a\n      key: [id]\n      rows: [{{ id: 2, name: x }}]\n    \
             misfit:\n      table: a\n      key: [id]\n      rows: [{{ id: two, name: z }}]\n"
        ));
        world.plan().exits(2);

        let run = rehearse(world);

        run.exits(3);
        let checks = checks(&run);
        assert_eq!(checks.len(), 2, "{checks:?}");
        assert!(checks[0].starts_with("fail system.rehearsal.seed.misfit: "), "{checks:?}");
        assert!(checks[0].contains("two"), "{checks:?}");
        assert!(checks[1].starts_with("fail system.rehearsal.seed.refused: stack.yaml:"), "{checks:?}");
        assert!(checks[1].to_lowercase().contains("check constraint"), "{checks:?}");
    });
}

#[test]
fn what_would_be_known_later_is_rehearsed_and_a_good_plan_passes() {
    on_each_database(|world, database| {
        world.spec(SPEC).file("migrations/0001_a.sql", A);
        world.file(
            "migrations/repeatable/names.sql",
            "DROP VIEW IF EXISTS names;\nCREATE VIEW names AS SELECT name FROM a;\n",
        );
        world.apply().exits(0);
        world.file("migrations/0002_b.sql", "ALTER TABLE a ADD COLUMN more text;\nDROP VIEW names;\n");
        let seed = "  seeds:\n    s:\n      table: a\n      key: [id]\n      rows: [{ id: 1, name: y, COLUMN: z }]\n";
        let before = everything(database);

        world.spec(&format!("{SPEC}{}", seed.replace("COLUMN", "more")));
        let run = rehearse(world);
        run.exits(0);
        let passed = "pass system.rehearsal: 2 of 2 pending steps ran in a scratch database without data";
        assert_eq!(checks(&run), [passed]);
        assert_eq!(everything(database), before);

        world.spec(&format!("{SPEC}{}", seed.replace("COLUMN", "mroe")));
        let run = rehearse(world);
        run.exits(3).says("system.rehearsal.seed.s").says("mroe");
    });
}

#[test]
fn nothing_pending_makes_no_scratch_database_and_a_saved_world_cannot_be_rehearsed() {
    on_each_database(|world, database| {
        world.spec(SPEC).file("migrations/0001_a.sql", A);
        world.apply().exits(0);
        if let Database::Postgres(postgres) = database {
            let role = format!("reader_{}", postgres.name());
            postgres.psql(&format!("CREATE ROLE {role} LOGIN NOCREATEDB; GRANT USAGE ON SCHEMA trueup TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA trueup, public TO {role}"));
            let url = url_as(&postgres.url(), &role);
            world.env("DATABASE_URL", url);
        }
        let run = rehearse(world);
        run.exits(0);
        assert_eq!(
            checks(&run),
            ["pass system.rehearsal: nothing is pending that can be rehearsed; no scratch database was made"]
        );

        world.file("migrations/0002_b.sql", "CREATE TABLE b (id integer);\n");
        if let Database::Postgres(postgres) = database {
            let run = rehearse(world);
            run.exits(3).says("permission denied to create database").says("needs CREATEDB");
            world.env("DATABASE_URL", postgres.url());
            let role = format!("reader_{}", postgres.name());
            postgres.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        }
        world.trueup(&["observe", "--out", "world.json"]).exits(0);
        world.trueup(&["plan", "--rehearse", "--world", "world.json"]).exits(64);
    });
}

/// The same address with another account.
fn url_as(url: &str, role: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    format!("{scheme}://{role}@{place}")
}

#[test]
fn rows_that_refer_to_data_are_not_called_failures() {
    on_each_database(|world, database| {
        world.spec(SPEC).file("migrations/0001_a.sql", A);
        world.apply().exits(0);
        database.sql("INSERT INTO a VALUES (7, 'of the application')");
        world.file(
            "migrations/0002_b.sql",
            "CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a (id));\n",
        );
        world.spec(&format!(
            "{SPEC}  seeds:\n    s:\n      table: b\n      key: [id]\n      rows: [{{ id: 1, a: 7 }}]\n"
        ));

        let run = rehearse(world);

        run.exits(0).says("1 of 2 pending steps ran");
        let checks = checks(&run);
        assert!(checks[1].starts_with("warn system.rehearsal.seed.s: not rehearsed, "), "{checks:?}");
        world.apply().exits(0);
    });
}

#[test]
fn ctrl_c_ends_a_rehearsal_and_drops_the_scratch_database() {
    let (world, database) = (World::new(), Postgres::start());
    world.env("DATABASE_URL", database.url()).spec(SPEC);
    let marker = format!("sleeps_{}", database.name());
    world.file("migrations/0001_a.sql", format!("SELECT pg_sleep(60) AS {marker};\n"));
    let running = world.start(&["plan", "--rehearse"]);
    let sleeping = format!(
        "SELECT datname FROM pg_stat_activity WHERE datname LIKE 'trueup_scratch_%' AND query LIKE '%{marker}%'"
    );
    let mut scratch = String::new();
    for _ in 0..200 {
        scratch = database.on_server(&sleeping);
        if !scratch.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(scratch.starts_with("trueup_scratch_"), "{scratch:?}");

    running.signal("INT");

    running.ends().exits(130).warns("interrupted");
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{scratch}'");
    assert_eq!(database.on_server(&left), "0");
}
