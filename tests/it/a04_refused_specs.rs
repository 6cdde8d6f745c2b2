//! Invalid specs: the error shows the rule, the location, the underlined text and the nearest name,
//! and no server is contacted.

use crate::servers::Wire;
use crate::stores::{BUSINESS, addresses, make_business};
use crate::world::{Run, World};

/// Writes a spec with servers for all components, at a port that counts connections.
fn with_servers(environment: &str, flags: &str) -> (World, Wire) {
    let (world, wire) = (World::new(), Wire::to_nobody());
    let port = wire.port();
    world.file("migrations/0001_init.sql", "SELECT 1;\n").file("notes.md", "Notes.\n").spec(&format!(
        "version: 1
stack: shop
environment: {environment}
{flags}
system: {{ url: 'postgres://app:a-long-password@127.0.0.1:{port}/app', migrations: migrations }}
vector:
  url: http://127.0.0.1:{port}
  embedder: {{ kind: hashing }}
  collections: {{ docs: {{ from: {{ files: [notes.md] }} }} }}
cache: {{ url: 'redis://127.0.0.1:{port}/0' }}
"
    ));
    (world, wire)
}

#[test]
fn a04_demo_data_in_production_is_refused_before_anything_is_contacted() {
    for environment in ["prod", "production"] {
        for (flags, place) in
            [("flags: { seed_demo_data: true }", "stack.yaml:4:10"), ("", "stack.yaml:3:14")]
        {
            let (world, wire) = with_servers(environment, flags);

            let commands: [&[&str]; 4] =
                [&["validate"], &["plan"], &["apply", "--auto-approve"], &["status"]];
            let runs = commands.map(|command| world.trueup(command));

            for run in runs {
                run.exits(1).warns("seed_demo_data").warns(environment).warns(place).warns("┬");
                run.warns("write `flags: { seed_demo_data: false }`").never_says("a-long-password");
                assert_eq!(run.stdout, "");
            }
            assert_eq!(wire.connections(), 0);
        }
    }
}

#[test]
fn a04_the_same_spec_without_demo_data_goes_on_to_the_server() {
    let (world, wire) = with_servers("prod", "flags: { seed_demo_data: false }");

    world.trueup(&["validate"]).exits(0);
    world.trueup(&["plan"]).exits(1);

    assert!(wire.connections() > 0, "or the test before this one shows nothing");
}

/// One combination of the flags, with a target or without.
fn combination([seed, enable, train]: [bool; 3], target: bool) -> World {
    let world = World::new();
    make_business(&world, "business.db");
    world
        .file("migrations/0001_init.sql", "CREATE TABLE items (id bigint PRIMARY KEY, name text);\n")
        .file("items.csv", "id,name\n1,pen\n")
        .file("notes.md", "Notes on the business.\n")
        .spec(&format!(
            "version: 1
stack: shop
environment: dev
flags: {{ seed_demo_data: {seed}, enable_target_db: {enable}, auto_train_vector: {train} }}
system:
  url: sqlite://system.db
  create_database: true
  migrations: migrations
  seeds: {{ items: {{ when: seed_demo_data, table: items, key: [id], rows: items.csv }} }}
{}vector:
  url: sqlite://vector.db
  embedder: {{ kind: hashing }}
  collections: {{ docs: {{ from: {{ files: [notes.md] }} }} }}
",
            if target { BUSINESS } else { "" }
        ));
    world
}

