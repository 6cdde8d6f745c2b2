//! F05: an unreadable source is an error, and nothing is deleted because of it. Commands run as a
//! user other than root, because root can read everything.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::world::World;

const STACK: &str = "\
version: 1
stack: shop
environment: dev
flags: { auto_train_vector: true, enable_target_db: true }
system: { url: 'sqlite://s.db', create_database: true }
targets: { business: { url: 'sqlite://business.db' } }
vector:
  url: sqlite://v.db
  embedder: { kind: hashing }
  collections: { docs: { from: { files: ['docs/**/*.md'] } } }
";

/// Creates a world that is writable by everyone, with a target.
fn open_world() -> World {
    let world = World::of_plain_user();
    world.sqlite("business.db", "CREATE TABLE invoice (id int PRIMARY KEY)");
    world
}

#[track_caller]
fn refuses(world: &World, says: &str) {
    for arguments in [&["plan"][..], &["apply", "--auto-approve"]] {
        let ran = world.trueup(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        let words = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(says), "{arguments:?} does not say {says}: {}", ran.stderr);
        assert!(!ran.stdout.contains("to delete"), "{}", ran.stdout);
    }
}

#[test]
fn f05_an_unreadable_folder_or_link_deletes_no_document() {
    let world = open_world();
    world.spec(STACK).file("docs/a/a.md", "# A\n\nOne.\n");
    for name in ["b1", "b2", "b3"] {
        world.file(&format!("docs/b/{name}.md"), format!("# {name}\n\nText of {name}.\n"));
    }
    let applied = world.trueup(&["apply", "--auto-approve"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);

    world.set_mode("docs/b", 0o000);
    refuses(&world, "docs/b: permission denied");
    // The folder can be listed, but its entries cannot be inspected.
    world.set_mode("docs/b", 0o444);
    refuses(&world, "b1.md: permission denied");
    world.set_mode("docs/b", 0o755);

    world.set_mode("docs/b/b2.md", 0o000);
    refuses(&world, "docs/b/b2.md: permission denied");
    world.set_mode("docs/b/b2.md", 0o644);

    for target in ["loop", "../gone"] {
        symlink(target, world.path("docs/loop")).unwrap();
        refuses(&world, "cannot read docs/loop");
        std::fs::remove_file(world.path("docs/loop")).unwrap();
    }

    let plan = world.trueup(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "{}{}", plan.stdout, plan.stderr);
}

#[test]
fn f05_links_to_folders_do_not_multiply_documents() {
    let world = open_world();
    world.spec(STACK).file("docs/a.md", "# Hi\n\nText.\n").file("docs/deep/b.md", "# B\n\nText.\n");
    world.file("other/c.md", "# C\n\nText.\n");
    for name in ["x", "y", "z"] {
        symlink(".", world.path(&format!("docs/{name}"))).unwrap();
    }
    symlink("..", world.path("docs/deep/up")).unwrap();
    symlink("../other", world.path("docs/also")).unwrap();
    symlink("../other", world.path("docs/and")).unwrap();

    let start = Instant::now();
    let plan = world.plan_json();

    let documents = plan["changes"].as_array().unwrap().iter().find(|change| {
        change["summary"].as_str().is_some_and(|summary| summary.contains("3 documents to write"))
    });
    assert!(documents.is_some(), "{plan:#}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn f05_every_kind_of_source_that_cannot_be_read_is_an_error() {
    let sources = [
        (
            "rows.csv",
            "id\n1\n",
            "  seeds: { s: { when: seed_demo_data, table: t, key: [id], rows: rows.csv } }\n",
        ),
        ("terms.yaml", "terms: { a: { definition: b } }\n", "  ontologies: { o: terms.yaml }\n"),
        ("migrations/1_a.sql", "CREATE TABLE t (id int);\n", "  migrations: migrations\n"),
        ("migrations", "", "  migrations: migrations\n"),
        ("url", "sqlite://s.db", "  lock_timeout: ${file:url}\n"),
    ];
    for (path, text, key) in sources {
        let world = open_world();
        if text.is_empty() {
            std::fs::create_dir(world.path(path)).unwrap();
        } else {
            world.file(path, text);
        }
        world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: sqlite://s.db\n  create_database: true\n{key}"
        ));
        world.set_mode(path, 0o000);
        let ran = world.trueup(&["validate"]);
        world.set_mode(path, 0o755);
        let words = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert_eq!(ran.code, Some(1), "{path}: {}", ran.stderr);
        assert!(words.contains("permission denied") && words.contains(path), "{path}: {}", ran.stderr);
    }
}

#[test]
fn f05_a_pattern_that_begins_too_high_is_refused() {
    let world = World::new();
    for folder in 0..51 {
        for file in 0..1990 {
            let name = format!("docs/{folder}/{file}");
            if file == 0 {
                world.file(&name, "");
            } else {
                std::fs::hard_link(world.path(&format!("docs/{folder}/0")), world.path(&name)).unwrap();
            }
        }
    }
    world.spec(STACK);
    world.trueup(&["plan"]).exits(1).warns("more than 100000 files and folders");
}
