//! A22: one run at a time, and statements of a killed run that still execute on the server.

use std::time::{Duration, Instant};

use crate::servers::{Postgres, Session, wait_until};
use crate::world::{Running, World};

const SPEC: &str = "version: 1
stack: locked
environment: dev
system:
  url: ${DATABASE_URL}
  create_database: true
  migrations: migrations
";
/// Computes for some seconds, because SQLite has no sleep function.
const SLOW_SQLITE: &str = "CREATE TABLE slow AS
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000000) SELECT max(i) AS i FROM n;";

/// A world with one migration.
pub(crate) fn world(url: impl Into<String>, migration: &str) -> World {
    let world = World::new();
    world.env("DATABASE_URL", url).env("USER", "alice").spec(SPEC);
    world.file("migrations/0001_slow.sql", migration);
    world
}

/// Creates a world on SQLite whose apply takes some seconds.
pub(crate) fn slow_sqlite() -> World {
    world("sqlite://system.db", SLOW_SQLITE)
}

/// Starts `apply` in the background and waits until the step of this address has started.
pub(crate) fn started(world: &World, address: &str) -> Running {
    let mut run = world.start(&["apply", "--auto-approve", "--format", "json"]);
    run.wait_for_step(address);
    run
}

const SLOW: &str = "system.migration.0001_slow";

/// Returns the run that `lock status` shows.
fn holder(world: &World) -> String {
    let status = world.trueup(&["lock", "status"]);
    status.exits(4);
    status.stdout.split_whitespace().nth(1).unwrap().to_owned()
}

fn second_apply_is_told_who_holds_the_lock(world: &World) {
    let first = started(world, SLOW);
    std::thread::sleep(Duration::from_millis(200));

    let run = holder(world);
    let refused = world.apply();
    let began = Instant::now();
    let waited = world.trueup(&["apply", "--auto-approve", "--lock-timeout", "1s"]);
    let patience = began.elapsed();

    for refused in [&refused, &waited] {
        refused.exits(4).warns(&run).warns("alice@").warns("since 20");
    }
    assert!((1.0..3.0).contains(&patience.as_secs_f64()), "waited {patience:?}");
    let history = world.trueup(&["history"]);
    history.exits(0).says("running");
    first.kill();
}

#[test]
fn a22_a_second_apply_waits_then_exits_4_and_says_who_since_when() {
    let postgres = Postgres::start();
    second_apply_is_told_who_holds_the_lock(&world(postgres.url(), "SELECT pg_sleep(20)"));
    let long = SLOW_SQLITE.replace("9000000", "900000000");
    second_apply_is_told_who_holds_the_lock(&world("sqlite://system.db", &long));
}

#[test]
fn a22_a_second_apply_that_waits_long_enough_finds_nothing_left_to_do() {
    let postgres = Postgres::start();
    let on_postgres = world(postgres.url(), "SELECT pg_sleep(1.5)");
    let on_sqlite = slow_sqlite();
    for world in [&on_postgres, &on_sqlite] {
        let first = started(world, SLOW);

        let second = world.trueup(&["apply", "--auto-approve", "--lock-timeout", "5m"]);

        second.exits(0).says("No changes");
        first.ends().exits(0);
    }
}

#[test]
fn a22_a_killed_holder_frees_the_lock_and_its_statement_is_outlived() {
    let postgres = Postgres::start();
    // Without ending the session, the insert would happen seconds after the kill.
    let slow = "CREATE TABLE late (x int); SELECT pg_sleep(4); INSERT INTO late VALUES (1);";
    let world = world(postgres.url(), slow);
    let first = started(&world, SLOW);
    wait_until("the statement", || {
        postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(4)%' AND pid <> pg_backend_pid() AND state = 'active'") == "1"
    });
    first.kill();

    world.trueup(&["history"]).exits(0).says("died");
    let second = world.apply();

    second.exits(0).warns("crashed; this run continues");
    assert_eq!(postgres.psql("SELECT count(*) FROM late"), "1");
    assert_eq!(postgres.psql("SELECT count(*) FROM _sqlx_migrations"), "1");
    world.plan().exits(0);
}

