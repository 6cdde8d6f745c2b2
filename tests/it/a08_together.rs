//! A08: consecutive migrations of SQLite share transactions. What runs, fails and is recorded is the same as
//! if each file had one of its own.

use std::time::{Duration, Instant};

use crate::stacks::MIGRATIONS;
use crate::world::World;

const DATABASE: &str = "app.db";

fn sqlite() -> World {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path(DATABASE).display())).spec(MIGRATIONS);
    world
}

fn stem(number: usize) -> String {
    format!("{number:05}_file")
}

fn address(number: usize) -> String {
    format!("system.migration.{}", stem(number))
}

fn file(world: &World, number: usize, sql: &str) {
    world.file(&format!("migrations/{}.sql", stem(number)), sql);
}

/// Writes files that create a table each.
fn tables(world: &World, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        file(world, number, &format!("CREATE TABLE t{number} (id INTEGER PRIMARY KEY);"));
    }
}

/// The number of transactions that wrote the file, from its header.
fn transactions(world: &World) -> u32 {
    let bytes = std::fs::read(world.path(DATABASE)).unwrap();
    u32::from_be_bytes(bytes[24..28].try_into().unwrap())
}

/// The versions in the history.
fn applied(world: &World) -> usize {
    world.sqlite(DATABASE, "SELECT count(*) FROM _sqlx_migrations WHERE success").parse().unwrap()
}

/// Checks that the tables of [`tables`] are those of the recorded files.
#[track_caller]
fn history_matches_tables(world: &World) {
    let made = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB 't[0-9]*'";
    assert_eq!(world.sqlite(DATABASE, made), applied(world).to_string());
}

#[test]
fn a08_migrations_of_sqlite_share_transactions_and_a_failing_one_keeps_those_before_it() {
    let world = sqlite();
    tables(&world, 1..=150);
    file(
        &world,
        130,
        "CREATE TABLE t130 (id INTEGER);\n\n-- no such table\nINSERT INTO nowhere VALUES (1);\n",
    );

    let failed = world.apply();

    failed.exits(6).says("line 4, at `INSERT INTO nowhere VALUES (1)`").says("00130_file.sql");
    failed.says("needs system.migration.00130_file").says("nothing of this migration was kept");
    assert_eq!(applied(&world), 129);
    history_matches_tables(&world);
    assert!(transactions(&world) < 60, "{} transactions for 129 files", transactions(&world));

    tables(&world, 130..=130);
    world.apply().exits(0);

    assert_eq!(applied(&world), 150);
    history_matches_tables(&world);
    assert_eq!(world.sqlite(DATABASE, "SELECT count(DISTINCT address) FROM trueup_inventory"), "150");
    world.plan().exits(0).says("No changes");
}

#[test]
fn a08_a_file_that_rolls_back_the_shared_transaction_fails_alone() {
    let world = sqlite();
    tables(&world, 1..=6);
    file(&world, 4, "INSERT INTO t1 VALUES (1);\nINSERT OR ROLLBACK INTO t1 VALUES (1);\n");

    let failed = world.apply();

    failed
        .exits(6)
        .says("line 2, at `INSERT OR ROLLBACK INTO t1 VALUES (1)`")
        .says("UNIQUE constraint failed");
    assert_eq!(applied(&world), 3);
    assert_eq!(world.sqlite(DATABASE, "SELECT count(*) FROM t1"), "0");
    history_matches_tables(&world);
    tables(&world, 4..=4);
    world.apply().exits(0);
    assert_eq!(applied(&world), 6);
}

#[test]
fn a08_a_file_that_violates_a_deferred_key_fails_although_a_later_file_adds_the_parent() {
    let world = sqlite();
    tables(&world, 1..=2);
    file(&world, 3, "CREATE TABLE c (p INTEGER REFERENCES t1 (id) DEFERRABLE INITIALLY DEFERRED);");
    file(&world, 4, "INSERT INTO t1 VALUES (1);\nINSERT INTO c VALUES (1);");
    file(&world, 5, "INSERT INTO c VALUES (7);");
    file(&world, 6, "INSERT INTO t1 VALUES (7);");

    let failed = world.apply();

    failed.exits(6).says("00005_file.sql").says("at `COMMIT`").says("FOREIGN KEY constraint failed");
    assert_eq!(applied(&world), 4);
    assert_eq!(world.sqlite(DATABASE, "SELECT p FROM c"), "1");
}

