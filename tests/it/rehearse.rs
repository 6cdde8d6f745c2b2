//! `plan --rehearse`: failures are found in a scratch database, which is dropped afterwards, and
//! the real database is unchanged.

use serde_json::Value;

use crate::servers::{Postgres, Session, wait_until};
use crate::stacks::{Database, MIGRATIONS, on_each_database};
use crate::world::{Run, World};

const A: &str = "CREATE TABLE a (id integer PRIMARY KEY, name text NOT NULL CHECK (name <> 'x'));\n";

fn rehearse(world: &World) -> Run {
    world.trueup(&["plan", "--rehearse", "--format", "json"])
}

/// Formats the checks of a rehearsal as `status address: message`.
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

/// Gives the scenario its own account and folder for temporary files, so that leftovers of a
/// rehearsal can be distinguished from those of other tests.
fn alone(world: &World, database: &Database) {
    std::fs::create_dir(world.path("tmp")).unwrap();
    world.env("TMPDIR", world.path("tmp").display().to_string());
    if let Database::Postgres(postgres) = database {
        world.env("DATABASE_URL", account(postgres, "CREATEDB"));
        let name = postgres.name();
        postgres.psql(&format!("ALTER DATABASE {name} OWNER TO owner_{name}"));
    }
}

/// Creates an account and returns an address for it.
fn account(postgres: &Postgres, may: &str) -> String {
    let (name, url) = (format!("owner_{}", postgres.name()), postgres.url());
    postgres.psql(&format!("CREATE ROLE {name} LOGIN {may} PASSWORD 'for-tests-only'"));
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    format!("{scheme}://{name}:for-tests-only@{place}")
}

/// Returns everything that a rehearsal could have changed or left behind.
fn everything(world: &World, database: &Database) -> String {
    let (schema, scratch) = match database {
        Database::Sqlite(_) => {
            let left = std::fs::read_dir(world.path("tmp")).unwrap().count();
            (database.sql("SELECT group_concat(sql) FROM sqlite_schema"), left.to_string())
        }
        Database::Postgres(postgres) => {
            let name = postgres.name();
            let left = format!(
                "SELECT count(*) FROM pg_database \
                 WHERE datname LIKE 'trueup_scratch_%' AND datdba = 'owner_{name}'::regrole"
            );
            let schema = "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                          WHERE c.relnamespace IN ('public'::regnamespace, 'trueup'::regnamespace)";
            (database.sql(schema), postgres.on_server(&left))
        }
    };
    assert_eq!(scratch, "0", "scratch databases are left");
    let rows = database.sql("SELECT * FROM a ORDER BY 1");
    let history = database.sql("SELECT version FROM _sqlx_migrations ORDER BY 1");
    let runs = database.sql(&format!("SELECT count(*) FROM {}", database.bookkeeping("runs")));
    format!("{rows}\n{history}\n{schema}\n{runs}")
}