#[test]
fn a23_a_saved_plan_does_not_call_its_own_database_an_earlier_run_s() {
    let postgres = Postgres::absent();
    let world = world(postgres.url(), "CREATE TABLE a (x int);");
    world.trueup(&["plan", "--out", "plan.json"]).exits(0);

    let applied = world.trueup(&["apply", "plan.json"]);

    applied.exits(0).says("done system.database").never_says("earlier run");
}

#[test]
fn a08_a_database_that_cannot_be_made_blocks_all_that_was_planned() {
    let postgres = Postgres::absent();
    let maker = format!("maker_{}", postgres.name());
    postgres.on_server(&format!("CREATE ROLE {maker} LOGIN PASSWORD 'no-createdb' NOCREATEDB"));
    let (_, server) = postgres.url().rsplit_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let world = world(format!("postgres://{maker}:no-createdb@{server}"), "CREATE TABLE a (x int);");

    let as_json = world.trueup(&["apply", "--auto-approve", "--format", "json"]);
    let as_text = world.apply();
    postgres.on_server(&format!("DROP ROLE {maker}"));

    // Nothing was changed, and the journal records that.
    let events = as_json.exits(1).events();
    let summary = events.last().unwrap();
    assert_eq!(
        (&summary["applied"], &summary["failed"], &summary["blocked"]),
        (&0.into(), &1.into(), &3.into())
    );
    for address in ["system.bookkeeping", SLOW, "flags"] {
        let blocked = events.iter().find(|event| event["address"] == address).unwrap();
        assert_eq!(blocked["event"], "blocked", "{blocked}");
        assert_eq!(blocked["error"], "needs system.database");
    }
    as_text.exits(1).says(&format!("blocked {SLOW}: needs system.database")).says("it was not made");
    as_text.says("Nothing applied: 0 done, 0 unchanged, 1 failed, 3 blocked");
}

#[test]
fn e09_a_step_that_ended_stands_in_the_journal_while_a_long_one_runs() {
    let postgres = Postgres::start();
    let world = world(postgres.url(), "CREATE TABLE quick (x int);");
    world.file("migrations/0002_long.sql", "SELECT pg_sleep(20)");
    let mut run = started(&world, "system.migration.0002_long");

    let began = Instant::now();
    let recorded = "SELECT count(*) FROM trueup.steps WHERE address = 'system.migration.0001_slow'";
    wait_until("the record", || postgres.psql(recorded) == "1");

    assert!(began.elapsed() < Duration::from_secs(3), "after {:?}", began.elapsed());
    assert!(run.is_running(), "the long step runs");
    run.kill();
}

#[test]
fn a22_a_statement_of_a_dead_run_that_does_not_end_is_named_and_can_be_ended() {
    let postgres = Postgres::start();
    let world = world(postgres.url(), "CREATE TABLE a (x int);");
    let dead = "01890a5d-ac96-774b-bcce-b302099a8057";
    let mut lingering = Session::open(&format!("{}?application_name=trueup/locked/{dead}", postgres.url()));
    lingering.send("SELECT pg_sleep(60)");
    wait_until("the statement", || {
        postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'trueup/%' AND state = 'active'") == "1"
    });

    let refused = world.apply();
    let broken = world.trueup(&["lock", "break", dead]);
    let applied = world.apply();

    refused.exits(4).warns(dead).warns("pg_sleep(60)").warns("lock break");
    broken.exits(0).says("ended 1 session");
    applied.exits(0);
}

