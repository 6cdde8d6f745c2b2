//! F09: a user approves after a long time, when the connections are already closed: the run
//! continues.

use std::io::Write as _;

use crate::a22_locking;
use crate::a26_interrupt::on_a_terminal;
use crate::servers::{Postgres, Redis, Wire, wait_until};
use crate::world::World;

fn world(url: &str, redis: &str) -> World {
    let world = a22_locking::world(url, "CREATE TABLE items (id text PRIMARY KEY);");
    let rest = "  seeds: { items: { table: items, key: [id], rows: items.csv } }\n\
                cache:\n  url: ${REDIS_URL}\n  streams: { jobs: { groups: [workers] } }\n";
    world.env("REDIS_URL", redis);
    world.spec(&format!("{}{rest}", world.read("stack.yaml"))).file("items.csv", "id\na\nb\n");
    world
}

/// Answers the question of `apply` after a given event.
fn answered_late(world: &World, meanwhile: impl FnOnce()) -> (Option<i32>, String) {
    let (mut child, mut typed) = on_a_terminal(world);
    wait_until("the question", || world.read("said").contains("as approval:"));
    meanwhile();
    typed.write_all(b"yes\n").unwrap();
    let code = child.wait().unwrap().code();
    (code, world.read("said"))
}

/// Ends all sessions of runs, and waits until the one that holds the lock has noticed.
fn end_sessions(postgres: &Postgres) {
    postgres.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'trueup/%'",
    );
    std::thread::sleep(std::time::Duration::from_millis(2500));
}

#[test]
fn f09_a_plan_that_is_approved_after_the_connections_were_closed_is_applied() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let port = url::Url::parse(&postgres.url()).unwrap().port().unwrap();
    let wire = Wire::before(port);
    let through = postgres.url().replace(&format!(":{port}/"), &format!(":{}/", wire.port()));
    let world = world(&through, &redis.url());

    let (code, said) = answered_late(&world, || {
        wire.cut_all();
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        std::thread::sleep(std::time::Duration::from_millis(2500));
    });
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is taken again") && said.matches("as approval:").count() == 1, "{said}");
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "2");

    world.file("items.csv", "id\na\nb\nc\n");
    let (code, said) = answered_late(&world, || end_sessions(&postgres));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "3");
    world.plan().exits(0).says("No changes");
}

#[test]
fn f09_what_another_run_did_meanwhile_is_not_done_twice_and_what_changed_is_asked_again() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let world = world(&postgres.url(), &redis.url());
    world.apply().exits(0);

    // Another run does the same meanwhile.
    world.file("items.csv", "id\na\nb\nc\n");
    let (code, said) = answered_late(&world, || {
        end_sessions(&postgres);
        world.apply().exits(0);
    });
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(postgres.psql("SELECT count(*) FROM trueup.runs"), "2", "{said}");

    // Another session holds the lock by then.
    world.file("items.csv", "id\na\nb\nc\nd\n").file("migrations/0002_slow.sql", "SELECT pg_sleep(20);");
    let mut other = None;
    let (code, said) = answered_late(&world, || {
        end_sessions(&postgres);
        other = Some(a22_locking::started(&world, "system.migration.0002_slow"));
    });
    assert_eq!(code, Some(4), "{said}");
    other.unwrap().kill();
}
