//! Saved plans: their content, and when they are rejected.

use std::os::unix::fs::PermissionsExt as _;

use crate::stacks::MIGRATIONS;
use crate::stores::{Database, Shop, addresses};
use crate::world::{Run, World};

/// Applies a stack, adds a row to its spec and saves the plan as `plan.json`.
fn with_plan(database: &Database) -> World {
    let world = World::new();
    Shop::default().write(&world, database);
    world.apply().exits(0);
    world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n4,stamp\n");
    world.trueup(&["plan", "--out", "plan.json"]).exits(0);
    assert_eq!(addresses(&saved(&world)), ["system.seed.items"]);
    world
}

fn saved(world: &World) -> serde_json::Value {
    serde_json::from_str(&world.read("plan.json")).unwrap()
}

fn apply_plan(world: &World) -> Run {
    world.trueup(&["apply", "plan.json"])
}

fn items(world: &World, database: &Database) -> String {
    database.query(world, "SELECT name FROM items ORDER BY id").replace('\n', " ")
}

#[test]
fn a23_a_saved_plan_is_for_its_owner_alone_and_runs_once() {
    for database in Database::both() {
        let world = with_plan(&database);
        let mode = world.path("plan.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let first = apply_plan(&world);
        let again = apply_plan(&world);

        first.exits(0);
        assert_eq!(items(&world, &database), "pen ink paper stamp");
        again.exits(5).warns("used up");
        let history = world.trueup(&["history", "--format", "json"]).stdout;
        let run = again.stderr.split("run ").nth(1).unwrap().split_whitespace().next().unwrap();
        assert!(history.contains(run), "{run} is not in {history}");
        world.plan().exits(0);
    }
}

#[test]
fn a23_a_plan_for_a_database_that_does_not_exist_yet_runs_once() {
    for database in Database::both() {
        let world = World::new();
        if let Database::Postgres(postgres) = &database {
            postgres.on_server(&format!("DROP DATABASE {}", postgres.name()));
        }
        Shop::default().write(&world, &database);
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);

        apply_plan(&world).exits(0);
        apply_plan(&world).exits(5).warns("used up");

        assert_eq!(items(&world, &database), "pen ink paper");
    }
}

#[test]
fn a23_show_prints_a_saved_plan_offline() {
    for database in Database::both() {
        let world = with_plan(&database);
        let shown = |format| world.trueup(&["show", "plan.json", "--format", format]).exits(0).stdout.clone();
        let planned = |format| world.trueup(&["plan", "--format", format]).exits(0).stdout.clone();
        let formats = ["text", "json", "markdown"];
        let live = formats.map(planned);

        world.without_env("DATABASE_URL").without_env("ADMIN_PASSWORD");
        std::fs::remove_file(world.path("stack.yaml")).unwrap();

        assert_eq!(formats.map(shown), live);
        assert_eq!(shown("json"), world.read("plan.json"));
    }
}

#[test]
fn a23_a_row_that_changed_makes_a_plan_stale() {
    for database in Database::both() {
        let world = with_plan(&database);

        database.query(&world, "INSERT INTO items VALUES (4, 'somebody was here')");

        apply_plan(&world).exits(5).warns("stale").warns("system.seed.items");
        assert_eq!(items(&world, &database), "pen ink paper somebody was here");
    }
}

#[test]
fn a23_a_spec_that_changed_makes_a_plan_stale() {
    for database in Database::both() {
        let world = with_plan(&database);

        world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n4,stamp\n5,string\n");

        apply_plan(&world).exits(5).warns("stale").warns("system.seed.items");
        assert_eq!(items(&world, &database), "pen ink paper");
    }
}

#[test]
fn a23_a_step_that_somebody_else_did_makes_a_plan_stale() {
    for database in Database::both() {
        let world = with_plan(&database);

        database.query(&world, "INSERT INTO items VALUES (4, 'stamp')");

        apply_plan(&world).exits(5).warns("stale").warns("system.seed.items").warns("not needed any more");
    }
}