#[test]
fn a22_a_broken_lock_stops_its_run_before_another_begins() {
    let postgres = Postgres::start();
    let world = world(postgres.url(), "CREATE TABLE early (x int);");
    world.file("migrations/0002_slow.sql", "SELECT pg_sleep(20);");
    let first = started(&world, "system.migration.0002_slow");
    let run = holder(&world);

    world.trueup(&["lock", "break", "no-such-run"]).exits(1).warns(&run);
    world.trueup(&["lock", "break", &run]).exits(0).says("its lock is free");
    let ended = first.ends();

    ended.exits(6);
    world.trueup(&["lock", "status"]).exits(0).says("the lock is free");
    assert!(ended.stderr.contains("lock was lost") || ended.stdout.contains("failed"));
}

#[test]
fn a22_a_file_lock_cannot_be_broken_while_its_process_lives() {
    let world = slow_sqlite();
    let first = started(&world, SLOW);
    let run = holder(&world);

    world.trueup(&["lock", "break", &run]).exits(1).warns("alive");

    first.kill();
    world.trueup(&["lock", "status"]).exits(0).says("the lock is free");
    world.trueup(&["history"]).exits(0).says("died");
    world.apply().exits(0).warns("crashed; this run continues");
}

#[test]
fn a22_two_names_of_one_file_have_one_lock() {
    let world = slow_sqlite();
    world.file("elsewhere/stack.yaml", SPEC.replace("migrations: migrations", "migrations: ../migrations"));
    world.sqlite("system.db", "PRAGMA user_version");
    std::fs::write(world.path("system.db"), "").unwrap();
    std::os::unix::fs::symlink(world.path("system.db"), world.path("elsewhere/system.db")).unwrap();
    let first = started(&world, SLOW);

    let second = world.trueup(&["--file", "elsewhere/stack.yaml", "apply", "--auto-approve"]);

    second.exits(4);
    first.kill();
}

#[test]
fn a22_waiting_for_the_lock_never_blocks_create_index_concurrently() {
    let postgres = Postgres::start();
    postgres.psql("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000)");
    let world = world(postgres.url(), "SELECT pg_sleep(0)");
    // Idle outside of a transaction: only its lock blocks other runs.
    let mut holding = postgres.session();
    holding.send("SELECT pg_advisory_lock(32776945837371392)");
    wait_until("the lock", || {
        let held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                    WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        postgres.psql(held) == "1"
    });
    let mut waiting = world.start(&["apply", "--auto-approve", "--lock-timeout", "60s"]);
    wait_until("the wait", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND application_name LIKE 'trueup/%/waiting'";
        postgres.psql(waiting) == "1"
    });

    let began = Instant::now();
    postgres.psql("CREATE INDEX CONCURRENTLY i ON t (x)");
    let took = began.elapsed();

    assert!(waiting.is_running(), "it still waits");
    assert!(took < Duration::from_secs(8), "the index took {took:?}");
    assert_eq!(postgres.psql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"), "t");
    waiting.kill();
}

#[test]
fn a22_every_session_that_writes_is_named_and_ends_with_its_client() {
    let postgres = Postgres::start();
    let shown = "CREATE TABLE shown AS SELECT current_setting('application_name') AS name,
                 current_setting('client_connection_check_interval', true) AS notice,
                 current_setting('tcp_keepalives_idle') AS keepalive; SELECT pg_sleep(1.5)";
    let world = world(postgres.url(), shown);
    let first = started(&world, SLOW);
    let run = holder(&world);
    let names = postgres.psql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
    let ours = postgres.psql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trueup/locked/{run}'"
    ));
    first.ends().exits(0);

    assert_eq!(names, ours);
    // PostgreSQL detects a disconnected client from version 14 on.
    let notice = if postgres.major() >= 14 { "2s" } else { "" };
    assert_eq!(postgres.psql("SELECT * FROM shown"), format!("trueup/locked/{run}|{notice}|30"));
}

