//! Bad input of every kind: a diagnostic and an exit code within seconds, never a panic.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::stores::{Database, Shop};
use crate::world::{Run, World};

/// Upper limit for the duration of any of these commands in a debug build on a busy machine.
const BOUND: Duration = Duration::from_secs(10);

#[track_caller]
fn refused(world: &World, arguments: &[&str], codes: &[i32], says: &str) -> Run {
    let start = Instant::now();
    let run = world.trueup(arguments);
    assert!(start.elapsed() < BOUND, "{arguments:?} takes {:?}", start.elapsed());
    assert!(run.code.is_some_and(|code| codes.contains(&code)), "{run:?}");
    run.never_says("panicked").warns(says);
    assert_eq!(run.stdout, "");
    run
}

fn shop() -> World {
    let world = World::new();
    Shop::default().write(&world, &Database::Sqlite);
    world
}

/// Every command that reads a spec.
const READERS: [&[&str]; 7] = [
    &["validate"],
    &["plan"],
    &["apply", "--auto-approve"],
    &["observe", "--out", "world.json"],
    &["status"],
    &["history"],
    &["graph"],
];

#[test]
fn no_spec_at_all_is_said_with_what_to_do() {
    let world = World::new();
    for command in READERS {
        refused(&world, command, &[1], "trueup init");
    }
}

#[test]
fn a_spec_that_is_no_text_file_is_refused() {
    let world = World::new();
    std::fs::create_dir(world.path("folder")).unwrap();
    world.file("binary.yaml", [0, 159, 146, 150, 0, 255]).file("latin1.yaml", b"version: 1 # \xe9\n");
    world.file("program.yaml", std::fs::read(env!("CARGO_BIN_EXE_trueup")).unwrap());
    world
        .file("empty.yaml", "")
        .file("word.yaml", "hello\n")
        .file("list.yaml", "- a\n")
        .file("nul.yaml", "a: \0\n");
    world.file("bom.yaml", "\u{feff}");

    let files = [
        "missing.yaml",
        "folder",
        "binary.yaml",
        "latin1.yaml",
        "program.yaml",
        "empty.yaml",
        "word.yaml",
        "list.yaml",
        "nul.yaml",
        "bom.yaml",
        "/dev/null",
    ];
    for file in files {
        for command in READERS {
            refused(&world, &[&["--file", file], command].concat(), &[1], file);
        }
    }
    refused(&world, &["--file", "", "plan"], &[1, 64], "");
}

#[test]
fn a_hundred_megabytes_of_yaml_are_refused_before_they_are_read() {
    let world = World::new();
    let line = "  - { name: something, value: 0123456789012345678901234567890123456789 }\n";
    world.file(
        "large.yaml",
        format!("version: 1\nstack: shop\nlist:\n{}", line.repeat(100_000_000 / line.len())),
    );
    world.spec("version: 1\nstack: shop\nenvironment: dev\nextends: large.yaml\n");
    let start = Instant::now();

    refused(&world, &["--file", "large.yaml", "validate"], &[1], "large.yaml");
    refused(&world, &["plan"], &[1], "large.yaml");

    assert!(start.elapsed() < BOUND);
}

#[test]
fn documents_that_unfold_or_nest_without_end_are_refused() {
    let laughs = ('b'..='i').zip('a'..).map(|(name, of)| {
        let nine = vec![format!("*{of}"); 9].join(", ");
        format!("{name}: &{name} [{nine}]\n")
    });
    let laughs =
        format!("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n{}", laughs.collect::<String>());
    let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let maps = (0..20_000).fold(String::new(), |text, depth| text + &" ".repeat(depth.min(2_000)) + "a:\n");
    let recursive = "a: &a [*a]\n".to_owned();
    let long_line = format!("stack: {}\n", "x".repeat(1_000_000));
    let flow = "{".repeat(50_000);

    for yaml in [laughs, deep, maps, recursive, long_line, flow] {
        let world = World::new();
        world.spec(&yaml);
        let run = refused(&world, &["validate"], &[1], "stack.yaml");
        assert!(run.stderr.len() < 100_000, "{} bytes of diagnostics", run.stderr.len());
    }
}

#[test]
fn thousands_of_errors_do_not_flood() {
    let world = World::new();
    let keys = (0..20_000).fold(String::new(), |text, n| text + &format!("key_{n}: 1\n"));
    world.spec(&format!(
        "version: 1\nstack: shop\nenvironment: dev\nsystem: {{ url: 'sqlite://a.db' }}\n{keys}"
    ));

    refused(&world, &["validate"], &[1], "key_0");
}

#[test]
fn files_that_a_spec_names_and_that_cannot_be_read_are_refused_with_the_place() {
    let spec = |more: &str| {
        format!("version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: sqlite://system.db\n{more}")
    };
    let cases = [
        ("  users: { admin: { password: '${file:nowhere}' } }\n", "nowhere"),
        ("  users: { admin: { password: '${file:folder}' } }\n", "folder"),
        ("  users: { admin: { password: '${file:binary}' } }\n", "binary"),
        ("  migrations: binary\n", "binary"),
        ("  ontologies: { words: binary }\n", "binary"),
        ("  ontologies: { words: folder }\n", "folder"),
        ("  seeds: { rows: { table: t, key: [id], rows: folder } }\n", "folder"),
        ("  seeds: { rows: { table: t, key: [id], rows: binary.csv } }\n", "binary.csv"),
        ("  seeds: { rows: { table: t, key: [id], rows: binary.json } }\n", "binary.json"),
        ("extends: folder\n", "folder"),
        ("extends: binary\n", "binary"),
    ];
    for (more, says) in cases {
        let world = World::new();
        for file in ["binary", "binary.csv", "binary.json"] {
            world.file(file, [0, 159, 146, 150, 10, 255]);
        }
        std::fs::create_dir(world.path("folder")).unwrap();
        world.spec(&spec(more));

        let run = refused(&world, &["plan"], &[1], says);
        run.warns("stack.yaml:");
    }
}