#[test]
fn a08_a_file_that_changes_its_session_or_transaction_runs_alone_between_those_that_share() {
    let world = sqlite();
    tables(&world, 1..=9);
    file(
        &world,
        3,
        "CREATE TABLE t3 (id INTEGER PRIMARY KEY, of INTEGER REFERENCES t1 (id));\nINSERT INTO t3 VALUES (3, NULL);",
    );
    file(
        &world,
        4,
        "PRAGMA foreign_keys = OFF;\nCREATE TABLE t4 (id INTEGER);\nUPDATE t3 SET of = 1;\nINSERT INTO t1 VALUES (1);",
    );
    file(&world, 5, "-- no-transaction\nVACUUM;\nCREATE TABLE t5 (id INTEGER);");
    file(
        &world,
        6,
        "CREATE TABLE t6 (id INTEGER);\nSAVEPOINT s;\nDELETE FROM t3;\nROLLBACK TO s;\nRELEASE s;",
    );
    file(&world, 7, "CREATE TABLE t7 (id INTEGER);\nDELETE FROM t1;");

    world.apply().exits(6).says("00007_file.sql").says("line 2").says("FOREIGN KEY constraint failed");

    assert_eq!(applied(&world), 6);
    assert_eq!(world.sqlite(DATABASE, "SELECT of FROM t3"), "1");
    tables(&world, 7..=7);
    world.apply().exits(0);
    assert_eq!(applied(&world), 9);
    history_matches_tables(&world);
}

/// Starts a run over many files, and waits until so many steps are reported as done.
fn started(world: &World, done: usize) -> crate::world::Running {
    let run = world.start(&["apply", "--auto-approve", "--format", "json"]);
    let began = Instant::now();
    while reported(&run.stdout()) < done {
        assert!(began.elapsed() < Duration::from_mins(1), "{}{}", run.stdout(), run.stderr());
        std::thread::sleep(Duration::from_millis(2));
    }
    run
}

/// How many migrations the events report as done.
fn reported(events: &str) -> usize {
    let is_done = |line: &&str| line.contains("{\"event\":\"finished\",\"address\":\"system.migration.");
    events.lines().filter(is_done).count()
}

#[test]
fn a25_a_kill_takes_back_the_open_transaction_alone_and_never_a_reported_step() {
    let world = sqlite();
    tables(&world, 1..=900);
    for done in [1, 120, 150] {
        let mut run = started(&world, done);
        run.signal("KILL");
        while run.is_running() {
            std::thread::sleep(Duration::from_millis(2));
        }

        let reported = reported(&run.stdout());
        history_matches_tables(&world);
        assert!(applied(&world) >= reported, "{} of {reported} reported steps", applied(&world));
    }
    world.apply().exits(0);
    assert_eq!(applied(&world), 900);
    history_matches_tables(&world);
    world.plan().exits(0).says("No changes");
}

#[test]
fn a26_ctrl_c_ends_a_shared_transaction_early_and_reports_what_it_committed() {
    let world = sqlite();
    tables(&world, 1..=5);
    let slow = "CREATE TABLE t6 AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                WHERE i < 3000000) SELECT max(i) AS i FROM n;";
    file(&world, 6, slow);
    tables(&world, 7..=40);
    let mut run = world.start(&["apply", "--auto-approve", "--format", "json"]);
    run.wait_for_step(&address(6));

    run.signal("INT");

    let ended = run.ends();
    ended.exits(130);
    assert_eq!(reported(&ended.stdout), 6, "{}", ended.stdout);
    assert_eq!(applied(&world), 6);
    world.apply().exits(0);
    assert_eq!(applied(&world), 40);
}
