//! Risks of migrations: shown in the plan, blocked without `--allow` or by a policy, asserted and
//! checked.

use serde_json::Value;

use crate::stacks::{Database, on_each_database};
use crate::world::World;

const SPEC: &str = "\
version: 1
stack: shop
environment: dev
flags: { seed_demo_data: false }
system: { url: \"${DATABASE_URL}\", create_database: true, migrations: migrations }
";

/// A stack with a table `old`, applied.
fn applied(world: &World) {
    world.spec(SPEC).file("migrations/0001_init.sql", "CREATE TABLE old (id integer PRIMARY KEY);\n");
    world.apply().exits(0);
}

fn migration<'p>(plan: &'p Value, stem: &str) -> &'p Value {
    let address = format!("system.migration.{stem}");
    let changes = plan["changes"].as_array().unwrap();
    changes.iter().find(|change| change["address"] == address.as_str()).unwrap_or_else(|| panic!("{plan:#}"))
}

fn is_gone(database: &Database, table: &str) -> bool {
    let sql = match database {
        Database::Sqlite(_) => format!("SELECT count(*) = 0 FROM sqlite_master WHERE name = '{table}'"),
        Database::Postgres(_) => format!("SELECT (to_regclass('{table}') IS NULL)::int"),
    };
    database.sql(&sql) == "1"
}

#[test]
fn lint_the_plan_has_the_sql_and_names_rule_and_line_of_what_is_not_safe() {
    on_each_database(|world, database| {
        applied(world);
        let sql = "CREATE TABLE new (id integer);\nCREATE INDEX n ON new (id);\n\n-- over\nDROP TABLE old;\n";
        world.file("migrations/0002_swap.sql", sql);

        let plan = world.plan_json();
        let text = world.plan();

        let change = migration(&plan, "0002_swap");
        assert_eq!(change["risk"], "destructive");
        let summary = "3 statements\nline 5 destructive (drop-table): loses the rows of old";
        assert_eq!(change["summary"], summary);
        let added: String = sql.lines().flat_map(|line| ["+", line, "\n"]).collect();
        assert_eq!(change["diff"], added.as_str());
        text.exits(2)
            .says("line 5 destructive (drop-table): loses the rows of old\n")
            .says("+DROP TABLE old;");
        world.apply().exits(3).warns("--allow destructive");
        assert!(!is_gone(database, "old"));
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);
        assert!(is_gone(database, "old"));
    });
}

#[test]
fn lint_on_an_empty_database_there_is_nothing_to_lose_until_somebody_uses_it() {
    on_each_database(|world, database| {
        world.spec(SPEC);
        world.file(
            "migrations/0001_clean.sql",
            "DROP TABLE IF EXISTS legacy;\nCREATE TABLE t (id integer, x integer);\n",
        );
        world.file("migrations/0002_less.sql", "ALTER TABLE t DROP COLUMN x;\nDELETE FROM t;\n");

        let plan = world.plan_json();
        world.apply().exits(0);
        world.file("migrations/0003_more.sql", "DROP TABLE IF EXISTS legacy;\n");

        assert_eq!(migration(&plan, "0001_clean")["risk"], "safe");
        assert_eq!(migration(&plan, "0002_less")["risk"], "safe");
        assert!(!is_gone(database, "t"));
        assert_eq!(migration(&world.plan_json(), "0003_more")["risk"], "safe");
        world.file("migrations/0003_more.sql", "DROP TABLE IF EXISTS t;\n");
        assert_eq!(migration(&world.plan_json(), "0003_more")["risk"], "destructive");
    });
}

#[test]
fn e06_a_policy_against_locks_spares_tables_that_the_same_plan_makes() {
    on_each_database(|world, _| {
        applied(world);
        world.spec(&format!("{SPEC}policies: {{ no_locks: {{ deny: locking }} }}\n"));
        world.file("migrations/0002_new.sql", "CREATE TABLE new (id integer);\n");
        world.file("migrations/0003_on_new.sql", "CREATE INDEX on_new ON new (id);\n");
        world.trueup(&["plan"]).exits(0);

        world.file("migrations/0004_on_old.sql", "CREATE INDEX on_old ON old (id);\n");
        let plan = world.trueup(&["plan", "--format", "json"]).exits(3).json();

        assert_eq!(migration(&plan, "0003_on_new")["risk"], "safe");
        assert_eq!(migration(&plan, "0004_on_old")["risk"], "locking");
        let blocked = plan["blocked"].as_array().unwrap();
        assert_eq!(blocked.len(), 1, "{plan:#}");
        assert_eq!(blocked[0]["reason"], "policy no_locks denies: locking");
    });
}