#[test]
fn a05_every_combination_of_the_flags_has_its_verdict() {
    const BOTH: [bool; 2] = [false, true];
    for (seed, enable) in BOTH.into_iter().flat_map(|seed| BOTH.map(|enable| (seed, enable))) {
        for (train, target) in BOTH.into_iter().flat_map(|train| BOTH.map(|target| (train, target))) {
            let world = combination([seed, enable, train], target);

            let run = world.trueup(&["plan", "--format", "json"]);

            let (needs_target, needs_enabling) = (enable && !target, train && !enable);
            if needs_target || needs_enabling {
                run.exits(1);
                assert_eq!(
                    run.stderr.contains("`enable_target_db` is on, and there is no target"),
                    needs_target
                );
                assert_eq!(
                    run.stderr.contains("`auto_train_vector` needs `enable_target_db`"),
                    needs_enabling
                );
                continue;
            }
            let plan = run.exits(0).json();
            let has = |prefix: &str| addresses(&plan).iter().any(|address| address.starts_with(prefix));
            assert_eq!(has("system.seed.items"), seed, "{plan:#}");
            assert_eq!(has("target.business"), enable, "{plan:#}");
            assert_eq!(has("vector."), train, "{plan:#}");
            let warns = run.stderr.contains("`business` has an address, and `enable_target_db` is off");
            assert_eq!(warns, target && !enable, "{}", run.stderr);
            assert_eq!(plan.to_string().contains("training is off"), !train, "{plan:#}");
        }
    }
}

#[test]
fn a05_without_flags_the_defaults_are_those_of_development() {
    let world = combination([true, false, false], true);
    let spec = world.read("stack.yaml");
    let plan = world.plan_json();

    let flags = spec.lines().find(|line| line.starts_with("flags:")).unwrap();
    world.spec(&spec.replace(flags, ""));

    assert_eq!(addresses(&world.plan_json()), addresses(&plan));
}

#[test]
fn a06_a_boolean_is_true_or_false_and_nothing_else() {
    for wrong in
        ["yes", "no", "on", "off", "1", "0", "True ", "TRUE", "False", "'true'", "y", "maybe", "[true]"]
    {
        let world = World::new();
        world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nflags:\n  seed_demo_data: {wrong}\n\
             system: {{ url: 'sqlite://system.db', create_database: true }}\n"
        ));

        let run = world.trueup(&["plan"]);

        run.exits(1).warns("expected `true` or `false`").warns("stack.yaml:5:19").warns(wrong.trim());
        assert!(!world.path("system.db").exists());
    }
}

#[test]
fn a06_what_yaml_would_reinterpret_is_stored_as_it_is_written() {
    let world = World::new();
    world
        .file("migrations/0001_init.sql", "CREATE TABLE words (id bigint PRIMARY KEY, word text);\n")
        .file(
            "words.yaml",
            "- { id: 1, word: no }\n- { id: 2, word: 0123 }\n- { id: 3, word: 1e3 }\n- { id: 4, word: 2024-01-02 }\n\
             - { id: 5, word: 1_000 }\n- { id: 6, word: 0x1F }\n- { id: 7, word: 12:30:45 }\n- { id: 8, word: 1.10 }\n",
        )
        .spec(
            "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: sqlite://system.db\n  create_database: true\n  \
             migrations: migrations\n  seeds: { words: { table: words, key: [id], rows: words.yaml } }\n",
        );

    world.apply().exits(0);

    let words = world.sqlite("system.db", "SELECT word FROM words ORDER BY id");
    assert_eq!(words, "no\n0123\n1e3\n2024-01-02\n1_000\n0x1F\n12:30:45\n1.10");
    world.plan().exits(0);
}

#[test]
fn a06_traps_that_could_change_a_meaning_are_errors() {
    let head = "version: 1\nstack: shop\nenvironment: dev\n";
    let system = "system: { url: 'sqlite://system.db', create_database: true }\n";
    let cases = [
        (
            format!("{head}{system}environment: prod\n"),
            "the key `environment` stands twice",
            "stack.yaml:5:1",
        ),
        (format!("{head}base: &base {{ a: 1 }}\n{system}"), "unknown key `base`", "stack.yaml:4:1"),
        (format!("{head}system:\n  <<: {{ url: 'sqlite://a.db' }}\n"), "merge keys", "stack.yaml:5:3"),
        (format!("{head}system: {{ url: !env DATABASE_URL }}\n"), "the tag `!env`", "stack.yaml:4:21"),
        (format!("{head}{system}---\n{head}"), "a second document", "stack.yaml"),
        (format!("{head}{system}policies:\n\t- a\n"), "tabs", "stack.yaml:6:2"),
    ];

    for (spec, says, place) in cases {
        let world = World::new();
        world.spec(&spec);

        world.trueup(&["plan"]).exits(1).warns(says).warns(place);
    }
}

