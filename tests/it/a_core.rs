//! A01 to A03 and A29: a system is created from nothing, the second plan is empty and writes
//! nothing, and the production environment is not changed by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::servers::{self, Postgres, Redis};
use crate::stacks::{Database, insight, on_each_database, quickstart, step, steps};
use crate::world::World;

/// Counts the terms of the reference vocabulary without a YAML parser.
fn terms(world: &World) -> usize {
    world.read("ontologies/accounting.yaml").matches("\n    definition: ").count()
}

/// Counts the rows of a CSV file.
fn rows(world: &World, name: &str) -> usize {
    world.read(name).lines().count() - 1
}

/// Asserts that every step comes after its dependencies, which are steps of the plan.
#[track_caller]
fn is_in_dependency_order(plan: &Value) {
    let mut done = BTreeSet::new();
    for change in plan["changes"].as_array().unwrap() {
        for needed in change["depends_on"].as_array().unwrap() {
            assert!(done.contains(&needed.as_str().unwrap()), "{needed} is not before {}", change["address"]);
        }
        done.insert(change["address"].as_str().unwrap());
    }
}

fn dev() -> (World, Postgres, Redis) {
    let (database, redis) = (Postgres::absent(), Redis::with_password("change-me-redis"));
    let world = insight();
    world.env("DATABASE_URL", database.url()).env("REDIS_URL", redis.url());
    world.env("TRUEUP_FILE", "examples/insight/dev.yaml");
    (world, database, redis)
}

#[test]
fn a01_dev_on_an_empty_server_is_planned_in_dependency_order() {
    let (world, database, redis) = dev();

    let planned = world.trueup(&["plan", "--detailed-exitcode", "--format", "json"]);

    planned.exits(2);
    let plan = planned.json();
    is_in_dependency_order(&plan);
    let steps = steps(&plan);
    assert_eq!(steps.first().map(String::as_str), Some("create system.database"));
    assert_eq!(steps.last().map(String::as_str), Some("create flags"));
    let expected = [
        "create cache.stream.jobs",
        "create flags",
        "create system.bookkeeping",
        "create system.database",
        "create system.extension.pg_trgm",
        "create system.extension.pgcrypto",
        "create system.ontology.accounting",
        "create system.seed.demo_accounting",
        "create system.user.admin",
        "run system.migration.0001_users",
        "run system.migration.0002_queries_and_feedback",
        "run system.migration.0003_audit_logs_and_configurations",
        "run system.migration.0004_business_ontologies",
        "run system.migration.0005_accounting_transactions",
        "update cache.config.maxmemory",
        "update cache.config.maxmemory-policy",
    ];
    assert_eq!(steps.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert_eq!(steps.len(), expected.len());
    assert_eq!(plan["complete"], true);
    assert_eq!(
        database
            .on_server(&format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", database.name())),
        "0"
    );
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
}

#[test]
fn a01_dev_makes_the_whole_system_and_leaves_target_and_vector_alone() {
    let (world, database, redis) = dev();
    let plan = world.plan_json();

    let applied = world.apply();

    applied.exits(0);
    world.plan().exits(0).says("No changes");
    let count = |table: &str| database.psql(&format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("business_ontologies"), terms(&world).to_string());
    assert_eq!(
        count("accounting_transactions"),
        rows(&world, "examples/insight/seeds/accounting.csv").to_string()
    );
    assert_eq!(
        database.psql("SELECT username, email, recovery_email, role, is_active FROM users"),
        "admin|admin@insight.example|operations@insight.example|admin|t"
    );
    assert_eq!(
        database.psql(
            "SELECT string_agg(version::text, ',' ORDER BY version) FROM _sqlx_migrations WHERE success"
        ),
        "1,2,3,4,5"
    );
    assert_eq!(database.psql("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"), "1");
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nvolatile-lru");
    assert!(redis.cli(&["XINFO", "GROUPS", "jobs"]).starts_with("name\nworkers\n"));
    for plan in [plan, world.plan_json()] {
        for list in ["changes", "checks", "blocked", "deferred", "drift"] {
            for entry in plan[list].as_array().unwrap() {
                let address = entry["address"].as_str().unwrap();
                assert!(
                    !address.starts_with("target") && !address.starts_with("vector"),
                    "{list}: {address}"
                );
            }
        }
        assert!(
            plan["checks"]
                .as_array()
                .unwrap()
                .iter()
                .any(|check| check["address"] == "cache" && check["status"] == "pass")
        );
    }
}

/// Returns everything that a write to a database would change: rows with the transactions that
/// wrote them, sequences, and the server's count of writes.
pub(crate) fn traces(database: &Postgres) -> String {
    // The server counts the writes of a session when it ends, which is shortly after the client.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    servers::wait_until("the end of other sessions", || database.psql(others) == "0");
    database.psql(
        "SELECT table_schema, table_name, query_to_xml(format('SELECT xmin, ctid, * FROM %I.%I', table_schema, table_name), \
             true, false, '') FROM information_schema.tables \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE' ORDER BY 1, 2; \
         SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2; \
         SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1, 2",
    )
}

#[test]
fn a02_the_second_apply_writes_nothing_to_postgresql_or_redis() {
    let (world, database, redis) = dev();
    world.apply().exits(0);
    let changes = || {
        let info = redis.cli(&["INFO", "persistence"]);
        info.lines().find(|line| line.starts_with("rdb_changes_since_last_save")).unwrap().to_owned()
    };
    let before = (traces(&database), changes());

    let planned = world.plan();
    let applied = world.apply();

    planned.exits(0).says("No changes");
    applied.exits(0).says("No changes");
    assert_eq!((traces(&database), changes()), before);
    assert!(before.0.contains("admin@insight.example") && before.0.contains("trueup|runs|"));
}

#[test]
fn a02_a_second_apply_says_as_json_that_nothing_was_done() {
    let world = quickstart();
    world.apply().exits(0);

    let again = world.trueup(&["apply", "--auto-approve", "--format", "json"]);

    let events = again.exits(0).events();
    let [summary] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["applied"], 0);
    assert_eq!(summary["run"], Value::Null);
}

/// Returns every file under a folder with its bytes, except the lock file, which names its last
/// holder.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "trueup-lock") {
            continue;
        }
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a03_the_quickstart_applies_from_nothing_and_converges() {
    let world = quickstart();
    let before = world.read("ontologies/accounting.yaml");

    let planned = world.plan();
    let unapplied = files(&world.path("examples/quickstart/data"));
    let applied = world.apply();

    planned.exits(2);
    assert_eq!(unapplied.len(), 1, "a plan makes no file");
    applied.exits(0);
    world.plan().exits(0).says("No changes");
    let system = |sql: &str| world.sqlite("examples/quickstart/data/system.db", sql);
    assert_eq!(system("SELECT count(*) FROM business_ontologies"), terms(&world).to_string());
    assert_eq!(system("SELECT count(*), min(id), sum(amount <> 0) FROM accounting_transactions"), {
        let rows = rows(&world, "examples/quickstart/seeds/accounting.csv");
        format!("{rows}|DEMO-0001|{rows}")
    });
    assert_eq!(
        system(
            "SELECT username, email, coalesce(recovery_email, '-'), role, is_active, length(id) FROM users ORDER BY 1"
        ),
        "admin|admin@example.com|-|admin|1|36\nanalyst|analyst@example.com|admin@example.com|analyst|1|36"
    );
    assert_eq!(system("SELECT count(*) FROM _sqlx_migrations WHERE success"), "5");
    assert_eq!(system("PRAGMA integrity_check"), "ok");
    assert_eq!(system("PRAGMA foreign_key_check"), "");
    assert_eq!(before, world.read("ontologies/accounting.yaml"));
}