#[test]
fn lint_what_the_database_does_not_have_is_made_the_first_time() {
    on_each_database(|world, database| {
        world.spec(SPEC);
        world.file(
            "migrations/0001_first.sql",
            "CREATE TABLE IF NOT EXISTS first (id integer PRIMARY KEY);\n",
        );
        world.apply().exits(0);
        let second = "CREATE TABLE IF NOT EXISTS second (id integer PRIMARY KEY, f integer REFERENCES first (id));\n\
                      CREATE INDEX second_f ON second (f);\n";
        world.file("migrations/0002_second.sql", second);
        world.file(
            "migrations/0003_third.sql",
            "DROP TABLE IF EXISTS second;\nDROP TABLE IF EXISTS never_there;\n",
        );
        world.file(
            "migrations/0004_old.sql",
            "CREATE TABLE IF NOT EXISTS first (id integer);\nDELETE FROM first;\n",
        );
        let is_postgres = matches!(database, Database::Postgres(_));
        if is_postgres {
            let sql = "ALTER TABLE second ADD CONSTRAINT c FOREIGN KEY (f) REFERENCES first (id);\n";
            world.file("migrations/0002_second.sql", format!("{second}{sql}"));
            let sql = "CREATE SCHEMA side;\nCREATE TABLE side.x (id int);\nDROP TABLE side.x;\nDROP SCHEMA side;\n\
                       DROP EXTENSION IF EXISTS citext;\nCREATE SCHEMA IF NOT EXISTS s2;\nDROP SCHEMA s2 CASCADE;\n\
                       CREATE SEQUENCE sq;\nDROP SEQUENCE sq;\n";
            world.file("migrations/0005_schemas.sql", sql);
        }

        let plan = world.plan_json();

        assert_eq!(migration(&plan, "0002_second")["risk"], "safe", "{plan:#}");
        assert_eq!(migration(&plan, "0003_third")["risk"], "safe", "{plan:#}");
        assert_eq!(migration(&plan, "0004_old")["risk"], "destructive");
        if is_postgres {
            assert_eq!(migration(&plan, "0005_schemas")["risk"], "safe", "{plan:#}");
        }
    });
}

#[test]
fn lint_a_policy_and_leave_look_at_every_risk_of_a_file() {
    on_each_database(|world, database| {
        applied(world);
        world.file("migrations/0002_kept.sql", "CREATE TABLE kept (id integer PRIMARY KEY, x integer);\n");
        world.apply().exits(0);
        world.spec(&format!("{SPEC}policies: {{ no_locks: {{ deny: locking }} }}\n"));
        world.file("migrations/0003_both.sql", "DROP TABLE old;\nCREATE INDEX kept_x ON kept (x);\n");

        let plan = world.trueup(&["plan", "--format", "json"]).exits(3).json();

        let change = migration(&plan, "0003_both");
        assert_eq!(change["risk"], "destructive");
        assert_eq!(change["risks"], serde_json::json!(["destructive", "locking"]));
        assert_eq!(plan["blocked"][0]["reason"], "policy no_locks denies: locking");
        world.trueup(&["plan"]).says("[destructive, locking]");
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(3);
        assert!(!is_gone(database, "old"));
        world.spec(SPEC);
        world.apply().exits(3).warns("--allow destructive");
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);
        assert!(is_gone(database, "old"));
    });
}

#[test]
fn lint_a_table_that_is_asserted_and_found_empty_is_dropped_without_leave() {
    on_each_database(|world, database| {
        applied(world);
        let sql = "-- trueup:assert-empty old\nDROP TABLE old;\n-- trueup:assert-empty nowhere\nDROP TABLE IF EXISTS nowhere;\n";
        world.file("migrations/0002_drop.sql", sql);

        let plan = world.plan_json();

        let change = migration(&plan, "0002_drop");
        assert_eq!(change["risk"], "safe", "{change:#}");
        assert!(
            change["summary"].as_str().unwrap().contains("line 2 safe (drop-table): asserted empty: old")
        );
        world.apply().exits(0);
        assert!(is_gone(database, "old"));
        let recorded =
            "SELECT version, description, success, length(checksum) FROM _sqlx_migrations ORDER BY version";
        let recorded = database.sql(recorded).replace("|t|", "|1|");
        assert_eq!(recorded, "1|init|1|48\n2|drop|1|48");
        world.plan().exits(0);
    });
}

