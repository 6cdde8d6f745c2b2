//! F04: a lock of another session, or a silent connection, while a run observes, applies or
//! records. The run ends within a time limit, and names the blocking session.

use std::thread;
use std::time::{Duration, Instant};

use crate::a22_locking;
use crate::servers::{Fault, Postgres, Session, Wire, wait_until};
use crate::world::{Run, World};

/// Upper limit for the duration of a run: a lock wait or a silent connection times out within half
/// a minute.
const BOUND: Duration = Duration::from_secs(70);

fn world(url: &str) -> World {
    let world = a22_locking::world(url, "CREATE TABLE items (id text PRIMARY KEY, name text);");
    let seed = "  seeds: { items: { table: items, key: [id], rows: items.csv } }\n";
    world.spec(&format!("{}{seed}", world.read("stack.yaml"))).file("items.csv", "id,name\na,Ann\n");
    world
}

/// A session that locks a table exclusively, as VACUUM FULL does.
struct Holder(Session);

impl Holder {
    fn of(postgres: &Postgres, table: &str) -> Self {
        let mut session = Session::open(&format!("{}?application_name=vacuum", postgres.url()));
        session.send(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(300)"));
        wait_until("the lock", || {
            let held = format!(
                "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND granted \
                 AND mode = 'AccessExclusiveLock'"
            );
            postgres.psql(&held) == "1"
        });
        Self(session)
    }

    fn end(self, postgres: &Postgres) {
        drop(self.0);
        let sessions =
            "FROM pg_stat_activity WHERE application_name = 'vacuum' AND datname = current_database()";
        postgres.psql(&format!("SELECT pg_terminate_backend(pid) {sessions}"));
        wait_until("the end", || postgres.psql(&format!("SELECT count(*) {sessions}")) == "0");
    }
}

fn timed(world: &World, arguments: &[&str]) -> (Run, Duration) {
    let began = Instant::now();
    let run = world.trueup(arguments);
    (run, began.elapsed())
}

#[test]
fn f04_a_look_says_whose_lock_it_waits_for_and_ends() {
    let postgres = Postgres::start();
    let world = world(&postgres.url());
    world.apply().exits(0);
    world.file("items.csv", "id,name\na,Ann\nb,Bob\n");

    for table in ["items", "trueup.inventory", "trueup.runs", "_sqlx_migrations"] {
        let holder = Holder::of(&postgres, table);
        for command in [&["plan"][..], &["apply", "--auto-approve"], &["drift"]] {
            let (run, took) = timed(&world, &[command, &["--refresh-timeout", "4s"]].concat());

            assert!(took < Duration::from_secs(20), "{command:?} took {took:?} with {table} locked");
            run.exits(1);
            run.warns("observing took longer than 4s: no answer yet from system; system waits for pid ");
            run.warns("(vacuum, account postgres), active since 20").warns("--refresh-timeout");
        }
        holder.end(&postgres);
    }
    world.apply().exits(0);
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "2");
}

#[test]
fn f04_a_wait_for_a_lock_ends_by_itself_and_the_holder_is_named() {
    let postgres = Postgres::start();
    let world = world(&postgres.url());
    world.apply().exits(0);
    let holder = Holder::of(&postgres, "items");

    let (run, took) = timed(&world, &["apply", "--auto-approve"]);

    assert!(took < BOUND, "{took:?}");
    run.exits(1).warns("note: system waits for pid ").warns("; it waited for pid ");
    run.warns("(vacuum, account postgres)");
    holder.end(&postgres);
    world.apply().exits(0);
}

/// Applies through a wire that goes silent when a text is sent, and then applies again without a
/// fault.
fn survives_silence_at(text: &str, code: i32) {
    let postgres = Postgres::start();
    let port = url::Url::parse(&postgres.url()).unwrap().port().unwrap();
    let wire = Wire::before(port);
    let world = world(&postgres.url().replace(&format!(":{port}/"), &format!(":{}/", wire.port())));
    wire.fail_at(text, Fault::Silence, 1);

    let (run, took) = timed(&world, &["apply", "--auto-approve"]);

    assert!(took < BOUND, "{took:?} at {text}");
    assert_eq!(wire.failures(), 1, "nobody sent {text}");
    run.exits(code);
    if code != 0 {
        assert!(
            format!("{}{}", run.stdout, run.stderr).contains("the connection was lost"),
            "{}",
            run.stderr
        );
    }
    world.apply().exits(0);
    world.plan().exits(0).says("No changes");
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "1");
}

#[test]
fn f04_a_connection_that_goes_silent_ends_no_run_in_a_wait_without_end() {
    let points = [
        // An observation is retried.
        ("pg_catalog.pg_class", 0),
        // A migration, a seed, and the recording after the last step.
        ("CREATE TABLE items", 6),
        ("\"items\" (", 6),
        ("INSERT INTO trueup.snapshots", 6),
        ("UPDATE trueup.runs", 6),
    ];
    thread::scope(|scope| {
        for (text, code) in points {
            scope.spawn(move || survives_silence_at(text, code));
        }
    });
}
