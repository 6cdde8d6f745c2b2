//! A26: Ctrl-C once, and twice.

use std::io::Write as _;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::a22_locking::{slow_sqlite, started, world};
use crate::servers::{Postgres, Session, free_port, psql, run, wait_until};
use crate::world::World;

const SLOW: &str = "system.migration.0001_slow";

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
    let run = started(world, SLOW);
    std::thread::sleep(Duration::from_millis(100));

    run.signal("INT");

    let ended = run.ends();
    ended.exits(130).warns("press Ctrl-C again to stop at once").warns("goes on from here");
    assert!(!ended.stdout.contains("Ctrl-C"));
    let steps = steps(world);
    assert!(steps.contains(&(SLOW.to_owned(), "\"done\"".to_owned())), "{steps:?}");
    let next = ("system.migration.0002_next".to_owned(), "{\"blocked\":\"interrupted\"}".to_owned());
    assert!(steps.contains(&next), "{steps:?}");
    world.apply().exits(0);
    world.plan().exits(0);
}

#[test]
fn a26_the_first_ctrl_c_finishes_running_steps_starts_no_new_ones_and_exits_130() {
    let postgres = Postgres::start();
    the_first_ctrl_c_finishes_what_runs(&world(postgres.url(), "SELECT pg_sleep(1)"));
    the_first_ctrl_c_finishes_what_runs(&slow_sqlite());
}

#[test]
fn a26_ctrl_c_while_a_server_or_the_lock_is_waited_for_ends_the_process_by_itself() {
    let postgres = Postgres::start();
    let nobody = format!("postgres://app:a-password@127.0.0.1:{}/shop", free_port());
    let waiting = world(nobody, "SELECT 1");
    let locked = world(postgres.url(), "SELECT pg_sleep(20)");
    let holder = started(&locked, SLOW);

    for (world, option) in [(&waiting, "--wait"), (&locked, "--lock-timeout")] {
        for signal in ["INT", "TERM"] {
            let run = world.start(&["apply", "--auto-approve", option, "60s"]);
            std::thread::sleep(Duration::from_secs(2));
            run.signal(signal);

            let began = Instant::now();
            let run = run.ends();

            // The exit code is not that of a signal, because PID 1 in a container does not die of
            // it.
            run.exits(130).warns("interrupted; nothing was applied");
            assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        }
    }
    holder.kill();
}

/// Runs `apply` on a pseudo-terminal. Input is typed before the first output.
pub(crate) fn on_a_terminal(world: &World) -> (Child, std::process::ChildStdin) {
    let command = format!("{} apply", env!("CARGO_BIN_EXE_trueup"));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "terminal"]).current_dir(world.path("."));
    script.env_clear().envs(world.variables()).env("TERM", "dumb");
    let said = std::fs::File::create(world.path("said")).unwrap();
    let mut child = script.stdin(std::process::Stdio::piped()).stdout(said).spawn().unwrap();
    let typed = child.stdin.take().unwrap();
    (child, typed)
}

#[test]
fn a26_ctrl_c_at_the_question_ends_the_run_at_once() {
    let world = world("sqlite://system.db", "CREATE TABLE a (x int);");
    let (mut child, mut typed) = on_a_terminal(&world);
    wait_until("the question", || world.read("said").contains("as approval:"));

    typed.write_all(b"\x03").unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", world.read("said"));
    assert!(world.read("said").contains("interrupted; nothing was applied"));
    assert!(!world.path("system.db").exists());
}

#[test]
fn a26_ctrl_c_at_the_second_question_does_not_say_that_nothing_was_applied() {
    // Extensions from the template of a new database make the plan differ from the approved one.
    let postgres = Postgres::alone();
    psql(
        &postgres.url_of("template1"),
        "CREATE TABLE items (id text PRIMARY KEY); INSERT INTO items VALUES ('a')",
    );
    let url = postgres.url_of("made_here");
    let world = world(url, "SELECT 1;");
    let seed = "  seeds: { items: { table: items, key: [id], rows: items.csv } }\n";
    world.spec(&format!("{}{seed}", world.read("stack.yaml"))).file("items.csv", "id\na\nb\n");
    let (mut child, mut typed) = on_a_terminal(&world);
    wait_until("the question", || world.read("said").contains("as approval:"));
    typed.write_all(b"yes\n").unwrap();
    wait_until("the second question", || world.read("said").matches("as approval:").count() == 2);

    typed.write_all(b"\x03").unwrap();

    let code = child.wait().unwrap().code();
    let said = world.read("said");
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains("nothing was applied") && said.contains("1 done"), "{said}");
    assert_eq!(psql(&postgres.url_of("made_here"), "SELECT count(*) FROM items"), "1");
}