#[test]
fn a03_a_second_apply_of_the_quickstart_leaves_every_byte_as_it_was() {
    let world = quickstart();
    world.apply().exits(0);
    let before = files(&world.path("."));

    world.plan().exits(0);
    world.apply().exits(0);
    world.trueup(&["status"]).exits(0).says("sqlite-vec v").never_says("sqlite-vec sqlite-vec");
    world.trueup(&["history"]).exits(0);

    let after = files(&world.path("."));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, bytes) in &before {
        assert!(after[path] == *bytes, "{} was written to", path.display());
    }
}

/// Creates one migration in an environment.
fn environment(name: &str) -> String {
    format!(
        "version: 1\nstack: shop\nenvironment: {name}\nflags: {{ seed_demo_data: false }}\n\
         system: {{ url: \"${{DATABASE_URL}}\", create_database: true, migrations: migrations }}\n"
    )
}

#[test]
fn a29_development_does_not_follow_production_unless_it_is_allowed() {
    on_each_database(|world: &World, database: &Database| {
        world.file("migrations/0001_items.sql", "CREATE TABLE items (id text PRIMARY KEY);\n");
        world.spec(&environment("prod")).apply().exits(0);
        world
            .file("migrations/0002_more.sql", "CREATE TABLE more (id text PRIMARY KEY);\n")
            .spec(&environment("dev"));

        let planned = world.plan();
        let refused = world.apply();

        planned.exits(2).warns("--allow environment");
        assert!(
            planned.stdout.starts_with("! the environment changes from prod to dev\n"),
            "{}",
            planned.stdout
        );
        refused.exits(3).warns("--allow environment").warns("prod");
        let migrations = || database.sql("SELECT count(*) FROM _sqlx_migrations");
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);
        world.trueup(&["apply", "plan.json"]).exits(3).warns("--allow environment");
        assert_eq!(migrations(), "1", "nothing was applied");
        let plan = world.plan_json();
        assert_eq!(plan["environment_before"], "prod");
        assert_eq!(step(&plan, "flags")["before"]["environment"], "prod");
        assert_eq!(step(&plan, "flags")["after"]["environment"], "dev");

        world.trueup(&["apply", "--auto-approve", "--allow", "environment"]).exits(0);

        assert_eq!(migrations(), "2");
        world.plan().exits(0);
    });
}

