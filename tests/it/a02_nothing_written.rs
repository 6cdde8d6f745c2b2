//! A02 for the whole database: an apply without changes leaves a dump of it unchanged, including
//! the bookkeeping and sqlx's history.

use std::process::Command;

use crate::a_core::{files, traces};
use crate::servers::{self, Postgres};
use crate::stacks::{Database, on_each_database, quickstart};
use crate::world::World;

/// Returns everything in a database. PostgreSQL: the output of `pg_dump` with owners and
/// privileges, the transactions that wrote the rows, the sequences and the role of this test.
/// SQLite: the bytes of the file.
fn dump(database: &Database) -> Vec<u8> {
    match database {
        Database::Sqlite(path) => std::fs::read(path).unwrap(),
        Database::Postgres(postgres) => {
            let text = servers::run(Command::new("pg_dump").arg("--dbname").arg(postgres.url()));
            // Newer versions begin and end the dump with a random key.
            let lines = text.lines().filter(|line| !line.contains("restrict "));
            let roles = format!("SELECT xmin, * FROM pg_authid WHERE rolname = '{}'", role(postgres));
            let text = lines.collect::<Vec<_>>().join("\n");
            assert!(text.contains("trueup.inventory") && text.contains("_sqlx_migrations"), "{text}");
            format!("{text}\n{}\n{}", traces(postgres), postgres.psql(&roles)).into_bytes()
        }
    }
}

fn role(postgres: &Postgres) -> String {
    format!("{}_app", postgres.name())
}

/// Writes the quickstart for this database, with a sequence, a repeatable view and, on a server, a
/// role.
fn system(database: &Database) -> World {
    let world = quickstart();
    world.file(
        "migrations/repeatable/totals.sql",
        "DROP VIEW IF EXISTS totals;\nCREATE VIEW totals AS SELECT count(*) AS transactions FROM accounting_transactions;\n",
    );
    let mut spec = "version: 1\nextends: stack.yaml\nsystem:\n  url: ${DATABASE_URL}\n".to_owned();
    if let Database::Postgres(postgres) = database {
        world.file(
            "migrations/postgres/0006_tickets.sql",
            "CREATE TABLE tickets (id bigserial PRIMARY KEY);\n\
             INSERT INTO tickets DEFAULT VALUES;\n",
        );
        let roles = format!(
            "  roles:\n    {}: {{ login: true, password: \"${{ROLE_PASSWORD}}\", grants: {{ \"*\": [select], users: [] }} }}\n",
            role(postgres)
        );
        spec.push_str(&roles);
    }
    world.file("examples/quickstart/here.yaml", spec).env("TRUEUP_FILE", "examples/quickstart/here.yaml");
    world.env("DATABASE_URL", database.url()).env("ROLE_PASSWORD", "correct horse of the app");
    world
}

#[test]
fn a02_a_dump_before_and_after_an_apply_with_nothing_to_do_is_the_same() {
    on_each_database(|_, database| {
        let world = system(database);
        world.apply().exits(0);
        let before = (dump(database), files(&world.path(".")));

        world.plan().exits(0);
        world.apply().exits(0).says("No changes");
        world.trueup(&["apply", "--auto-approve", "--train"]).exits(0).says("No changes");

        let after = (dump(database), files(&world.path(".")));
        assert!(before.0 == after.0, "{}", first_difference(&before.0, &after.0));
        assert!(before.1 == after.1, "a file beside it was written");
        if let Database::Postgres(postgres) = database {
            postgres.psql(&format!("DROP OWNED BY {0}; DROP ROLE {0}", role(postgres)));
        }
    });
}

/// Returns the first line that differs.
fn first_difference(before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let mut pairs = before.lines().zip(after.lines());
    pairs.find(|(before, after)| before != after).map_or_else(String::new, |(b, a)| format!("{b}\n{a}"))
}
