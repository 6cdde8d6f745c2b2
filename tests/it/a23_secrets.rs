//! No secret appears in any output or file, in any encoding.

use std::fmt::Write as _;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::servers::Redis;
use crate::stores::{Database, Shop, make_business};
use crate::world::World;

/// Returns the encodings of a secret to search for.
fn encodings(secret: &str) -> Vec<String> {
    const LOOSE: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b':').add(b'?').add(b'@');
    let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let json = serde_json::to_string(secret).unwrap();
    let mut found = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, LOOSE).to_string(),
        secret.chars().rev().collect(),
    ];
    // Base64 encodes a text in three ways, depending on its offset; the first and last characters
    // depend on their neighbours.
    for shift in 0..3 {
        let whole = base64(&[&vec![b'x'; shift], secret.as_bytes()].concat());
        let sure = &whole[(shift * 8).div_ceil(6)..secret.len() * 8 / 6];
        found.push(sure.to_owned());
        found.push(sure.replace('+', "-").replace('/', "_"));
    }
    found
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let letters = bits.chunks(6).map(|chunk| {
        let value = chunk.iter().fold(0, |value, bit| value << 1 | bit) << (6 - chunk.len());
        char::from(LETTERS[usize::from(value)])
    });
    letters.collect()
}

#[test]
fn the_encodings_are_what_they_should_be() {
    assert_eq!(base64(b"Man"), "TWFu");
    assert!(encodings("a+b").contains(&"612b62".to_owned()));
    assert!(encodings("secret").iter().any(|encoded| base64(b"xxsecret").contains(encoded.as_str())));
}

/// Returns the content of every file under a folder.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

#[track_caller]
pub(crate) fn absent(secrets: &[String], place: &str, bytes: &[u8]) {
    for encoded in secrets.iter().flat_map(|secret| encodings(secret)) {
        let hit = bytes.windows(encoded.len()).any(|window| window.eq_ignore_ascii_case(encoded.as_bytes()));
        assert!(!hit, "{place} has {encoded:?}");
    }
}

#[test]
fn a23_no_secret_is_in_any_output_or_file_under_any_encoding() {
    for database in Database::both() {
        let password = "pä ss/wörd+&%-?Zebra42";
        let redis = Redis::with_password("red/is+se cret%Quagga77");
        let world = World::new();
        make_business(&world, "business.db");
        let more = "cache:\n  url: ${REDIS_URL}\n  streams: { jobs: { groups: [workers] } }\n".to_owned();
        Shop { more, ..Shop::default() }.write(&world, &database);
        world.env("ADMIN_PASSWORD", password).env("REDIS_URL", redis.url());
        let secrets = [password, "red/is+se cret%Quagga77", "for-tests-only"].map(str::to_owned);
        // The key of a test server is part of its address, which is not passed on the command line.
        let seen = |name: &str, run: &crate::world::Run| {
            absent(&secrets, &format!("stdout of {name}"), run.stdout.as_bytes());
            absent(&secrets, &format!("stderr of {name}"), run.stderr.as_bytes());
        };

        let commands: [&[&str]; 12] = [
            &["validate"],
            &["-vvv", "plan", "--out", "plan.json"],
            &["plan", "--format", "json"],
            &["plan", "--format", "markdown"],
            &["-vvv", "apply", "plan.json"],
            &["observe", "--out", "world.json"],
            &["plan", "--world", "world.json", "--format", "json"],
            &["status", "--format", "json"],
            &["history", "--format", "json"],
            &["graph", "--format", "dot"],
            &["lock", "status"],
            &["apply", "--auto-approve", "--format", "json"],
        ];
        for command in commands {
            let run = world.trueup(command);
            run.exits(0);
            seen(&command.join(" "), &run);
        }

        for (path, bytes) in files(&world.path("")) {
            absent(&secrets, &path, &bytes);
        }
        if let Database::Postgres(postgres) = &database {
            // Not with `pg_dump`, because an older one rejects a newer server.
            let rows = postgres.psql("SET xmlbinary = hex; SELECT database_to_xml(true, false, '')");
            assert!(rows.contains("<trueup>") && rows.contains("argon2id"), "{rows}");
            let texts = "SELECT description FROM pg_description; SELECT prosrc FROM pg_proc; \
                         SELECT setconfig FROM pg_db_role_setting; SELECT definition FROM pg_views";
            absent(&secrets, "the rows", rows.as_bytes());
            absent(&secrets, "the definitions", postgres.psql(texts).as_bytes());
        }
        let hash = database.query(&world, "SELECT password_hash FROM users WHERE username = 'admin'");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
    }
}