#[test]
fn lint_an_assertion_that_does_not_hold_leaves_the_statement_destructive_and_says_so() {
    on_each_database(|world, database| {
        applied(world);
        world.file("migrations/0002_drop.sql", "-- trueup:assert-empty old\nDROP TABLE old;\n");
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);
        database.sql("INSERT INTO old VALUES (1)");

        let plan = world.plan_json();
        let saved = world.trueup(&["apply", "plan.json"]);

        let change = migration(&plan, "0002_drop");
        assert_eq!(change["risk"], "destructive");
        assert!(change["summary"].as_str().unwrap().contains("asserted empty, and has rows: old"));
        saved.exits(5);
        world.apply().exits(3);
        assert_eq!(database.sql("SELECT count(*) FROM old"), "1");
    });
}

#[test]
fn lint_an_assertion_is_checked_again_in_the_migrations_own_transaction() {
    on_each_database(|world, database| {
        applied(world);
        let sql = "CREATE TABLE new (id integer);\nINSERT INTO old VALUES (7);\n\n-- trueup:assert-empty old\nDROP TABLE old;\n";
        world.file("migrations/0002_drop.sql", sql);

        let failed = world.apply();

        failed.exits(6).says("line 5, asserts that it is empty");
        assert!(is_gone(database, "new"), "nothing of the migration is kept");
        assert_eq!(database.sql("SELECT count(*) FROM old"), "0");
        assert_eq!(database.sql("SELECT count(*) FROM _sqlx_migrations"), "1");
        world.file("migrations/0002_drop.sql", sql.replace("INSERT INTO old VALUES (7);", ""));
        world.apply().exits(0);
        assert!(is_gone(database, "old") && !is_gone(database, "new"));
    });
}

#[test]
fn lint_a_failing_statement_beside_an_assertion_is_named_by_its_line() {
    on_each_database(|world, database| {
        applied(world);
        let sql = "-- trueup:assert-empty old\nDROP TABLE old;\n\nCREATE TABLE é (id integer);\nINSERT INTO é VALUES (nothing);\n";
        world.file("migrations/0002_drop.sql", sql);

        world.apply().exits(6).says("0002_drop.sql, line 5");

        assert!(!is_gone(database, "old"));
    });
}

#[test]
fn lint_what_nobody_looked_at_is_unvalidated() {
    on_each_database(|world, _| {
        applied(world);
        world.trueup(&["observe", "--out", "world.json"]).exits(0);
        world.file("migrations/0002_drop.sql", "-- trueup:assert-empty old\nDROP TABLE old;\n");

        let offline = world.trueup(&["plan", "--format", "json", "--world", "world.json"]).exits(0).json();
        world.trueup(&["observe", "--out", "world.json"]).exits(0);
        let looked = world.trueup(&["plan", "--format", "json", "--world", "world.json"]).exits(0).json();

        assert_eq!(migration(&offline, "0002_drop")["risk"], "unvalidated");
        assert_eq!(migration(&looked, "0002_drop")["risk"], "safe");
        assert!(world.read("world.json").contains("\"emptiness\":{\"old\":\"empty\"}"));
    });
}