/// Creates a stack with a unique name and unique rows.
fn stack_with_rows(world: &World, name: &str) {
    let table = "CREATE TABLE items (id text PRIMARY KEY);\nCREATE TABLE others (id text PRIMARY KEY);\n";
    world.file("migrations/0001_items.sql", table).file("rows.csv", "id\npen\n").spec(&format!(
        "version: 1\nstack: {name}\nenvironment: dev\n\
         system:\n  url: \"${{DATABASE_URL}}\"\n  create_database: true\n  migrations: migrations\n  \
         seeds: {{ {name}: {{ table: items, key: [id], rows: rows.csv }} }}\n"
    ));
}

#[test]
fn a29_another_stack_does_not_take_back_the_rows_of_the_first_one() {
    on_each_database(|world: &World, database: &Database| {
        stack_with_rows(world, "shop");
        world.apply().exits(0);
        stack_with_rows(world, "office");

        let planned = world.plan();
        let refused = world.apply();

        planned.exits(2).warns("--allow environment");
        assert!(
            planned.stdout.starts_with("! the stack changes from shop to office\n"),
            "{}",
            planned.stdout
        );
        refused.exits(3).warns("last applied as the stack shop, and the spec says office");
        refused.warns("--allow environment");
        world.trueup(&["destroy", "--auto-approve"]).exits(3);
        world.trueup(&["apply", "--auto-approve", "--only", "system"]).exits(3);
        assert_eq!(database.sql("SELECT id FROM items"), "pen");
        let plan = world.plan_json();
        assert_eq!(plan["stack_before"], "shop");
        assert_eq!(step(&plan, "flags")["before"]["stack"], "shop");
        world
            .trueup(&["plan", "--format", "markdown"])
            .says("> **The stack changes from `shop` to `office`.**");

        world.trueup(&["apply", "--auto-approve", "--allow", "environment"]).exits(0);

        world.plan().exits(0);
        stack_with_rows(world, "shop");
        world.apply().exits(3);
    });
}

#[test]
fn a29_a_stack_that_failed_in_the_middle_owns_its_database_too() {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path("system.db").display()));
    stack_with_rows(&world, "shop");
    world.file("migrations/0002_broken.sql", "SELECT nothing;\n").apply().exits(6);
    world.file("migrations/0002_broken.sql", "SELECT 1;\n");
    stack_with_rows(&world, "office");

    world.apply().exits(3).warns("the stack shop");
}

#[test]
fn a29_what_only_writes_the_bookkeeping_is_refused_too() {
    on_each_database(|world: &World, database: &Database| {
        stack_with_rows(world, "shop");
        world.apply().exits(0);
        database.sql("ALTER TABLE others ADD COLUMN note text");
        let runs = || world.trueup(&["history"]).stdout.lines().count();
        let before = runs();
        stack_with_rows(world, "office");

        for command in [&["drift", "accept"][..], &["baseline", "--to", "1"]] {
            world.trueup(command).exits(3).warns("the stack shop").warns("--allow environment");
        }
        let production = world.read("stack.yaml").replace("office", "shop").replace("dev", "prod");
        world
            .spec(&production.replace("system:", "flags: { seed_demo_data: false }\nsystem:"))
            .apply()
            .exits(0);
        stack_with_rows(world, "shop");
        for command in [&["drift", "accept"][..], &["baseline", "--to", "1"]] {
            world.trueup(command).exits(3).warns("last applied as prod");
        }

        assert_eq!(runs(), before + 1, "nothing was recorded");
    });
}

#[test]
fn a29_leaving_production_without_any_other_change_is_refused_too() {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path("system.db").display()));
    world.file("migrations/0001_items.sql", "CREATE TABLE items (id text PRIMARY KEY);\n");
    for production in ["prod", "production"] {
        world.spec(&environment(production)).apply().exits(0);
        world.spec(&environment("staging"));

        let plan = world.plan_json();
        let refused = world.apply();
        let narrowed = world.trueup(&["apply", "--auto-approve", "--only", "system"]);

        assert_eq!(steps(&plan), ["update flags"]);
        refused.exits(3);
        narrowed.exits(3);
    }
}

#[test]
fn a29_from_development_to_production_is_free() {
    on_each_database(|world: &World, _: &Database| {
        world.file("migrations/0001_items.sql", "CREATE TABLE items (id text PRIMARY KEY);\n");
        world.spec(&environment("dev")).apply().exits(0);

        let planned = world.spec(&environment("prod")).plan();
        let applied = world.apply();

        assert!(
            planned.stdout.starts_with("! the environment changes from dev to prod\n"),
            "{}",
            planned.stdout
        );
        applied.exits(0);
        world.plan().exits(0);
        // `prod` and `production` count as the same environment.
        world.spec(&environment("production")).apply().exits(0);
    });
}