#[test]
fn a06_an_alias_of_a_whole_value_means_that_value() {
    let world = World::new();
    world.spec(
        "version: 1\nstack: &name shop\nenvironment: *name\nsystem: { url: 'sqlite://system.db', create_database: true }\n",
    );

    let plan = world.plan_json();

    assert_eq!(plan["environment"], "shop");
}

/// Renders a snippet as shown to a user: the location, the line, the caret under the text.
#[track_caller]
fn shows(run: &Run, place: &str, line: &str, underlined: &str) {
    run.warns(&format!("╭─[{place}]"));
    let (_, snippet) = run.stderr.split_once(&format!("╭─[{place}]")).unwrap();
    let mut lines = snippet.lines();
    let shown = lines.find(|shown| shown.contains(line)).unwrap_or_else(|| panic!("no {line:?}: {snippet}"));
    let caret = lines.next().unwrap();
    let column = |text: &str, needle: &str| text[..text.find(needle).unwrap()].chars().count();
    let begins = caret.chars().position(|char| char == '─' || char == '┬').unwrap();
    let ends = caret.chars().count();
    assert_eq!(begins, column(shown, underlined), "{snippet}");
    assert_eq!(ends - begins, underlined.chars().count(), "{snippet}");
}

#[test]
fn a07_all_errors_of_a_run_are_shown_each_with_its_place_and_the_nearest_name() {
    let world = World::new();
    world.spec(
        "version: 1
stack: shop
environment: dev
flags: { enable_target_db: true, auto_train_vector: true }
system:
  url: sqlite://system.db
  creat_database: true
  seeds:
    demo: { when: seed_demo_dta, table: items, key: [id], rows: items.csv }
targets:
  business: { url: 'sqlite://business.db' }
vector:
  url: sqlite://vector.db
  embedder: { kind: hashing }
  collections:
    ddl: { from: { schema: [busines] }, terms: [accountin] }
",
    );
    world.file("items.csv", "id,name\n1,pen\n");

    let run = world.trueup(&["apply", "--auto-approve"]);

    run.exits(1).warns("4 errors in stack.yaml");
    shows(&run, "stack.yaml:7:3", "creat_database: true", "creat_database");
    shows(&run, "stack.yaml:9:19", "when: seed_demo_dta", "seed_demo_dta");
    shows(&run, "stack.yaml:16:29", "busines", "busines]".trim_end_matches(']'));
    shows(&run, "stack.yaml:16:49", "accountin", "accountin");
    run.warns("did you mean `create_database`?").warns("did you mean `seed_demo_data`?");
    run.warns("did you mean `business`?");
    assert!(!world.path("system.db").exists());
}

#[test]
fn a07_an_error_in_a_base_names_that_file() {
    let world = World::new();
    world
        .file(
            "base/common.yaml",
            "version: 1\nstack: shop\nsystem:\n  url: sqlite://system.db\n  order: liner\n",
        )
        .spec("extends: base/common.yaml\nenvironment: dev\n");

    let run = world.trueup(&["validate"]);

    run.exits(1).warns("did you mean `linear`?");
    shows(&run, "base/common.yaml:5:10", "order: liner", "liner");
}

#[test]
fn a07_a_cycle_shows_its_whole_path() {
    let world = World::new();
    world
        .file("a.yaml", "extends: b.yaml\n")
        .file("b.yaml", "extends: c.yaml\n")
        .file("c.yaml", "extends: a.yaml\n");

    let run = world.trueup(&["--file", "a.yaml", "validate"]);

    run.exits(1).warns("a.yaml → b.yaml → c.yaml → a.yaml").warns("c.yaml:1:10");
}

#[test]
fn a07_a_reference_to_what_does_not_exist_is_an_error_of_validate_too() {
    let world = World::new();
    make_business(&world, "business.db");
    world.spec(
        "version: 1\nstack: shop\nenvironment: dev\nsystem: { url: 'sqlite://system.db', migrations: nowhere }\n",
    );

    world.trueup(&["validate"]).exits(1).warns("nowhere").warns("stack.yaml:4:50");
}
