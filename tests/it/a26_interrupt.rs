//! A26: Ctrl-C once, and twice.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::a22_locking::{slow_sqlite, start, wait_for_start, world};
use crate::servers::{Postgres, run, wait_until};
use crate::world::World;

const SLOW: &str = "system.migration.0001_slow";

fn interrupt(child: &Child) {
    run(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]));
}

fn steps(world: &World) -> Vec<(String, String)> {
    let runs = world.trueup(&["history", "--format", "json"]).events();
    let id = runs[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(runs[0]["status"], "interrupted", "{runs:?}");
    let steps = world.trueup(&["history", &id, "--format", "json"]).events();
    let outcome = |step: &serde_json::Value| step["outcome"].to_string();
    steps.iter().map(|step| (step["address"].as_str().unwrap().to_owned(), outcome(step))).collect()
}

fn the_first_ctrl_c_finishes_what_runs(world: &World) {
    world.file("migrations/0002_next.sql", "CREATE TABLE next (x int);");
    let mut child = start(world);
    wait_for_start(world, SLOW);
    std::thread::sleep(Duration::from_millis(100));

    interrupt(&child);

    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", world.read("errors"));
    let steps = steps(world);
    assert!(steps.contains(&(SLOW.to_owned(), "\"done\"".to_owned())), "{steps:?}");
    let next = ("system.migration.0002_next".to_owned(), "{\"blocked\":\"interrupted\"}".to_owned());
    assert!(steps.contains(&next), "{steps:?}");
    assert!(world.read("errors").contains("goes on from here"));
    world.apply().exits(0);
    world.plan().exits(0);
}

#[test]
fn a26_the_first_ctrl_c_finishes_running_steps_starts_no_new_ones_and_exits_130() {
    let postgres = Postgres::start();
    the_first_ctrl_c_finishes_what_runs(&world(postgres.url(), "SELECT pg_sleep(1)"));
    the_first_ctrl_c_finishes_what_runs(&slow_sqlite());
}

fn the_second_ctrl_c_stops_at_once(world: &World) {
    let mut child = start(world);
    wait_for_start(world, SLOW);
    std::thread::sleep(Duration::from_millis(100));

    let began = Instant::now();
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(50));
    interrupt(&child);
    let code = child.wait().unwrap().code();

    assert_eq!(code, Some(130), "{}", world.read("errors"));
    assert!(began.elapsed() < Duration::from_secs(2), "stopped after {:?}", began.elapsed());
    let steps = steps(world);
    let stopped = (SLOW.to_owned(), "{\"blocked\":\"stopped while it ran\"}".to_owned());
    assert!(steps.contains(&stopped), "{steps:?}");
    world.file("migrations/0001_slow.sql", "CREATE TABLE quick (x int);");
    world.apply().exits(0);
    world.plan().exits(0);
}

#[test]
fn a26_the_second_ctrl_c_stops_at_once_and_the_journal_says_so() {
    let postgres = Postgres::start();
    the_second_ctrl_c_stops_at_once(&world(postgres.url(), "SELECT pg_sleep(60)"));
    let endless = "CREATE TABLE slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                   WHERE i < 4000000000) SELECT max(i) AS i FROM n;";
    the_second_ctrl_c_stops_at_once(&world("sqlite://system.db", endless));
}

/// A session that has read a table and not ended its transaction.
fn reader(postgres: &Postgres) -> Child {
    let mut psql = std::process::Command::new("psql");
    let psql = psql.arg(format!("{}?application_name=report", postgres.url()));
    psql.args(["-c", "BEGIN; SELECT count(*) FROM t; SELECT pg_sleep(300)"]);
    let reading =
        psql.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the reader", || {
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND granted";
        postgres.psql(held) == "1"
    });
    reading
}

#[test]
fn a26_a_wait_for_another_session_is_named_and_ended_by_the_first_ctrl_c() {
    const READER: &str =
        "FROM pg_stat_activity WHERE application_name = 'report' AND datname = current_database()";
    let postgres = Postgres::start();
    postgres.psql("CREATE TABLE t (a int)");
    let mut reading = reader(&postgres);
    let world = world(postgres.url(), "CREATE TABLE kept (a int);");
    world.apply().exits(0);
    let spec = world.read("stack.yaml").replace("system:\n", "system:\n  lock_timeout: 60s\n");
    world.spec(&spec).file("migrations/0002_b.sql", "CREATE TABLE lost (a int);\nALTER TABLE t ADD b int;");
    let child = start(&world);
    wait_until("the note", || world.read("errors").contains("waits for"));

    let began = Instant::now();
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();

    let errors = world.read("errors");
    assert_eq!(ended.status.code(), Some(130), "{errors}");
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for {:?}", began.elapsed());
    let named = "system.migration.0002_b waits for pid ";
    assert!(
        errors.contains(named) && errors.contains("(report, account postgres), active since 20"),
        "{errors}"
    );
    let steps = steps(&world);
    assert!(
        steps.iter().any(|(_, outcome)| outcome.contains("because the run was asked to stop")),
        "{steps:?}"
    );
    assert_eq!(postgres.psql("SELECT to_regclass('lost') IS NULL"), "t");

    // Without Ctrl-C the error names who is in the way.
    world.spec(&spec.replace("60s", "1s"));
    let failed = world.apply();
    failed.exits(6).says("(report, account postgres)").says("tried 6 times").says("SELECT pg_sleep(300)");
    reading.kill().unwrap();
    reading.wait().unwrap();
    postgres.psql(&format!("SELECT pg_terminate_backend(pid) {READER}"));
    wait_until("the reader's end", || postgres.psql(&format!("SELECT count(*) {READER}")) == "0");
    world.apply().exits(0);
}
