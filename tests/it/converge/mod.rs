//! For every stack and every state: after `apply`, the plan is empty. Stacks are generated and
//! small; each is applied, others change the result, and then another stack is applied.
//!
//! 500 pairs on SQLite and 100 on PostgreSQL. `PROPTEST_CASES=500 scripts/test converge` tries others.

mod generated;
mod meddling;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::servers::Postgres;
use crate::stacks::Database;
use crate::world::{Run, World};
use generated::{COLUMNS, stack};
use meddling::{APPLICATION, Meddling, meddlings};

fn world(database: &Database) -> World {
    let columns: String =
        COLUMNS.map(|(name, kind)| format!(", \"{}\" {kind}", name.replace('"', "\"\""))).concat();
    let world = World::new();
    let dialect = match database {
        Database::Sqlite(_) => "sqlite",
        Database::Postgres(_) => "postgres",
    };
    for name in ["0001_users", "0004_business_ontologies"] {
        world.copy(&format!("migrations/{dialect}/{name}.sql"));
    }
    world.file(
        &format!("migrations/{dialect}/0005_things.sql"),
        format!("CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY{columns});\n"),
    );
    world.env("DATABASE_URL", database.url()).env("PASSWORD", "a password that is long enough");
    world
}

/// The roles of a case, which would remain on the server.
struct Roles<'a>(&'a Database);

impl Drop for Roles<'_> {
    fn drop(&mut self) {
        if let Database::Postgres(postgres) = self.0 {
            for end in ["app", "reader"] {
                let role = format!("{}_{end}", postgres.name());
                let exists = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'");
                if postgres.psql(&exists) == "1" {
                    postgres.psql(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\""));
                }
            }
        }
    }
}

fn is(run: &Run, code: i32) -> Result<(), TestCaseError> {
    let Run { command, stdout, stderr, code: found } = run;
    prop_assert_eq!(*found, Some(code), "$ {}\n{}\n{}", command, stdout, stderr);
    Ok(())
}

/// Tests generated pairs of stacks, each on a separate database. Each run of a part tests the same
/// pairs, unless `PROPTEST_CASES` requests another number.
#[track_caller]
fn converges(part: u8, cases: u32, database: impl Fn() -> Database) {
    let chosen = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: chosen.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::default()
    };
    let mut runner = match chosen {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[part; 32])),
    };
    let cases = std::cell::Cell::new(0);
    let outcome = runner.run(&(stack(), meddlings(), stack()), |(first, meddlings, mut second)| {
        cases.set(cases.get() + 1);
        second.migrations = second.migrations.max(first.migrations);
        let database = database();
        let _roles = Roles(&database);
        let world = world(&database);
        for stack in [&first, &second] {
            stack.write(&world, &database);
            // A source that became empty is intended here.
            is(&world.trueup(&["apply", "--auto-approve", "--allow", "mass-delete"]), 0)?;
            is(&world.plan(), 0)?;
            if std::ptr::eq(stack, &raw const first) {
                for meddling in &meddlings {
                    meddling.meddle(&database);
                }
            }
        }
        if meddlings.contains(&Meddling::AddRow) {
            let kept = database.sql(&format!("SELECT count(*) FROM things WHERE id = '{APPLICATION}'"));
            prop_assert!(
                kept == "1" || meddlings.contains(&Meddling::DeleteRow),
                "the application's row is gone"
            );
        }
        if second.seed_is_on {
            second.is_stored(&database)?;
        }
        Ok(())
    });
    println!("{} pairs of stacks, shrinking included", cases.get());
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn converges_on_sqlite(part: u8) {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    converges(part, 125, || {
        number.set(number.get() + 1);
        Database::Sqlite(folder.path().join(format!("{}.db", number.get())))
    });
}

fn converges_on_postgresql(part: u8) {
    converges(part, 25, || Database::Postgres(Postgres::start()));
}

/// The cases are split into parts that run in parallel.
macro_rules! parts {
    ($($name:ident: $run:ident($part:literal);)+) => {
        $(#[test]
        fn $name() {
            $run($part);
        })+
    };
}

parts! {
    after_apply_the_plan_is_empty_for_every_stack_on_sqlite_1: converges_on_sqlite(1);
    after_apply_the_plan_is_empty_for_every_stack_on_sqlite_2: converges_on_sqlite(2);
    after_apply_the_plan_is_empty_for_every_stack_on_sqlite_3: converges_on_sqlite(3);
    after_apply_the_plan_is_empty_for_every_stack_on_sqlite_4: converges_on_sqlite(4);
    after_apply_the_plan_is_empty_for_every_stack_on_postgresql_1: converges_on_postgresql(1);
    after_apply_the_plan_is_empty_for_every_stack_on_postgresql_2: converges_on_postgresql(2);
    after_apply_the_plan_is_empty_for_every_stack_on_postgresql_3: converges_on_postgresql(3);
    after_apply_the_plan_is_empty_for_every_stack_on_postgresql_4: converges_on_postgresql(4);
}