#[test]
fn what_a_killed_rehearsal_left_is_dropped_by_a_later_one() {
    let postgres = Postgres::alone();
    let world = World::new();
    world.env("DATABASE_URL", postgres.url()).spec(MIGRATIONS).file("migrations/0001_a.sql", A);
    let left = "trueup_scratch_01890a5dac96774bbcceb302099a8057";
    let [in_use, of_others] = ["trueup_scratch_01890a5dac96774bbcceb302099a8058", "trueup_scratch_mine"];
    for name in [left, in_use, of_others] {
        postgres.on_server(&format!("CREATE DATABASE {name}"));
    }
    let _user = Session::open(&postgres.url_of(in_use));
    let names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'trueup_scratch_%'";
    wait_until("the session", || {
        postgres.on_server(&format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{in_use}'"))
            == "1"
    });

    rehearse(&world).exits(0);

    assert_eq!(postgres.on_server(names), format!("{in_use} {of_others}"));
}

#[test]
fn a_failing_statement_is_found_with_its_place_and_nothing_real_is_touched() {
    on_each_database(|world, database| {
        alone(world, database);
        world.spec(MIGRATIONS).file("migrations/0001_a.sql", A);
        world.apply().exits(0);
        database.sql("INSERT INTO a VALUES (1, 'kept')");
        let bad = "CREATE TABLE b (id integer);\n\nINSERT INTO nowhere\n  VALUES (1);\n";
        world.file("migrations/0002_b.sql", bad);
        world.file("migrations/0003_c.sql", "CREATE TABLE c (id integer);\n");
        let before = everything(world, database);

        let run = rehearse(world);

        run.exits(3);
        let checks = checks(&run);
        assert_eq!(checks.len(), 1, "{checks:?}");
        let check = &checks[0];
        assert!(check.starts_with("fail system.rehearsal.migration.0002_b: "), "{check}");
        assert!(check.contains("migrations/0002_b.sql:3: "), "{check}");
        assert!(check.contains("at `INSERT INTO nowhere VALUES (1)`"), "{check}");
        assert!(check.ends_with("not rehearsed after it: system.migration.0003_c"), "{check}");
        assert_eq!(everything(world, database), before);
    });
}

#[test]
fn a_failing_statement_is_found_before_there_is_a_database() {
    let world = World::new();
    world.env("DATABASE_URL", "sqlite://system.db").spec(MIGRATIONS);
    world
        .file("migrations/0001_a.sql", A)
        .file("migrations/0002_b.sql", "\nINSERT INTO nowhere VALUES (1);\n");

    let run = rehearse(&world);

    let checks = checks(&run);
    run.exits(3);
    assert!(checks[0].contains("migrations/0002_b.sql:2: no such table: nowhere"), "{checks:?}");
    assert!(!world.path("system.db").exists());
}

#[test]
fn a_seed_that_the_new_table_refuses_is_found_in_the_spec() {
    on_each_database(|world, _| {
        world.file("migrations/0001_a.sql", A);
        let mut spec = format!("{MIGRATIONS}  seeds:\n");
        for (name, row) in [("good", "1,y"), ("misfit", "two,z"), ("refused", "2,x")] {
            world.file(&format!("{name}.csv"), format!("id,name\n{row}\n"));
            spec += format!("    {name}: {{ table: a, key: [id], rows: {name}.csv }}\n").as_str();
        }
        world.spec(&spec);
        world.plan().exits(2);

        let run = rehearse(world);

        run.exits(3);
        let checks = checks(&run);
        assert_eq!(checks.len(), 2, "{checks:?}");
        assert!(checks[0].starts_with("fail system.rehearsal.seed.misfit: stack.yaml:12: "), "{checks:?}");
        assert!(checks[0].contains("\"two\" is no value of column id"), "{checks:?}");
        assert!(checks[1].starts_with("fail system.rehearsal.seed.refused: stack.yaml:13: "), "{checks:?}");
        assert!(checks[1].to_lowercase().contains("check constraint"), "{checks:?}");
    });
}

#[test]
fn what_would_be_known_later_is_rehearsed_and_a_good_plan_passes() {
    on_each_database(|world, database| {
        alone(world, database);
        world.spec(MIGRATIONS).file("migrations/0001_a.sql", A);
        let view = "DROP VIEW IF EXISTS names;\nCREATE VIEW names AS SELECT name FROM a;\n";
        world.file("migrations/repeatable/names.sql", view);
        world.apply().exits(0);
        let next = "ALTER TABLE a ADD COLUMN more text;\nDROP VIEW names;\n";
        world.file("migrations/0002_b.sql", next).file("rows.csv", "id,name,more\n1,y,z\n");
        world.spec(&format!("{MIGRATIONS}  seeds:\n    s: {{ table: a, key: [id], rows: rows.csv }}\n"));
        let before = everything(world, database);

        let run = rehearse(world);
        run.exits(0);
        let passed = "pass system.rehearsal: 2 of 2 pending steps ran in a scratch database without data";
        assert_eq!(checks(&run), [passed]);
        assert_eq!(everything(world, database), before);

        world.file("rows.csv", "id,name,mroe\n1,y,z\n");
        rehearse(world).exits(3).says("system.rehearsal.seed.s").says("mroe");
    });
}

#[test]
fn nothing_pending_makes_no_scratch_database_and_a_saved_world_cannot_be_rehearsed() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS).file("migrations/0001_a.sql", A);
        world.apply().exits(0);
        if let Database::Postgres(postgres) = database {
            world.env("DATABASE_URL", account(postgres, "NOCREATEDB"));
            let reads = "GRANT USAGE ON SCHEMA trueup TO {role}; \
                         GRANT SELECT ON ALL TABLES IN SCHEMA trueup, public TO {role}";
            postgres.psql(&reads.replace("{role}", &format!("owner_{}", postgres.name())));
        }
        let run = rehearse(world);
        run.exits(0);
        let nothing = "nothing is pending that can be rehearsed; no scratch database was made";
        assert_eq!(checks(&run), [format!("pass system.rehearsal: {nothing}")]);

        world.file("migrations/0002_b.sql", "CREATE TABLE b (id integer);\n");
        if let Database::Postgres(_) = database {
            rehearse(world).exits(3).says("permission denied to create database").says("needs CREATEDB");
        }
        world.trueup(&["observe", "--out", "world.json"]).exits(0);
        world.trueup(&["plan", "--rehearse", "--world", "world.json"]).exits(64);
    });
}

#[test]
fn rows_that_refer_to_data_are_not_called_failures() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS).file("migrations/0001_a.sql", A);
        world.apply().exits(0);
        database.sql("INSERT INTO a VALUES (7, 'of the application')");
        world.file(
            "migrations/0002_b.sql",
            "CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a (id));\n",
        );
        world.file("rows.csv", "id,a\n1,7\n");
        world.spec(&format!("{MIGRATIONS}  seeds:\n    s: {{ table: b, key: [id], rows: rows.csv }}\n"));

        let run = rehearse(world);

        run.exits(0).says("1 of 2 pending steps ran");
        let checks = checks(&run);
        assert!(checks[1].starts_with("warn system.rehearsal.seed.s: not rehearsed, "), "{checks:?}");
        world.apply().exits(0);
    });
}

#[test]
fn a_statement_that_changes_the_server_is_not_tried() {
    let (world, database) = (World::new(), Postgres::start());
    let role = format!("role_{}", database.name());
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    let reader = format!("CREATE ROLE {role}_a;\n{A}GRANT SELECT ON a TO {role}_a;\n");
    world.file("migrations/0001_a.sql", reader);
    world.apply().exits(0);
    world.file("migrations/0002_b.sql", "CREATE TABLE b (id integer);\n");
    world.file("migrations/0003_c.sql", format!("\nDO $$ BEGIN CREATE ROLE {role}_c; END $$;\n"));

    let run = rehearse(&world);

    run.exits(0).says("1 of 2 pending steps ran");
    let checks = checks(&run);
    assert!(checks[1].starts_with("warn system.rehearsal.migration.0003_c: not rehearsed: "), "{checks:?}");
    assert!(checks[1].contains("migrations/0003_c.sql:2: "), "{checks:?}");
    let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname LIKE '{role}%'");
    assert_eq!(database.on_server(&roles), "1");
    world.apply().exits(0);
    database.psql(&format!("DROP OWNED BY {role}_a; DROP ROLE {role}_a, {role}_c"));
}

#[test]
fn ctrl_c_ends_a_rehearsal_and_drops_the_scratch_database() {
    let (world, database) = (World::new(), Postgres::start());
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
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