#[test]
fn a22_two_first_applies_at_once_make_one_database() {
    let postgres = Postgres::absent();
    let on_postgres = world(postgres.url(), "CREATE TABLE a (x int); SELECT pg_sleep(0.3)");
    let on_sqlite = slow_sqlite();
    for world in [&on_postgres, &on_sqlite] {
        let arguments = ["apply", "--auto-approve", "--lock-timeout", "30s"];
        for run in [(); 4].map(|()| world.start(&arguments)) {
            run.ends().exits(0);
        }
        world.plan().exits(0);
    }
    assert_eq!(postgres.psql("SELECT count(*) FROM _sqlx_migrations"), "1");
    assert_eq!(on_sqlite.sqlite("system.db", "SELECT count(*) FROM _sqlx_migrations"), "1");
}

/// Returns the only process of a command that holds the lock.
pub(crate) fn holding_session(postgres: &Postgres) -> String {
    const HOLDS: &str = "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND d.datname = current_database()";
    wait_until("the lock", || !postgres.psql(HOLDS).is_empty());
    postgres.psql(HOLDS)
}

#[test]
fn a22_drift_accept_stops_and_records_nothing_when_its_lock_is_lost() {
    let postgres = Postgres::start();
    let world = world(postgres.url(), "CREATE TABLE early (x int);");
    world.apply().exits(0);
    postgres.psql("ALTER TABLE early ADD COLUMN by_hand int");
    let recorded = || postgres.psql("SELECT count(*) FROM trueup.runs WHERE command = 'drift accept'");
    let mut blocking = postgres.session();
    blocking.send("BEGIN; LOCK TABLE trueup.snapshots IN SHARE MODE");
    wait_until("the table's lock", || {
        postgres.psql("SELECT count(*) FROM pg_locks WHERE relation = 'trueup.snapshots'::regclass AND mode = 'ShareLock' AND granted") == "1"
    });
    let accept = world.start(&["drift", "accept"]);
    wait_until("the write", || {
        postgres.psql(
            "SELECT count(*) FROM pg_locks WHERE relation = 'trueup.snapshots'::regclass AND NOT granted",
        ) == "1"
    });

    postgres.psql(&format!("SELECT pg_terminate_backend({})", holding_session(&postgres)));
    let ended = accept.ends();
    let before = recorded();
    wait_until("the server noticed", || {
        postgres.psql(
            "SELECT count(*) FROM pg_locks WHERE relation = 'trueup.snapshots'::regclass AND NOT granted",
        ) == "0"
    });
    blocking.end();

    ended.exits(6).warns("the lock was lost");
    assert_eq!(recorded(), before);
    world.trueup(&["drift"]).exits(2).says("by_hand");
    world.trueup(&["drift", "accept"]).exits(0).says("recorded as it is now");
}

#[test]
fn a22_baseline_records_nothing_when_its_lock_is_lost_and_leaves_no_scratch_database() {
    // The name of the stack is unique, because the scratch database is on a shared server.
    const TRIES: &str = "SELECT datname FROM pg_stat_activity WHERE datname LIKE 'trueup\\_scratch\\_%' \
                         AND query LIKE '%pg_sleep(15)%' AND state = 'active'";
    let postgres = Postgres::start();
    let world = world(postgres.url(), "CREATE TABLE early (x int); SELECT pg_sleep(15);");
    postgres.psql("CREATE TABLE early (x int)");
    let baseline = world.start(&["baseline", "--to", "1"]);
    wait_until("the trial", || !postgres.psql(TRIES).is_empty());
    let scratch = postgres.psql(TRIES);

    let began = Instant::now();
    postgres.psql(&format!("SELECT pg_terminate_backend({})", holding_session(&postgres)));
    let ended = baseline.ends();

    ended.exits(1).warns("the lock was lost");
    assert!(began.elapsed() < Duration::from_secs(8), "it stopped after {:?}", began.elapsed());
    assert_eq!(postgres.psql("SELECT to_regclass('_sqlx_migrations') IS NULL"), "t");
    assert_eq!(postgres.psql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{scratch}'")), "0");
}
