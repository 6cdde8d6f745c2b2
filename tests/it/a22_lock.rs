//! Two concurrent runs. The first is blocked by its cache, which answers when the test allows it.

use std::time::{Duration, Instant};

use crate::servers::{Redis, Wire};
use crate::stores::{Database, Shop};
use crate::world::{Running, World};

/// Creates a world whose `slow.yaml` adds a cache that does not answer yet, and the handle to
/// release it.
struct Held {
    world: World,
    database: Database,
    wire: Wire,
    _redis: Redis,
}

impl Held {
    fn new(database: Database) -> Self {
        let (world, redis) = (World::new(), Redis::start());
        let wire = Wire::closed(redis.port());
        Shop::default().write(&world, &database);
        world.apply().exits(0);
        let url = format!("redis://127.0.0.1:{}/0", wire.port());
        world.file(
            "slow.yaml",
            format!(
                "extends: stack.yaml\ncache:\n  url: {url}\n  streams: {{ jobs: {{ groups: [workers] }} }}\n"
            ),
        );
        Self { world, database, wire, _redis: redis }
    }

    /// Starts an apply, and waits until it holds the lock.
    fn hold(&self) -> Running {
        let mut first = self.world.start(&["--file", "slow.yaml", "apply", "--auto-approve"]);
        let start = Instant::now();
        while self.wire.connections() == 0 {
            assert!(first.is_running() && start.elapsed() < Duration::from_secs(20), "{:?}", first.ends());
            std::thread::sleep(Duration::from_millis(5));
        }
        first
    }

    /// Adds a change for the second run.
    fn change(&self) {
        self.world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n4,stamp\n");
    }

    fn items(&self) -> String {
        self.database.query(&self.world, "SELECT count(*) FROM items")
    }
}

#[test]
fn a22_the_second_of_two_applies_exits_4_and_says_who_holds_the_lock_since_when() {
    for held in Database::both().map(Held::new) {
        let first = held.hold();
        held.change();

        let second = held.world.apply();
        let status = held.world.trueup(&["lock", "status"]);
        held.wire.open();

        let first = first.ends();
        first.exits(0);
        second.exits(4).warns("another run holds the lock since 20");
        status.exits(4).says("holds the lock since 20");
        let run = status.stdout.split_whitespace().nth(1).unwrap().to_owned();
        second.warns(&run);
        assert!(held.world.trueup(&["history"]).stdout.contains(&run), "the first run is {run}");
        assert_eq!(held.items(), "3", "the second run did nothing");
        held.world.trueup(&["lock", "status"]).exits(0).says("the lock is free");
    }
}

#[test]
fn a22_with_lock_timeout_the_second_waits_for_its_turn() {
    for held in Database::both().map(Held::new) {
        let first = held.hold();
        held.change();
        let mut second = held.world.start(&["apply", "--auto-approve", "--lock-timeout", "30s"]);
        std::thread::sleep(Duration::from_millis(400));
        let waited = second.is_running();

        held.wire.open();

        assert!(waited);
        first.ends().exits(0);
        second.ends().exits(0);
        assert_eq!(held.items(), "4");
    }
}

#[test]
fn a22_a_lock_timeout_that_ends_is_exit_4() {
    for held in Database::both().map(Held::new) {
        let first = held.hold();
        let start = Instant::now();

        held.world.trueup(&["apply", "--auto-approve", "--lock-timeout", "500ms"]).exits(4);

        assert!(start.elapsed() >= Duration::from_millis(500));
        held.wire.open();
        first.ends().exits(0);
    }
}

#[test]
fn a22_a_killed_holder_frees_the_lock_by_itself() {
    for held in Database::both().map(Held::new) {
        let first = held.hold();
        held.change();

        first.signal("KILL");
        let killed = first.ends();
        let next = held.world.trueup(&["apply", "--auto-approve", "--lock-timeout", "10s"]);

        assert_eq!(killed.code, None);
        next.exits(0);
        assert_eq!(held.items(), "4");
    }
}

#[test]
fn a22_a_plan_does_not_need_the_lock() {
    for held in Database::both().map(Held::new) {
        let first = held.hold();
        held.change();

        let plan = held.world.plan();

        held.wire.open();
        first.ends().exits(0);
        plan.exits(2).says("system.seed.items");
    }
}

#[test]
fn a22_lock_break_ends_the_session_of_a_run_on_postgresql_and_refuses_a_living_file() {
    for held in Database::both().map(Held::new) {
        let first = held.hold();
        let status = held.world.trueup(&["lock", "status"]).stdout;
        let run = status.split_whitespace().nth(1).unwrap();

        held.world.trueup(&["lock", "break", "another-run"]).exits(1).warns(run);
        held.world.trueup(&["lock", "break", ""]).exits(64);
        let broken = held.world.trueup(&["lock", "break", &run[run.len() - 8..]]);

        match held.database {
            Database::Sqlite => {
                broken.exits(1).warns("is alive");
                held.wire.open();
                first.ends().exits(0);
            }
            Database::Postgres(_) => {
                broken.exits(0).says(run);
                held.world.trueup(&["lock", "status"]).exits(0);
                held.world.trueup(&["lock", "break", "another-run"]).exits(1).warns("nor by anybody else");
                first.signal("KILL");
                first.ends();
            }
        }
    }
}

#[test]
fn a22_lock_commands_need_the_address_of_the_system_database_alone() {
    let world = World::new();
    world.sqlite("s.db", "CREATE TABLE t (id int)");
    let spec = |system: &str| {
        format!(
            "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: '{system}'\n\
             \x20 users: {{ admin: {{ password: '${{UNSET_PASSWORD}}' }} }}\n\
             targets: {{ business: {{ url: '${{UNSET_TARGET}}' }} }}\n\
             vector: {{ url: '${{UNSET_CHROMA}}', embedder: {{ kind: hashing }}, collections: {{}} }}\n\
             cache: {{ url: '${{UNSET_REDIS}}' }}\n"
        )
    };
    world.spec(&spec("sqlite://s.db"));
    world.trueup(&["lock", "status"]).exits(0).says("the lock is free");
    world.trueup(&["lock", "break", "a-run"]).exits(1).warns("a-run").never_says("UNSET");
    world.spec(&spec("${UNSET_SYSTEM}"));
    for command in [&["lock", "status"][..], &["lock", "break", "a-run"]] {
        let run = world.trueup(command);
        run.exits(1).warns("UNSET_SYSTEM").warns("stack.yaml:5").never_says("UNSET_REDIS");
    }
}
