//! The examples are correct: their statements about the business database hold, and `init` writes
//! them in a working form.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use trueup::stack::{self, Contact, Stack};

use crate::servers;
use crate::world::World;

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Returns a spec of the repository, with a value for every variable.
fn stack(name: &str) -> Stack {
    let variable = |name: &str| {
        let value = match name {
            "TARGET_DB" => "../quickstart/business.db",
            "DATABASE_URL" => "postgres://insight:change-me-postgres@127.0.0.1:5432/insight",
            "REDIS_URL" => "redis://:change-me-redis@127.0.0.1:6379/0",
            "CHROMA_URL" => "http://127.0.0.1:8000",
            _ => "change-me-at-first-login",
        };
        Some(value.to_owned())
    };
    stack::load(&repository(name), &variable, Contact::Live).unwrap_or_else(|error| panic!("{error:?}"))
}

fn business(sql: &str) -> String {
    servers::sqlite(&repository("examples/quickstart/business.db"), sql)
}

#[test]
fn the_business_database_is_whole_and_has_a_thousand_rows() {
    assert_eq!(business("PRAGMA integrity_check"), "ok");
    assert_eq!(business("PRAGMA foreign_key_check"), "");
    let tables = business("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    let count: Vec<_> = tables.lines().map(|table| format!("(SELECT count(*) FROM {table})")).collect();
    let rows: u32 = business(&format!("SELECT {}", count.join(" + "))).parse().unwrap();
    assert!(rows >= 1_000 && tables.lines().count() >= 5, "{rows} rows in {tables}");
}

#[test]
fn the_business_database_is_what_its_script_makes() {
    let script = repository("examples/quickstart/make_business_db.py");
    servers::run(Command::new("python3").arg("-B").arg(script).arg("--check"));
}

#[test]
fn every_table_and_column_that_a_term_speaks_of_exists() {
    let columns = "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c";
    let names = business(&format!("SELECT name FROM sqlite_master UNION ALL {columns}"));
    let names: BTreeSet<&str> = names.lines().collect();
    let stack = stack("examples/quickstart/stack.yaml");

    let terms = &stack.system.ontologies["accounting"].terms;

    assert!(terms.len() >= 40, "{} terms", terms.len());
    for term in terms {
        for table in &term.tables {
            assert!(names.contains(table.as_str()), "{} speaks of {table}, which does not exist", term.term);
        }
    }
    assert!(terms.iter().filter(|term| !term.tables.is_empty()).count() >= 40);
}

#[test]
fn every_expression_of_a_term_can_be_computed_over_one_of_its_tables() {
    let stack = stack("examples/quickstart/stack.yaml");

    for term in &stack.system.ontologies["accounting"].terms {
        let Some(expression) = &term.expression else { continue };
        let tables: BTreeSet<&str> =
            term.tables.iter().map(|table| table.split('.').next().unwrap_or(table)).collect();
        let computes = |table: &&str| {
            let path = repository("examples/quickstart/business.db");
            let sql = format!("SELECT {expression} FROM {table}");
            let output =
                Command::new("sqlite3").args(["-bail", "-readonly"]).arg(path).arg(sql).output().unwrap();
            output.status.success()
        };
        assert!(tables.iter().any(computes), "{}: {expression} fits none of {tables:?}", term.term);
    }
}

#[test]
fn every_question_is_answered_by_its_statement() {
    for name in ["examples/quickstart/stack.yaml", "examples/insight/prod.yaml"] {
        let stack = stack(name);
        let examples = &stack.vector.as_ref().unwrap().collections["sql"].examples;
        assert!(examples.len() >= 10, "{name} has {} questions", examples.len());
        for example in examples {
            assert_eq!(example.target.as_deref(), Some("business"), "{}", example.question);
            let sql = example.sql.trim().trim_end_matches(';');
            business(&format!("EXPLAIN {sql}"));
            assert_ne!(
                business(&format!("SELECT count(*) FROM ({sql})")),
                "0",
                "{} has no answer",
                example.question
            );
        }
    }
}

#[test]
fn every_contract_of_the_examples_is_kept() {
    for name in ["examples/quickstart/stack.yaml", "examples/insight/prod.yaml"] {
        for (table, columns) in &stack(name).targets["business"].require {
            business(&format!("SELECT {} FROM {table} LIMIT 0", columns.join(", ")));
        }
    }
}

#[test]
fn init_writes_a_quickstart_that_applies_and_converges() {
    let world = World::new();

    let written = world.trueup(&["init", "shop"]);

    written.exits(0).says("shop/stack.yaml").warns("trueup --file shop/stack.yaml plan");
    for line in written.stdout.lines() {
        assert!(world.path(line).is_file(), "{line} was not written");
    }
    world.env("TRUEUP_FILE", "shop/stack.yaml");
    world.trueup(&["validate"]).exits(0);
    world.apply().exits(0);
    world.plan().exits(0).says("No changes");
    assert_ne!(world.sqlite("shop/data/system.db", "SELECT count(*) FROM accounting_transactions"), "0");
    assert_eq!(world.sqlite("shop/data/system.db", "SELECT count(*) FROM users"), "2");
    // No path leads out of the folder, so the folder can be moved.
    std::fs::rename(world.path("shop"), world.path("moved")).unwrap();
    world.env("TRUEUP_FILE", "moved/stack.yaml").plan().exits(0);
}

#[test]
fn init_in_the_current_folder_needs_no_file_to_be_named() {
    let world = World::new();

    world.trueup(&["init"]).exits(0);

    world.apply().exits(0);
    world.plan().exits(0);
}

/// Returns the names in backticks that look like files: no placeholder, no space, a known
/// extension.
fn files_named_in(text: &str) -> BTreeSet<&str> {
    let endings = [".yaml", ".md", ".db", ".csv", ".py", ".sql", ".env.example"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)) && !name.contains(' '))
        .collect()
}

#[test]
fn init_writes_no_file_that_names_a_missing_one() {
    for preset in ["quickstart", "insight"] {
        let world = World::new();

        let written = world.trueup(&["init", "shop", "--preset", preset]);

        let readme = world.read("shop/README.md");
        let named = files_named_in(&readme);
        assert!(named.len() >= 4, "{preset}: {named:?}");
        for name in named {
            // Created by the first apply.
            assert!(
                name == "data/vector.db" || world.path(&format!("shop/{name}")).is_file(),
                "{preset}: {name}"
            );
        }
        for line in written.stdout.lines() {
            let text = std::fs::read(world.path(line)).unwrap();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains("examples/") && !text.contains("../../"), "{preset}: {line} leads out");
        }
    }
}

#[test]
fn init_of_insight_keeps_passwords_out_of_version_control() {
    let world = World::new();

    world.trueup(&["init", "shop", "--preset", "insight"]).exits(0);

    assert!(world.read("shop/.gitignore").lines().any(|line| line == ".env"));
}

#[test]
fn init_leaves_a_readme_that_is_there() {
    let world = World::new();
    world.file("shop/README.md", "mine");

    world.trueup(&["init", "shop"]).exits(0).never_says("README");

    assert_eq!(world.read("shop/README.md"), "mine");
}

#[test]
fn init_overwrites_nothing() {
    let world = World::new();
    world.file("shop/questions.yaml", "mine").file("shop/README.md", "mine too");

    let refused = world.trueup(&["init", "shop"]);

    refused.exits(1).warns("shop/questions.yaml").never_says("README");
    assert_eq!(world.read("shop/questions.yaml"), "mine");
    assert_eq!(std::fs::read_dir(world.path("shop")).unwrap().count(), 2, "nothing was written");
}
