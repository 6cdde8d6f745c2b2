//! F08: memory stays bounded for any number of rows of a seed and for any response of a server.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::servers::Redis;
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

/// Writes a stack with this many rows of four columns.
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

    // The memory of batches and of the program itself is the same for both.
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
        // A hole in a sparse file takes no space on disk.
        let file = std::fs::File::create(world.path(name)).unwrap();
        file.set_len(2 << 30).unwrap();

        let refused = world.trueup(&["validate"]);

        refused.exits(1).warns(name).warns("it has 2048 MiB, which is too large").warns(limit);
    }
}

/// Opens a port in front of a Redis that answers with a flood once a client sends a given text.
fn flooding(redis: u16, at: &'static str, flood: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            thread::spawn(move || flood_at(client, redis, at, flood));
        }
    });
    port
}

/// Forwards requests, up to one that is answered with a flood. Ends with an error when the client
/// disconnects.
fn flood_at(mut client: TcpStream, redis: u16, at: &str, flood: &[u8]) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", redis))?;
    let (mut answers, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return server.shutdown(std::net::Shutdown::Both);
        }
        if buffer[..count].windows(at.len()).any(|window| window == at.as_bytes()) {
            break;
        }
        server.write_all(&buffer[..count])?;
    }
    let (head, rest) = flood.split_at(flood.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    client.write_all(head)?;
    let many = rest.repeat((1 << 20) / rest.len());
    loop {
        client.write_all(&many)?;
    }
}

#[test]
#[cfg(target_os = "linux")]
fn f08_an_answer_of_redis_without_end_is_an_error_and_takes_no_memory() {
    const MOST: u64 = 400 << 20;
    let redis = Redis::start();
    for (at, flood) in [
        // At the first request: a text of 10 GB, a list of a billion items, an endless line and an
        // endless list.
        ("HELLO", b"$10000000000\r\nx".as_slice()),
        ("CONFIG", b"$10000000000\r\nx"),
        ("CONFIG", b"*1000000000\r\n_\r\n"),
        ("CONFIG", b"*1000000000\r\n*0\r\n"),
        ("SCAN", b"*1000000000\r\n+x\r\n"),
        ("XINFO", b"-ERR no\nx"),
    ] {
        let world = World::new();
        let port = flooding(redis.port(), at, flood);
        world.spec(&format!(
            "version: 1\nstack: flood\nenvironment: dev\nsystem: {{ url: 'sqlite://app.db', create_database: true }}\n\
             cache:\n  url: redis://127.0.0.1:{port}/0\n  config: {{ maxmemory: 64mb }}\n  streams: {{ jobs: {{}} }}\n\
             \x20 namespaces: {{ a: {{ prefix: 'a:', ttl: 1h }} }}\n"
        ));

        let mut running = world.start(&["plan"]);
        let mut peak = 0;
        while running.is_running() {
            peak = running.peak_memory().unwrap_or(peak);
            thread::sleep(std::time::Duration::from_millis(2));
        }

        let text = String::from_utf8_lossy(flood).into_owned();
        println!("{at} {text:?}: {} MiB", peak >> 20);
        running
            .ends()
            .exits(3)
            .says("it sent an answer of more than 8 MB")
            .says(&format!("127.0.0.1:{port}"));
        assert!(peak > 0 && peak < MOST, "{at} {text:?}: {} MiB", peak >> 20);
    }
}
