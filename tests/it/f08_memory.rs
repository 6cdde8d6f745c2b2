//! F08: memory stays bounded, however many rows a seed has.

use std::fmt::Write as _;

use crate::world::World;

const SPEC: &str = "\
version: 1
stack: rows
environment: dev
flags: { seed_demo_data: true, enable_target_db: false, auto_train_vector: false }
system:
  url: sqlite://app.db
  create_database: true
  migrations: migrations
  seeds:
    many: { when: seed_demo_data, table: items, key: [id], rows: rows.csv, mode: mirror }
";

/// A stack with so many rows of four columns.
fn stack_of(rows: usize) -> World {
    let world = World::new();
    let mut csv = "id,name,price,made_at\n".to_owned();
    for n in 0..rows {
        writeln!(csv, "{n},item {n},{}.50,2026-01-01", n % 1000).unwrap();
    }
    world.spec(SPEC).file("rows.csv", csv).file(
        "migrations/0001_items.sql",
        "CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric, made_at text);",
    );
    world
}

/// The peak memory in bytes of a command that must succeed, once for each of the commands.
fn peaks(world: &World, commands: &[&[&str]]) -> Vec<u64> {
    let peak = |arguments: &&[&str]| {
        let mut running = world.start(arguments);
        let mut peak = 0;
        while running.is_running() {
            peak = running.peak_memory().unwrap_or(peak);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        running.ends().exits(0);
        peak
    };
    commands.iter().map(peak).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn f08_a_row_of_a_seed_costs_some_hundred_bytes_of_memory_at_most() {
    const MOST: u64 = 400;
    const APPLY: &[&str] = &["apply", "--auto-approve"];
    const PLAN: &[&str] = &["plan"];
    let (few, many) = (5_000, 25_000);
    let commands = [PLAN, APPLY, PLAN, APPLY];

    // What batches and the program itself take is the same for both.
    let [of_few, of_many] = [few, many].map(|rows| {
        let world = stack_of(rows);
        let mut peaks = peaks(&world, &commands);
        world.spec(&SPEC.replace("seed_demo_data: true", "seed_demo_data: false"));
        peaks.extend(self::peaks(&world, &[PLAN, APPLY]));
        peaks
    });

    let added = u64::try_from(many - few).unwrap();
    let a_row: Vec<u64> =
        of_few.iter().zip(&of_many).map(|(few, many)| many.saturating_sub(*few) / added).collect();
    assert!(of_few.iter().all(|peak| *peak > 0), "no peak was read: {of_few:?}");
    assert!(a_row.iter().all(|bytes| *bytes <= MOST), "bytes a row of each command: {a_row:?}");
}

#[test]
fn f08_a_file_of_rows_that_is_too_large_is_refused_before_it_is_read() {
    for (name, limit) in [("rows.csv", "1024 MiB"), ("rows.json", "64 MiB")] {
        let world = stack_of(1);
        world.spec(&SPEC.replace("rows.csv", name));
        // Of a hole in a file nothing is on the disk.
        let file = std::fs::File::create(world.path(name)).unwrap();
        file.set_len(2 << 30).unwrap();

        let refused = world.trueup(&["validate"]);

        refused.exits(1).warns(name).warns("it has 2048 MiB, which is too large").warns(limit);
    }
}