#[test]
fn a_secret_file_that_may_not_be_read_is_refused() {
    let world = shop();
    world.file("secret", "a long enough password");
    std::fs::set_permissions(world.path("secret"), std::fs::Permissions::from_mode(0o000)).unwrap();
    world
        .env("ADMIN_PASSWORD", "unused")
        .spec(&world.read("stack.yaml").replace("${ADMIN_PASSWORD}", "${file:secret}"));
    if std::fs::read(world.path("secret")).is_ok() {
        world.trueup(&["plan"]).exits(0); // Root can read every file.
        return;
    }
    refused(&world, &["plan"], &[1], "stack.yaml:");
}

#[test]
fn addresses_of_the_wrong_kind_are_refused() {
    let wrong = [
        "mysql://127.0.0.1/app",
        "http://127.0.0.1/",
        "file:///tmp/app.db",
        "system.db",
        "",
        "postgres://",
        "sqlite://",
        "sqlite:",
        "postgres://127.0.0.1:99999/app",
        "://",
        "postgres://[::1/app",
        "postgres://127.0.0.1",
        "not an address",
    ];
    for url in wrong {
        let world = shop();
        world.env("DATABASE_URL", url);
        for command in [&["validate"][..], &["plan"], &["apply", "--auto-approve"]] {
            refused(&world, command, &[1], "stack.yaml:6");
        }
    }
}

#[test]
fn a_plan_that_is_none_is_refused() {
    let world = shop();
    std::fs::create_dir(world.path("folder")).unwrap();
    world.file("empty.json", "").file("text.json", "hello").file("list.json", "[]").file("object.json", "{}");
    world.file("binary.json", [0, 159, 146, 150]).file("deep.json", "[".repeat(1_000_000));
    world
        .file("later.json", "{\"format_version\": 2}")
        .file("partial.json", "{\"format_version\": 1, \"changes\": []}");
    world.file("large.json", format!("{{\"format_version\": 1, \"stack\": \"{}\"}}", "x".repeat(80_000_000)));
    world.trueup(&["observe", "--out", "world.json"]).exits(0);

    let files = [
        "missing.json",
        "folder",
        "empty.json",
        "text.json",
        "list.json",
        "object.json",
        "binary.json",
        "deep.json",
        "later.json",
        "partial.json",
        "large.json",
        "world.json",
        "stack.yaml",
        "/dev/null",
    ];
    for file in files {
        refused(&world, &["show", file], &[1, 5], file);
        refused(&world, &["apply", file], &[1, 5], file);
        if file != "world.json" {
            refused(&world, &["plan", "--world", file], &[1], file);
        }
    }
    assert!(!world.path("system.db").exists());
}

#[test]
fn places_that_cannot_be_written_are_refused() {
    let world = shop();
    std::fs::create_dir(world.path("folder")).unwrap();

    for command in [
        &["plan", "--out", "folder"][..],
        &["plan", "--out", "nowhere/plan.json"],
        &["observe", "--out", "folder"],
        &["observe", "--out", ""],
        &["plan", "--out", ""],
    ] {
        let run = world.trueup(command);
        assert!(matches!(run.code, Some(1 | 64)), "{run:?}");
        run.never_says("panicked");
    }
    world.env("DATABASE_URL", "sqlite://nowhere/at/all/system.db");
    let run = world.apply();
    assert!(matches!(run.code, Some(1 | 6)), "{run:?}");
    run.never_says("panicked");
}

#[test]
fn odd_arguments_are_wrong_usage() {
    let world = shop();
    let cases: [&[&str]; 12] = [
        &["plan", "--refresh-timeout", "soon"],
        &["plan", "--refresh-timeout", "-1s"],
        &["plan", "--max-bytes", "-1"],
        &["plan", "--format", "xml"],
        &["apply", "--wait", "1 fortnight"],
        &["apply", "--lock-timeout", "99999999999999999999s"],
        &["apply", "--allow", "everything"],
        &["apply", "--parallelism", "65"],
        &["--color", "mauve", "plan"],
        &["history", "--limit", "many"],
        &["lock", "open"],
        &["completions", "emacs"],
    ];
    for command in cases {
        refused(&world, command, &[64], "error:");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = shop();
    let command = format!("{} schema | head -c 10", env!("CARGO_BIN_EXE_trueup"));
    let output = std::process::Command::new("bash")
        .args(["-o", "pipefail", "-c", &command])
        .current_dir(world.path(""))
        .output();
    let output = output.unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}

#[test]
fn a_missing_blank_behind_a_key_is_named() {
    let world = World::new();
    for (spec, help) in [
        ("version: 1\nstack:y\nenvironment: dev\n", "a key ends with a colon and a blank"),
        ("version:1\nstack: y\n", "put a blank behind the colon"),
    ] {
        world.spec(spec);
        refused(&world, &["validate"], &[1], help);
    }
}

#[test]
fn a_bar_between_the_columns_of_a_csv_file_is_named() {
    let world = shop();
    world.file("items.csv", "id|name\n1|pen\n");
    refused(&world, &["validate"], &[1], "the columns are separated by '|'");
}