#[test]
fn a23_what_is_irrelevant_does_not_make_a_plan_stale() {
    for database in Database::both() {
        let world = with_plan(&database);

        database.query(&world, "CREATE TABLE notes (text text)");
        database.query(&world, "INSERT INTO items VALUES (77, 'of the application')");
        database.query(&world, "UPDATE items SET name = 'fountain pen' WHERE id = 1");
        world.spec(&format!("# a remark\n{}", world.read("stack.yaml")));

        apply_plan(&world).exits(0);
        assert_eq!(items(&world, &database), "fountain pen ink paper stamp of the application");
    }
}

#[test]
fn a23_changes_that_the_plan_lacks_are_listed_and_not_run() {
    for database in Database::both() {
        let world = with_plan(&database);

        world.file("more.csv", "id,name\n10,glue\n");
        let system = "    more: { table: items, key: [id], rows: more.csv }\n".to_owned();
        Shop { system, ..Shop::default() }.write_spec(&world);

        apply_plan(&world).exits(0).warns("system.seed.more is not in the saved plan");
        assert_eq!(items(&world, &database), "pen ink paper stamp");
        world.plan().exits(2).says("system.seed.more");
    }
}

#[test]
fn a23_an_altered_plan_is_refused() {
    for database in Database::both() {
        let world = with_plan(&database);
        let text = world.read("plan.json");

        for (from, to) in
            [("\"create\"", "\"update\""), ("\"safe\"", "\"locking\""), ("4", "5"), ("\"dev\"", "\"prod\"")]
        {
            let altered = text.replace(from, to);
            assert_ne!(altered, text, "{from}");
            world.file("plan.json", altered);
            let run = apply_plan(&world);
            assert!(matches!(run.code, Some(5 | 1)), "{from}: {run:?}");
            run.never_says("panicked");
        }
        world.file(
            "plan.json",
            text.replace("rows to insert", "rows to admire").replace("row to insert", "row to admire"),
        );
        apply_plan(&world).exits(5).warns("altered");
        assert_eq!(items(&world, &database), "pen ink paper");
    }
}

#[test]
fn a23_a_plan_of_another_environment_is_refused() {
    for database in Database::both() {
        let world = with_plan(&database);

        Shop { environment: "staging", ..Shop::default() }.write_spec(&world);

        apply_plan(&world).exits(5).warns("shop (dev)").warns("shop (staging)");
        assert_eq!(items(&world, &database), "pen ink paper");
    }
}

#[test]
fn a23_a_plan_whose_run_failed_goes_on_where_it_stopped() {
    for database in Database::both() {
        let world = World::new();
        Shop::default().write(&world, &database);
        world.apply().exits(0);
        world.file("migrations/0002_more.sql", "CREATE TABLE more (id bigint PRIMARY KEY);\n");
        world.file("migrations/0003_copy.sql", "INSERT INTO more SELECT id FROM gate;\n");
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);

        apply_plan(&world).exits(6).says("failed system.migration.0003_copy");
        database.query(&world, "CREATE TABLE gate (id bigint)");
        database.query(&world, "INSERT INTO gate VALUES (7)");
        let second = apply_plan(&world);

        second.exits(0).says("skipped system.migration.0002_more: an earlier run of this plan did it");
        assert_eq!(database.query(&world, "SELECT id FROM more"), "7");
        apply_plan(&world).exits(5).warns("used up");
    }
}

#[test]
fn a23_a_plan_with_a_destructive_step_asks_for_leave_too() {
    for database in Database::both() {
        let world = World::new();
        Shop::default().write(&world, &database);
        world.apply().exits(0);
        world.file("migrations/0002_drop.sql", "DROP TABLE items;\n");
        let seeds =
            "  seeds:\n    items: { when: seed_demo_data, table: items, key: [id], rows: items.csv }\n";
        world.spec(&world.read("stack.yaml").replace(seeds, ""));
        world.trueup(&["plan", "--out", "plan.json"]).exits(0).warns("--allow destructive");

        apply_plan(&world).exits(3).warns("--allow destructive");
        assert_eq!(database.query(&world, "SELECT count(*) FROM items"), "3");

        world.trueup(&["apply", "plan.json", "--allow", "destructive"]).exits(0);
    }
}

