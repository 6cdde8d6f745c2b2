//! A27: a pooler in front of the system database.

use std::time::{Duration, Instant};

use crate::servers::{PgBouncer, Postgres, psql};
use crate::world::World;

const SPEC: &str = "version: 1
stack: pooled
environment: dev
system:
  url: ${DATABASE_URL}
  migrations: migrations
";

fn world(url: String) -> World {
    let world = World::new();
    world.env("DATABASE_URL", url).spec(SPEC);
    world.file("migrations/0001_a.sql", "CREATE TABLE a (x int);");
    world
}

/// Nothing of a run may remain in the sessions that the pooler reuses for others.
fn assert_no_lock(postgres: &Postgres) {
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()";
    assert_eq!(postgres.psql(locks), "0");
}

#[test]
fn a27_a_pooler_in_transaction_mode_is_refused_before_anything_is_locked() {
    let postgres = Postgres::start();
    for settings in ["", "server_round_robin = 1", "default_pool_size = 1", "default_pool_size = 2"] {
        let pooler = PgBouncer::start(&postgres, "transaction", settings);
        let world = world(pooler.url());
        // Several backends are open and idle, as on a pooler in use.
        for _ in 0..3 {
            psql(&pooler.url(), "SELECT 1");
        }

        let began = Instant::now();
        let applied = world.apply();

        applied.exits(1).warns("pooler in transaction mode").warns("session mode");
        assert!(began.elapsed() < Duration::from_secs(20), "{settings}: {:?}", began.elapsed());
        assert_no_lock(&postgres);
        assert_eq!(postgres.psql("SELECT to_regclass('a') IS NULL"), "t");
    }
}

#[test]
fn a27_a_pooler_in_transaction_mode_is_refused_while_other_clients_use_it() {
    let postgres = Postgres::start();
    let pooler = PgBouncer::start(&postgres, "transaction", "default_pool_size = 5");
    let world = world(pooler.url());
    let stop = std::sync::atomic::AtomicBool::new(false);

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    psql(&pooler.url(), "SELECT pg_sleep(0.002); SELECT pg_sleep(0.003)");
                }
            });
        }
        let applied: Vec<_> = (0..5).map(|_| world.apply()).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for applied in applied {
            applied.exits(1).warns("pooler in transaction mode");
        }
    });

    assert_no_lock(&postgres);
}

#[test]
fn a27_who_asks_about_the_lock_through_a_pooler_is_told_what_is_in_the_way() {
    let postgres = Postgres::start();
    world(postgres.url()).apply().exits(0);
    let pooler = PgBouncer::start(&postgres, "transaction", "default_pool_size = 2");
    let world = world(pooler.url());

    for command in [&["lock", "status"][..], &["lock", "break", "01890a5d"]] {
        for _ in 0..3 {
            let run = world.trueup(command);

            run.exits(1).warns("pooler in transaction mode").warns("session mode");
            run.never_says("prepared statement").never_says("at line");
        }
    }
}

#[test]
fn a27_plan_through_a_pooler_in_transaction_mode_takes_no_lock_and_prepares_nothing() {
    let postgres = Postgres::start();
    let pooler = PgBouncer::start(&postgres, "transaction", "default_pool_size = 1");
    let world = world(pooler.url());

    let plans = [world.trueup(&["plan"]), world.trueup(&["plan"])];

    // Either no dedicated session is needed, or the error explains why there is none.
    for plan in plans {
        match plan.code {
            Some(0) => plan.says("system.migration.0001_a"),
            _ => plan.exits(1).warns("pooler in transaction mode"),
        };
        plan.never_says("sqlx_s_");
    }
}

#[test]
fn a27_a_pooler_in_session_mode_does_for_all_commands() {
    let postgres = Postgres::start();
    let pooler = PgBouncer::start(&postgres, "session", "");
    let world = world(pooler.url());

    world.plan().exits(2);
    world.apply().exits(0);
    world.plan().exits(0);
    world.apply().exits(0).says("No changes");
    world.trueup(&["lock", "status"]).exits(0).says("the lock is free");

    assert_no_lock(&postgres);
    assert_eq!(postgres.psql("SELECT count(*) FROM a"), "0");
}

#[test]
fn a27_a_pool_that_is_too_small_is_named_within_bounded_time() {
    let postgres = Postgres::start();
    let pooler = PgBouncer::start(&postgres, "session", "default_pool_size = 1\nquery_wait_timeout = 3");
    let world = world(pooler.url());

    let began = Instant::now();
    world.apply().exits(1).warns("cannot take the lock");

    assert!(began.elapsed() < Duration::from_mins(1));
}
