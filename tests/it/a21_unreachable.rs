//! Servers that do not run, or not yet.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::servers::{Postgres, Wire, free_port};
use crate::stores::{Database, Shop, entry};
use crate::world::World;

/// Upper limit for the duration of a failed attempt, on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

fn with_database(url: &str) -> World {
    let world = World::new();
    Shop::default().write(&world, &Database::Sqlite);
    world.env("DATABASE_URL", url);
    world
}

#[test]
fn a21_a_database_that_refuses_is_an_error_with_its_address_and_without_its_password() {
    let port = free_port();
    let world = with_database(&format!("postgres://app:not%2Fto-be-shown@127.0.0.1:{port}/shop"));
    let start = Instant::now();

    for command in
        [&["plan"][..], &["apply", "--auto-approve"], &["observe", "--out", "w.json"], &["history"]]
    {
        let run = world.trueup(command);

        run.exits(1).warns("system").warns(&format!("127.0.0.1:{port}"));
        run.never_says("to-be-shown").never_says("not%2F").never_says("panicked");
        assert_eq!(run.stdout, "");
    }
    assert!(start.elapsed() < BOUND * 2, "{:?}", start.elapsed());
}

#[test]
fn a21_an_unknown_host_is_named() {
    let world = with_database("postgres://app:not-to-be-shown@no-such-host.invalid:5432/shop");
    let start = Instant::now();

    let run = world.trueup(&["plan"]);

    run.exits(1).warns("system").warns("no-such-host.invalid").never_says("not-to-be-shown");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

/// Emulates a PostgreSQL server of a given version until the first query, then closes the session.
fn greet(client: &mut TcpStream, version: &str) -> std::io::Result<()> {
    const TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut message = [0; 1024];
    let mut length = client.read(&mut message)?;
    if message[..length] == TLS {
        client.write_all(b"N")?;
        length = client.read(&mut message)?;
    }
    assert!(length > 8, "no start-up message");
    let said = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    };
    let parameter = format!("server_version\0{version}\0");
    let hello =
        [said(b'R', &[0; 4]), said(b'S', parameter.as_bytes()), said(b'K', &[1; 8]), said(b'Z', b"I")];
    client.write_all(&hello.concat())?;
    client.read(&mut message).map(|_| ())
}

#[test]
fn a21_a_server_older_than_postgresql_12_is_refused_in_plain_words() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // A client that disconnects early will not send a query.
            let _ = greet(&mut client.unwrap(), "11.22 (Debian 11.22-1)");
        }
    });
    let world = with_database(&format!("postgres://app:not-to-be-shown@{address}/shop"));

    for command in [&["plan"][..], &["observe", "--out", "w.json"], &["status"]] {
        let run = world.trueup(command);

        run.exits(1).never_says("not-to-be-shown");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(&format!("PostgreSQL 11.22 at {address}/shop is too old: 12 is")), "{said}");
    }
    world.plan().warns("upgrade that server");
}

#[test]
fn a21_a_server_that_never_answers_is_given_up_when_refresh_timeout_ends() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let world = with_database(&format!("postgres://app:not-to-be-shown@{address}/shop"));
    let start = Instant::now();

    let run = world.trueup(&["plan", "--refresh-timeout", "1s"]);

    run.exits(1).warns("longer than 1s").never_says("not-to-be-shown");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

#[test]
fn a21_a_wrong_password_is_said_as_that() {
    let postgres = Postgres::start();
    let world = with_database(&postgres.url().replace(":for-tests-only@", ":the-wrong-one@"));

    let run = world.trueup(&["apply", "--auto-approve", "--wait", "30s"]);

    run.exits(1).warns("system").warns("password authentication failed").never_says("the-wrong-one");
}

#[test]
fn a21_wait_uses_a_server_that_comes_up_in_time() {
    let postgres = Postgres::start();
    let server = url::Url::parse(&postgres.url()).unwrap().port().unwrap();
    let port = free_port();
    let world = with_database(&postgres.url().replace(&format!(":{server}/"), &format!(":{port}/")));

    let mut apply = world.start(&["apply", "--auto-approve", "--wait", "30s"]);
    std::thread::sleep(Duration::from_millis(700));
    assert!(apply.is_running(), "{:?}", apply.ends());
    let wire = Wire::on(port, server);

    let run = apply.ends();
    run.exits(0).warns("waiting").never_says("for-tests-only");
    assert!(wire.connections() > 0);
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "3");
}