fn the_second_ctrl_c_stops_at_once(world: &World) {
    let run = started(world, SLOW);
    std::thread::sleep(Duration::from_millis(100));

    let began = Instant::now();
    run.signal("INT");
    std::thread::sleep(Duration::from_millis(50));
    run.signal("INT");
    run.ends().exits(130);

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

/// Opens a session that has read a table and keeps its transaction open.
fn reader(postgres: &Postgres) -> Session {
    let mut reading = Session::open(&format!("{}?application_name=report", postgres.url()));
    reading.send("BEGIN; SELECT count(*) FROM t; SELECT pg_sleep(300)");
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
    let reading = reader(&postgres);
    let world = world(postgres.url(), "CREATE TABLE kept (a int);");
    world.apply().exits(0);
    let spec = world.read("stack.yaml").replace("system:\n", "system:\n  lock_timeout: 60s\n");
    world.spec(&spec).file("migrations/0002_b.sql", "CREATE TABLE lost (a int);\nALTER TABLE t ADD b int;");
    let run = world.start(&["apply", "--auto-approve"]);
    wait_until("the note", || run.stderr().contains("waits for"));

    let began = Instant::now();
    run.signal("INT");
    let ended = run.ends();

    ended.exits(130).warns("system.migration.0002_b waits for pid ");
    ended.warns("(report, account postgres), active since 20");
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for {:?}", began.elapsed());
    let steps = steps(&world);
    assert!(
        steps.iter().any(|(_, outcome)| outcome.contains("because the run was asked to stop")),
        "{steps:?}"
    );
    assert_eq!(postgres.psql("SELECT to_regclass('lost') IS NULL"), "t");

    // Without Ctrl-C the error names the blocking session.
    world.spec(&spec.replace("60s", "1s"));
    let failed = world.apply();
    failed.exits(6).says("(report, account postgres)").says("tried 6 times").says("SELECT pg_sleep(300)");
    drop(reading);
    postgres.psql(&format!("SELECT pg_terminate_backend(pid) {READER}"));
    wait_until("the reader's end", || postgres.psql(&format!("SELECT count(*) {READER}")) == "0");
    world.apply().exits(0);
}

#[test]
fn a26_signals_are_heard_while_a_file_is_read_that_has_no_end() {
    let world = world("sqlite://system.db", "CREATE TABLE items (id text PRIMARY KEY);");
    let spec = world.read("stack.yaml");
    let seeded = format!("{spec}  seeds: {{ items: {{ table: items, key: [id], rows: items.csv }} }}\n");
    for pipe in ["pipe.yaml", "items.csv", "plan.json", "world.json"] {
        run(std::process::Command::new("mkfifo").arg(world.path(pipe)));
    }
    let commands: [(&[&str], &str); 7] = [
        (&["validate", "--file", "pipe.yaml"], &spec),
        (&["plan", "--file", "pipe.yaml"], &spec),
        (&["validate"], &seeded),
        (&["apply", "--auto-approve"], &seeded),
        (&["apply", "plan.json"], &spec),
        (&["plan", "--world", "world.json"], &spec),
        (&["graph", "--world", "world.json"], &spec),
    ];
    for (command, spec) in commands {
        for signal in ["INT", "TERM"] {
            world.spec(spec);
            let mut run = world.start(command);
            std::thread::sleep(Duration::from_millis(700));
            // A file that is no database may be rejected instead.
            if run.is_running() {
                run.signal(signal);
                let began = Instant::now();
                run.ends().exits(130);
                assert!(began.elapsed() < Duration::from_secs(5), "{command:?}: {:?}", began.elapsed());
            } else {
                run.ends().exits(1);
            }
        }
    }
    assert!(!world.path("system.db").exists());
}

#[test]
fn a26_signals_are_heard_while_nobody_reads_the_answer() {
    let world = world("sqlite://system.db", "CREATE TABLE items (id text PRIMARY KEY);");
    // More than the buffer of a pipe.
    for number in 2..2000 {
        world.file(&format!("migrations/{number:04}_a_name_that_is_not_short.sql"), "SELECT 1;");
    }
    let mut command = world.command(&["plan", "--format", "json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(child.try_wait().unwrap(), None);

    let began = Instant::now();
    run(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]));

    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