#[test]
fn a23_a_literal_secret_of_a_migration_is_shown_nowhere() {
    let database = crate::servers::Postgres::start();
    let world = World::new();
    let role = format!("{}_role", database.name());
    world.env("DATABASE_URL", database.url()).spec(crate::stacks::MIGRATIONS);
    world.file(
        "migrations/0001_server.sql",
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;\n\
         CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (user 'u', password 'Zebra-4242');\n\
         CREATE VIEW elsewhere AS SELECT 'postgres://u:Quagga-7777@h/d' AS url, 'host=h password=Okapi-9999' AS more;",
    );
    world.file(
        "migrations/repeatable/names.sql",
        "CREATE OR REPLACE VIEW n AS SELECT 'redis://:Tapir-5555@h/0' AS url;",
    );
    world.file(
        "migrations/0002_role.sql",
        format!("CREATE TABLE kept (a int);\nALTER ROLE {role}\n  PASSWORD 'Numbat-3131';"),
    );
    world.file(
        "migrations/0003_never.sql",
        format!("CREATE ROLE {role} PASSWORD 'Dugong-8686' 'Dugong-8686';"),
    );
    let secrets = ["Zebra-4242", "Quagga-7777", "Okapi-9999", "Tapir-5555", "Numbat-3131", "Dugong-8686"];
    let secrets = secrets.map(str::to_owned);
    let run = |exit: i32, command: &[&str]| {
        let run = world.trueup(command);
        run.exits(exit);
        absent(&secrets, &format!("stdout of {}", command.join(" ")), run.stdout.as_bytes());
        absent(&secrets, &format!("stderr of {}", command.join(" ")), run.stderr.as_bytes());
        run
    };

    run(0, &["validate"]);
    run(0, &["migration", "lint"]).says("literal-secret").says("0001_server.sql:2");
    run(0, &["-vvv", "plan", "--out", "plan.json"]).says("literal-secret");
    run(0, &["plan", "--format", "json"]).says("password '…'");
    run(0, &["plan", "--format", "markdown"]).says("password '…'");
    run(0, &["show", "plan.json"]);
    run(0, &["plan", "--rehearse"]).says("changes more than its own database");
    let failed = run(6, &["-vvv", "apply", "plan.json"]);
    failed.says("0002_role.sql, line 2").says("ALTER ROLE");
    // The third fails at the text itself, which the server quotes in its message.
    database.on_server(&format!("CREATE ROLE {role}"));
    run(6, &["apply", "--auto-approve", "--format", "json"]).says("at or near");
    let runs = world.trueup(&["history", "--format", "json"]).events();
    run(0, &["history", runs[0]["id"].as_str().unwrap()]).says("0003_never");
    run(0, &["observe", "--out", "world.json"]);
    run(0, &["plan", "--world", "world.json", "--format", "json"]);
    std::fs::remove_file(world.path("migrations/0003_never.sql")).unwrap();
    run(0, &["apply", "--auto-approve"]);
    database
        .psql("CREATE OR REPLACE VIEW elsewhere AS SELECT 'postgres://v:Quagga-7777@h/d' AS url, '' AS more");
    run(2, &["drift"]).says("elsewhere");

    for name in ["plan.json", "world.json"] {
        absent(&secrets, name, world.read(name).as_bytes());
    }
    let dump =
        std::process::Command::new("pg_dump").args(["--schema", "trueup"]).arg(database.url()).output();
    absent(&secrets, "the bookkeeping", &dump.unwrap().stdout);
    database.on_server(&format!("DROP ROLE {role}"));
}
