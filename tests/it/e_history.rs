//! E09: every run that changed something or failed is recorded.

use std::process::Command;

use serde_json::Value;

use crate::servers;
use crate::stacks::{Database, MIGRATIONS, on_each_database, steps};
use crate::world::World;

/// Runs git in the world's folder, and returns its output.
fn git(world: &World, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(world.path(".")).env("HOME", world.path(".")).env("GIT_CONFIG_NOSYSTEM", "1");
    git.args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]);
    servers::run(git.args(arguments))
}

fn history(world: &World) -> Vec<Value> {
    world.trueup(&["history", "--format", "json"]).exits(0).events()
}

fn run_steps(world: &World, run: &Value) -> Vec<String> {
    let run = run["id"].as_str().unwrap();
    let steps = world.trueup(&["history", run, "--format", "json"]).exits(0).events();
    let line =
        |step: &Value| format!("{} {}", step["action"].as_str().unwrap(), step["address"].as_str().unwrap());
    steps.iter().map(line).collect()
}

#[test]
fn e09_a_run_is_recorded_with_all_that_identifies_it() {
    on_each_database(|world, database| {
        world
            .file("migrations/0001_items.sql", "CREATE TABLE items (id text NOT NULL PRIMARY KEY);\n")
            .spec(MIGRATIONS);
        git(world, &["init", "--quiet"]);
        git(world, &["add", "stack.yaml", "migrations"]);
        git(world, &["commit", "--quiet", "--message", "A stack"]);
        world.env("USER", "ada");
        let plan = world.plan_json();

        let applied = world.trueup(&["apply", "--auto-approve", "--format", "json"]);

        let events = applied.exits(0).events();
        let runs = history(world);
        let [run] = runs.as_slice() else { panic!("{runs:?}") };
        assert_eq!(run["id"], events.last().unwrap()["run"]);
        assert_eq!(run["status"], "succeeded");
        assert_eq!(run["command"], "apply");
        assert_eq!((&run["stack"], &run["environment"]), (&plan["stack"], &plan["environment"]));
        assert_eq!(run["tool_version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(run["git_commit"], git(world, &["rev-parse", "HEAD"]));
        assert_eq!(run["spec_digest"], plan["spec_digest"]);
        assert!(run["plan_digest"].as_str().unwrap().starts_with("sha256:"));
        assert!(run["who"].as_str().unwrap().starts_with("ada@"), "{run}");
        assert!(run["started_at"].as_str() <= run["finished_at"].as_str() && run["finished_at"].is_string());
        let mut recorded = run_steps(world, run);
        let mut planned = steps(&plan);
        recorded.sort();
        planned.sort();
        assert_eq!(recorded, planned);
        // The same data is in the database, for users who have only SQL.
        let sql = format!("SELECT status, git_commit FROM {}", database.bookkeeping("runs"));
        assert_eq!(database.sql(&sql), format!("succeeded|{}", git(world, &["rev-parse", "HEAD"])));
    });
}

#[test]
fn e09_a_failed_run_is_recorded_step_by_step() {
    on_each_database(|world, _: &Database| {
        world.file("migrations/0001_items.sql", "CREATE TABLE items (id text NOT NULL PRIMARY KEY);\n");
        world.file(
            "migrations/0002_broken.sql",
            "CREATE TABLE broken (id text NOT NULL PRIMARY KEY);\nSELECT nonsense;\n",
        );
        world
            .file("migrations/0003_after.sql", "CREATE TABLE after (id text NOT NULL PRIMARY KEY);\n")
            .spec(MIGRATIONS);

        world.apply().exits(6);

        let runs = history(world);
        let [run] = runs.as_slice() else { panic!("{runs:?}") };
        assert_eq!(run["status"], "failed");
        let id = run["id"].as_str().unwrap();
        let steps = world.trueup(&["history", id, "--format", "json"]).events();
        let outcome = |address: &str| {
            let step = steps.iter().find(|step| step["address"] == address);
            step.unwrap_or_else(|| panic!("{address} is not in {steps:?}"))["outcome"].clone()
        };
        assert_eq!(outcome("system.migration.0001_items"), "done");
        assert!(outcome("system.migration.0002_broken")["failed"].as_str().unwrap().contains("nonsense"));
        assert!(outcome("system.migration.0003_after")["blocked"].as_str().unwrap().contains("0002_broken"));
        let text = world.trueup(&["history", id]);
        text.exits(0).says("failed").says("system.migration.0002_broken").says("blocked");
        // The next run, after the cause is fixed, is a separate one.
        world.file("migrations/0002_broken.sql", "CREATE TABLE broken (id text NOT NULL PRIMARY KEY);\n");
        world.apply().exits(0);
        let statuses: Vec<Value> = history(world).iter().map(|run| run["status"].clone()).collect();
        assert_eq!(statuses, ["succeeded", "failed"], "newest first");
    });
}

#[test]
fn e09_a_run_with_nothing_to_do_or_that_is_refused_is_not_recorded() {
    on_each_database(|world, _: &Database| {
        world
            .file("migrations/0001_items.sql", "CREATE TABLE items (id text NOT NULL PRIMARY KEY);\n")
            .spec(MIGRATIONS);
        world.trueup(&["history"]).exits(0);
        world.apply().exits(0);

        world.plan().exits(0);
        world.apply().exits(0);
        world.file("migrations/0002_more.sql", "CREATE TABLE more (id text NOT NULL PRIMARY KEY);\n");
        world.trueup(&["apply"]).exits(64);

        assert_eq!(history(world).len(), 1);
    });
}

#[test]
fn e09_a_run_is_found_by_part_of_its_id_and_an_unknown_one_is_an_error() {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path("system.db").display()));
    world
        .file("migrations/0001_items.sql", "CREATE TABLE items (id text NOT NULL PRIMARY KEY);\n")
        .spec(MIGRATIONS);
    world.apply().exits(0);
    let runs = history(&world);
    let id = runs[0]["id"].as_str().unwrap();

    let found = world.trueup(&["history", &id[id.len() - 6..]]);
    let unknown = world.trueup(&["history", "no-such-run"]);

    found.exits(0).says(id).says("system.migration.0001_items").says("done");
    unknown.exits(1).warns("no-such-run");
    // Without a variable for the user name, the user id is recorded.
    assert!(runs[0]["who"].as_str().unwrap().starts_with("uid "), "{}", runs[0]["who"]);
    // Outside of a git checkout no commit is recorded.
    assert_eq!(runs[0]["git_commit"], Value::Null);
}