#[test]
fn lint_migration_lint_needs_neither_database_nor_variable() {
    let world = World::new();
    world.spec(SPEC).copy("migrations");

    world.trueup(&["migration", "lint"]).exits(0).says("10 files, statements: ").never_says("destructive");

    world.file("migrations/postgres/0006_drop.sql", "\n-- away\nDROP TABLE feedback;\n");
    world.file("migrations/sqlite/0006_index.sql", "CREATE INDEX q ON queries (target);\n");
    let text = world.trueup(&["migration", "lint"]);
    text.exits(3)
        .says("migrations/postgres/0006_drop.sql:3: destructive (drop-table): loses the rows of feedback")
        .says("migrations/sqlite/0006_index.sql:1: locking (long-write): ")
        .says("1 locking, 1 destructive");

    world
        .file("migrations/postgres/0006_drop.sql", "-- trueup:assert-empty feedback\nDROP TABLE feedback;\n");
    let json = world.trueup(&["migration", "lint", "--format", "json"]).exits(0).json();
    let files = json["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["file"].as_str().unwrap().ends_with("0006_drop.sql")).unwrap();
    assert_eq!(file["dialect"], "postgres");
    assert_eq!(file["risk"], "unvalidated");
    assert_eq!(file["statements"][0]["rule"], "drop-table");
    assert_eq!(file["statements"][0]["line"], 2);
    assert_eq!(json["summary"]["destructive"], 0);
}

#[test]
fn lint_migration_new_numbers_as_its_neighbours_do() {
    let world = World::new();
    world.env("DATABASE_URL", "sqlite://app.db").spec(SPEC).copy("migrations");

    let both = world.trueup(&["migration", "new", "add projects"]);
    let one = world.trueup(&["migration", "new", "only-here", "--dialect", "sqlite"]);

    both.exits(0);
    assert_eq!(
        both.stdout,
        "migrations/postgres/0006_add_projects.sql\nmigrations/sqlite/0006_add_projects.sql\n"
    );
    assert_eq!(one.exits(0).stdout, "migrations/sqlite/0007_only_here.sql\n");
    assert!(world.read("migrations/sqlite/0007_only_here.sql").starts_with("-- 0007_only_here: "));
    world.trueup(&["validate"]).exits(0);
    for name in ["", "../up", "a/b", "__", "a.b"] {
        world.trueup(&["migration", "new", name]).exits(64).warns("cannot be the name of a migration");
    }
}

#[test]
fn lint_migration_new_begins_a_folder_and_follows_times() {
    let world = World::new();
    world.spec(SPEC).file("migrations/README.md", "no migration\n");

    assert_eq!(world.trueup(&["migration", "new", "init"]).exits(0).stdout, "migrations/0001_init.sql\n");
    world
        .trueup(&["migration", "new", "x", "--dialect", "postgres"])
        .exits(64)
        .warns("not divided by dialect");
    world.file("migrations/20250131120000_times.sql", "SELECT 1;\n");
    let stdout = world.trueup(&["migration", "new", "next"]).exits(0).stdout.clone();

    let version = stdout.strip_prefix("migrations/").unwrap().strip_suffix("_next.sql\n").unwrap();
    assert_eq!(version.len(), 14);
    assert!(version > "20260101000000", "{version}");
    let without = World::new();
    without.spec(&SPEC.replace(", migrations: migrations", ""));
    without.trueup(&["migration", "new", "x"]).exits(64).warns("names no migrations");
}

#[test]
fn lint_repeatable_files_are_judged_as_they_run_and_ways_down_are_not_read() {
    on_each_database(|world, database| {
        applied(world);
        world.file("migrations/0002_b.up.sql", "CREATE TABLE b (id integer);\n");
        world.file("migrations/0002_b.down.sql", "DROP TABLE b;\n");
        world.file(
            "migrations/repeatable/v.sql",
            "DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT id FROM b;\n",
        );
        world.file("migrations/repeatable/w.sql", "CREATE INDEX b_id ON b (id);\nDROP TABLE old;\n");

        let plan = world.plan_json();
        let linted = world.trueup(&["migration", "lint", "--format", "json"]);

        let change = |name: &str| {
            let address = format!("system.repeatable.{name}");
            let changes = plan["changes"].as_array().unwrap();
            changes.iter().find(|change| change["address"] == address.as_str()).unwrap().clone()
        };
        assert_eq!(change("v")["risk"], "safe");
        assert_eq!(change("w")["risk"], "destructive");
        let said = "2 statements, run again whenever the file changes\nline 2 destructive (drop-table): loses the rows of old";
        assert_eq!(change("w")["summary"], said);
        world.apply().exits(3).warns("--allow destructive");
        assert!(!is_gone(database, "old"));

        let files = linted.exits(3).json();
        let files = files["files"].as_array().unwrap().iter();
        let files: Vec<String> =
            files.map(|file| format!("{} {}", file["file"].as_str().unwrap(), file["risk"])).collect();
        let ends: Vec<&str> = files.iter().map(|file| file.rsplit_once("migrations/").unwrap().1).collect();
        assert_eq!(
            ends,
            [
                "0001_init.sql \"safe\"",
                "0002_b.up.sql \"safe\"",
                "repeatable/v.sql \"safe\"",
                "repeatable/w.sql \"destructive\"",
            ]
        );
    });
}
