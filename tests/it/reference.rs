//! Generated documentation: every help page, and the schema of a plan. `TRUEUP_UPDATE=1 cargo test
//! --test it reference` updates both files.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::servers::Redis;
use crate::stores::{Database, Shop, Vectors, make_business, trained};
use crate::world::World;

/// Compares a text with a file of the repository, or updates the file.
#[track_caller]
fn is_as_in(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("TRUEUP_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(text.lines()).position(|(there, here)| there != here);
    assert!(there == text, "{file} differs from line {differs:?} on; TRUEUP_UPDATE=1 writes it anew");
}

/// Appends the help of a command and its subcommands.
fn help(world: &World, command: &[&str], pages: &mut String) {
    let page = world.trueup(&[command, &["--help"]].concat()).exits(0).stdout.clone();
    writeln!(pages, "$ trueup {}\n{page}", [command, &["--help"]].concat().join(" ")).unwrap();
    let commands = page.split("Commands:\n").nth(1).unwrap_or_default();
    let names = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        help(world, &[command, &[name]].concat(), pages);
    }
}

#[test]
fn reference_every_help_page_is_as_it_was_reviewed() {
    let world = World::new();
    let mut pages = String::new();

    help(&world, &[], &mut pages);

    assert!(pages.contains("$ trueup lock break --help"), "{pages}");
    assert!(pages.lines().all(|line| line.chars().count() <= 110), "a line is too long");
    is_as_in("tests/it/help.txt", &pages);
}

#[test]
fn reference_the_plans_schema_is_as_the_program_prints_it() {
    let world = World::new();

    let schema = world.trueup(&["schema", "plan"]).exits(0).stdout.clone();

    is_as_in("schemas/plan.schema.json", &schema);
}

#[test]
fn reference_real_plans_and_specs_validate_against_their_schemas() {
    let vectors = Vectors::chroma();
    let redis = Redis::start();
    let world = World::new();
    make_business(&world, "business.db");
    let more = format!(
        "{}cache:\n  url: redis://127.0.0.1:{}/0\n  config: {{ maxmemory: 64mb }}\n  streams: {{ jobs: {{ groups: [workers] }} }}\n\
         policies: {{ no_demo: {{ deny_flag: seed_demo_data }} }}\n",
        trained(&vectors),
        redis.port()
    );
    Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, &Database::Sqlite);
    for (name, of) in [("plan.schema.json", "plan"), ("stack.schema.json", "stack")] {
        world.file(name, &world.trueup(&["schema", of]).exits(0).stdout);
    }
    world.trueup(&["plan", "--out", "blocked.json"]).exits(3);
    world.spec(&world.read("stack.yaml").replace("deny_flag: seed_demo_data", "deny: destructive"));
    world.trueup(&["plan", "--out", "first.json"]).exits(0);
    world.apply().exits(0);
    world.trueup(&["plan", "--out", "empty.json"]).exits(0);
    world.spec(&world.read("stack.yaml").replace("environment: dev", "environment: staging"));
    world.trueup(&["plan", "--out", "moved.json"]).exits(0);
    let mut wrong: serde_json::Value = serde_json::from_str(&world.read("empty.json")).unwrap();
    wrong["surprise"] = true.into();
    world.file("wrong.json", wrong.to_string());
    let Vectors::Chroma { chroma, .. } = &vectors else { unreachable!() };

    let folder = world.path("");
    let said = chroma.python(&format!(
        "import json, pathlib, jsonschema, yaml\n\
         folder = pathlib.Path({folder:?})\n\
         def errors(schema, value):\n    \
             schema = json.loads((folder / schema).read_text())\n    \
             cls = jsonschema.validators.validator_for(schema)\n    \
             cls.check_schema(schema)\n    \
             return [e.message for e in cls(schema).iter_errors(value)]\n\
         for name in ['blocked', 'first', 'empty', 'moved', 'wrong']:\n    \
             print(name, errors('plan.schema.json', json.loads((folder / (name + '.json')).read_text())))\n\
         print('spec', errors('stack.schema.json', yaml.safe_load((folder / 'stack.yaml').read_text())))"
    ));

    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..4], ["blocked []", "first []", "empty []", "moved []"], "{said}");
    assert!(lines[4].starts_with("wrong [") && lines[4].contains("surprise"), "{said}");
    assert_eq!(lines[5], "spec []", "{said}");
}