#[test]
fn a21_a_database_that_goes_away_in_the_middle_is_an_apply_in_part() {
    let postgres = Postgres::start();
    let world = World::new();
    world.spec(
        "version: 1\nstack: shop\nenvironment: dev\n\
         system: { url: \"${DATABASE_URL}\", migrations: migrations }\n",
    );
    world.env("DATABASE_URL", postgres.url());
    world.file("migrations/0001_a.sql", "CREATE TABLE a (id integer);");
    world.file("migrations/0002_b.sql", "CREATE TABLE b (id integer); SELECT pg_sleep(30);");
    let apply = world.start(&["apply", "--auto-approve"]);
    let name = postgres.name().to_owned();
    let sleeping = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE '%pg_sleep(30)%' \
         AND state = 'active'"
    );
    while postgres.on_server(&sleeping) != "1" {
        std::thread::sleep(Duration::from_millis(50));
    }

    postgres.on_server(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false"));
    postgres.on_server(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    ));

    let ended = apply.ends();
    ended.exits(6).says("done system.migration.0001_a").says("failed system.migration.0002_b");
    ended.warns("goes on from here");
    postgres.on_server(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true"));
    assert_eq!(postgres.psql("SELECT to_regclass('a') IS NOT NULL, to_regclass('b') IS NULL"), "t|t");
}

#[test]
fn a21_a_server_that_lets_nobody_in_says_what_it_refuses() {
    let postgres = Postgres::start();
    let account = format!("guest_{}", postgres.name());
    postgres.psql(&format!(
        "CREATE ROLE {account} LOGIN PASSWORD 'for-tests-only'; REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        postgres.name()
    ));
    let (_, place) =
        postgres.url().rsplit_once('@').map(|(user, place)| (user.to_owned(), place.to_owned())).unwrap();
    let refusals = [
        (format!("postgres://{account}:not-its-own@{place}"), "check user and password"),
        (format!("postgres://{account}:for-tests-only@{place}"), "GRANT CONNECT ON DATABASE"),
    ];

    for (url, help) in refusals {
        for command in [&["plan"][..], &["apply", "--auto-approve"], &["lock", "status"]] {
            let run = with_database(&url).trueup(command);

            run.exits(1).warns(help).never_says("check that it runs").never_says("at line");
            run.never_says("not-its-own").never_says("for-tests-only");
        }
    }
    postgres.psql(&format!("DROP ROLE {account}"));
}

#[test]
fn a21_wait_ends_when_nobody_comes() {
    let port = free_port();
    let world = with_database(&format!("postgres://app:not-to-be-shown@127.0.0.1:{port}/shop"));
    let start = Instant::now();

    let run = world.trueup(&["apply", "--auto-approve", "--wait", "1s"]);

    run.exits(1).warns(&format!("127.0.0.1:{port}")).never_says("not-to-be-shown");
    assert!((Duration::from_secs(1)..BOUND).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[test]
fn a21_other_stores_that_are_down_are_failed_checks_with_their_addresses() {
    let (chroma, redis) = (free_port(), free_port());
    let world = World::new();
    let more = format!(
        "vector:\n  url: http://127.0.0.1:{chroma}\n  token: ${{TOKEN}}\n  embedder: {{ kind: hashing }}\n  \
         collections: {{ docs: {{ from: {{ files: [notes.md] }} }} }}\n\
         cache:\n  url: redis://:${{REDIS_PASSWORD}}@127.0.0.1:{redis}/0\n  \
         streams: {{ jobs: {{ groups: [workers] }} }}\n"
    );
    Shop { more, ..Shop::default() }.write(&world, &Database::Sqlite);
    world
        .file("notes.md", "Notes.\n")
        .env("TOKEN", "not-to-be-shown")
        .env("REDIS_PASSWORD", "not-to-be-shown");
    let start = Instant::now();

    let run = world.trueup(&["plan", "--train", "--format", "json"]);

    let plan = run.exits(3).never_says("not-to-be-shown").json();
    for (component, port) in [("vector", chroma), ("cache", redis)] {
        let check = entry(&plan, "checks", component);
        assert_eq!(check["status"], "fail");
        assert!(check["message"].as_str().unwrap().contains(&format!("127.0.0.1:{port}")), "{check}");
    }
    assert!(entry(&plan, "blocked", "cache.stream.jobs")["reason"].is_string());
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}
