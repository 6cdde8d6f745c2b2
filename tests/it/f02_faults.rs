//! F02: faults in single exchanges with a store. The harness is `scripts/faults`; this runs each
//! fault once for each store.

use std::path::Path;
use std::process::Command;

use crate::servers::{Chroma, Fault, Postgres, Wire, run};
use crate::world::World;

/// Parses the numbers of the last line, `N faults at N exchanges, N fell short, N not reached; N
/// s`.
fn figures(line: &str) -> Option<[u32; 4]> {
    let numbers = line.split([',', ';']).flat_map(str::split_whitespace).filter_map(|word| word.parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    let [faults, exchanges, fell_short, not_reached, _seconds] = *numbers.as_slice() else { return None };
    Some([faults, exchanges, fell_short, not_reached])
}

#[test]
fn f02_each_fault_in_front_of_each_store_is_told_truly_and_mended_by_the_next_run() {
    /// 10 for PostgreSQL and Redis, 12 for Chroma.
    const POINTS: u32 = 32;
    let (postgres, chroma) = (Postgres::start(), Chroma::start());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/faults");
    let mut command = Command::new("python3");
    command.arg(script).args([
        "--binary",
        env!("CARGO_BIN_EXE_trueup"),
        "--each",
        "1",
        "--jobs",
        "8",
        "--deadline",
        "200",
    ]);
    command.env("TRUEUP_TEST_POSTGRES", postgres.url_of("postgres")).env("TRUEUP_TEST_CHROMA", chroma.url());

    // It fails with the location if a fault was not handled.
    let output = run(&mut command);

    let last = output.lines().last().unwrap_or_default();
    let [faults, exchanges, fell_short, not_reached] = figures(last).unwrap_or_else(|| panic!("{output}"));
    assert_eq!(fell_short, 0, "{output}");
    // The number of exchanges varies a little between runs.
    assert_eq!(faults + not_reached, POINTS, "{output}");
    assert!(not_reached <= 3, "{output}");
    assert!(exchanges >= 100, "{output}");
    for store in ["postgres", "chroma", "redis"] {
        assert!(output.contains(&format!("{store}: ")), "{output}");
    }
}

#[test]
fn f02_a_database_that_cannot_be_made_is_looked_for_and_the_exit_code_says_that_nothing_was_changed() {
    let postgres = Postgres::start();
    let server = url::Url::parse(&postgres.url()).unwrap();
    let wire = Wire::before(server.port().unwrap());
    let (mut url, name) = (server.clone(), format!("{}_made", server.path().trim_start_matches('/')));
    url.set_port(Some(wire.port())).unwrap();
    url.set_path(&name);
    let world = World::new();
    world.env("DATABASE_URL", url.as_str()).spec(
        "version: 1\nstack: made\nenvironment: dev\nflags: { seed_demo_data: false }\n\
         system: { url: '${DATABASE_URL}', create_database: true }\n",
    );
    let is_there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");

    wire.fail_at("CREATE DATABASE", Fault::Cut, 99);
    let never = world.apply();
    let made = postgres.psql(&is_there);
    let tries = wire.failures();
    wire.fail_at("CREATE DATABASE", Fault::Cut, 1);
    let at_last = world.apply();

    never.exits(1).says("the connection was lost; it was not made").says("run the same command again");
    assert_eq!((made.as_str(), tries), ("0", 2));
    at_last.exits(0);
    assert_eq!((postgres.psql(&is_there).as_str(), wire.failures()), ("1", 3));
    // PostgreSQL 12 has no WITH (FORCE).
    postgres
        .psql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    postgres.psql(&format!("DROP DATABASE {name}"));
}