/// Kills `apply plan.json` as soon as a step has started.
fn kill_at(world: &World, address: &str) {
    let mut run = world.start(&["apply", "plan.json", "--format", "json"]);
    run.wait_for_step(address);
    run.kill();
}

#[test]
fn a25_a_saved_plan_goes_on_after_kills_between_its_own_migrations() {
    for database in Database::both() {
        let world = World::new();
        let (slow, role) = match &database {
            Database::Postgres(postgres) => {
                postgres.on_server(&format!("DROP DATABASE {}", postgres.name()));
                let role = format!("{}_reader", postgres.name());
                // On a busy machine the start may be noticed a second late, and the server
                // continues after the kill. With a shorter sleep the next migrations could finish
                // before it.
                ("SELECT pg_sleep(4)", Some(role))
            }
            Database::Sqlite => (
                "CREATE TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) AS i FROM n",
                None,
            ),
        };
        let lines = role.as_ref().map_or(String::new(), |role| {
            format!("  roles: {{ {role}: {{ grants: {{ '*': [select], b: [insert] }} }} }}\n")
        });
        world.env("DATABASE_URL", database.url()).spec(&format!("{MIGRATIONS}{lines}"));
        // All of it is safe while nobody uses the tables yet, and none of it once they are in use.
        world.file("migrations/0001_a.sql", "CREATE TABLE a (id integer, old text);");
        world.file("migrations/0002_slow.sql", slow);
        world.file("migrations/0003_b.sql", "CREATE INDEX a_id ON a (id); ALTER TABLE a DROP COLUMN old; DROP TABLE IF EXISTS legacy; CREATE TABLE b (id integer);");
        world.file("migrations/0004_slow.sql", slow.replace("TABLE n", "TABLE m"));
        world.file("migrations/0005_c.sql", "DROP TABLE a;");
        world
            .file("migrations/repeatable/v.sql", "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT id FROM b;");
        world.trueup(&["plan", "--out", "plan.json"]).exits(0).never_says("destructive");

        kill_at(&world, "system.migration.0001_a");
        kill_at(&world, "system.migration.0002_slow");
        kill_at(&world, "system.migration.0004_slow");
        apply_plan(&world).exits(0).says("an earlier run of this plan did it");

        apply_plan(&world).exits(5).warns("used up");
        world.plan().exits(0);
        if let (Database::Postgres(postgres), Some(role)) = (&database, role) {
            postgres.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        }
    }
}

#[test]
fn a23_what_somebody_else_put_in_the_way_of_a_plan_that_goes_on_makes_it_stale() {
    for database in Database::both() {
        let world = World::new();
        world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
        world.file("migrations/0001_a.sql", "CREATE TABLE a (id integer);");
        world.file("migrations/0002_b.sql", "INSERT INTO missing VALUES (1); DROP TABLE IF EXISTS legacy;");
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);
        apply_plan(&world).exits(6);

        database.query(&world, "CREATE TABLE legacy (id integer)");

        apply_plan(&world).exits(5).warns("system.migration.0002_b has a higher risk now");
    }
}

#[test]
fn a25_a_used_up_plan_that_was_killed_after_its_last_step_leaves_nothing_unsaid() {
    for database in Database::both() {
        let world = World::new();
        Shop::default().write(&world, &database);
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);
        apply_plan(&world).exits(0);
        let books = match &database {
            Database::Postgres(_) => "trueup.",
            Database::Sqlite => "trueup_",
        };
        // As left behind by a run that dies before it records its end.
        database.query(&world, &format!("DELETE FROM {books}meta WHERE key = 'spec_digest'"));
        database.query(&world, &format!("DELETE FROM {books}snapshots WHERE owner = 'system'"));
        database.query(&world, &format!("INSERT INTO {books}meta VALUES ('schema_changing', 'a dead run')"));

        apply_plan(&world).exits(5).warns("used up");

        let said =
            format!("SELECT count(*) FROM {books}meta WHERE key IN ('spec_digest', 'schema_changing')");
        assert_eq!(database.query(&world, &said), "1");
        let recorded = format!("SELECT count(*) FROM {books}snapshots WHERE owner = 'system'");
        assert_eq!(database.query(&world, &recorded), "1");
    }
}
