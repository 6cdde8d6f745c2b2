//! A14: drift in a database whose migrations another tool ran, before trueup or beside it.

use crate::stacks::{Database, MIGRATIONS, on_each_database, sqlx_runs};
use crate::world::World;

fn fails_on_drift() -> String {
    format!("{MIGRATIONS}  schema_drift: fail\n")
}

/// Tables made by CREATE, by renaming and, where the database supports it, by code.
fn tables(world: &World, database: &Database) {
    world.spec(MIGRATIONS).file(
        "migrations/0001_init.sql",
        "CREATE TABLE crate_old (id int PRIMARY KEY, label text);\nCREATE TABLE plain (id int PRIMARY KEY);\n",
    );
    world.file("migrations/0002_rename.sql", "ALTER TABLE crate_old RENAME TO crate;\n");
    if let Database::Postgres(_) = database {
        world.file(
            "migrations/0003_code.sql",
            "DO $$ BEGIN EXECUTE format('CREATE TABLE %I (id int)', 'cod' || 'ed'); END $$;\n",
        );
    }
}

#[test]
fn a14_a_database_that_sqlx_migrated_is_compared_from_the_first_run_on() {
    on_each_database(|world, database| {
        tables(world, database);
        sqlx_runs(world, database, "migrations").unwrap();
        database.sql("CREATE TABLE theirs (id int)");
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0).says("No drift.");

        for table in ["crate", "plain", "theirs"] {
            database.sql(&format!("ALTER TABLE {table} ADD evil int"));
        }
        if let Database::Postgres(_) = database {
            database.sql("ALTER TABLE coded ADD evil int");
        }

        let drift = world.trueup(&["drift"]);
        drift.exits(2).says("crate").says("plain").never_says("theirs");
        if let Database::Postgres(_) = database {
            drift.says("3 tables: coded, crate, plain");
        }
    });
}

#[test]
fn a14_migrations_that_follow_on_those_of_sqlx_in_one_run_record_the_whole_schema() {
    on_each_database(|world, database| {
        tables(world, database);
        sqlx_runs(world, database, "migrations").unwrap();
        world.file("migrations/0004_more.sql", "CREATE TABLE more (id int);\n");
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0).says("No drift.");

        for table in ["crate", "more"] {
            database.sql(&format!("ALTER TABLE {table} ADD evil int"));
        }
        world.trueup(&["drift"]).exits(2).says("2 tables: crate, more");
    });
}

#[test]
fn a14_without_a_recorded_schema_drift_says_so_until_a_run_or_baseline_records_it() {
    on_each_database(|world, database| {
        tables(world, database);
        sqlx_runs(world, database, "migrations").unwrap();
        world.apply().exits(0);
        let forget = format!("DELETE FROM {}", database.bookkeeping("snapshots"));

        database.sql(&forget);
        world.trueup(&["drift"]).exits(0).says("nothing is known to compare it with").never_says("No drift.");
        let json = world.trueup(&["drift", "--format", "json"]).json();
        assert_eq!(json["schema"]["state"], "not_recorded");
        let last = if let Database::Postgres(_) = database { "3" } else { "2" };
        world.trueup(&["baseline", "--to", last]).exits(0).says("the schema is recorded");
        world.trueup(&["drift"]).exits(0).says("No drift.");
        world.trueup(&["baseline", "--to", last]).exits(0).says("nothing to do");

        database.sql(&forget);
        world.trueup(&["drift", "accept"]).exits(0);
        database.sql("ALTER TABLE crate ADD evil int");
        world.trueup(&["drift"]).exits(2).says("changed by hand: crate");
    });
}

#[test]
fn a14_files_of_the_folder_that_sqlx_ran_explain_what_they_name_and_nothing_else() {
    on_each_database(|world, database| {
        world.spec(&fails_on_drift());
        world.file(
            "migrations/0001_a.sql",
            "CREATE TABLE a (id int PRIMARY KEY);\nCREATE TABLE b (id int);\n",
        );
        world.apply().exits(0);
        world
            .file("migrations/0002_b.sql", "ALTER TABLE a ADD COLUMN n text;\nCREATE INDEX by_n ON a (n);\n");
        sqlx_runs(world, database, "migrations").unwrap();

        world.trueup(&["drift"]).exits(0).says("another tool ran 0002_b");
        world.file("migrations/0003_c.sql", "CREATE TABLE c (id int);\n");
        world.plan().exits(2).says("another tool ran 0002_b");
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0).never_says("another tool").says("No drift.");

        // Both at once: one change from the file, one manual change.
        world.file("migrations/0004_d.sql", "ALTER TABLE a ADD COLUMN m text;\n");
        sqlx_runs(world, database, "migrations").unwrap();
        database.sql("ALTER TABLE a ADD COLUMN evil int");
        database.sql("ALTER TABLE b ADD COLUMN evil int");
        let json = world.trueup(&["drift", "--format", "json"]);
        let text = json.exits(3).json()["drift"][0]["diff"].as_str().unwrap().to_owned();
        assert_eq!(text.matches("+    evil").count() + text.matches("+  evil").count(), 2, "{text}");
        assert!(!text.contains("+    m ") && !text.contains("+  m "), "{text}");
        world.trueup(&["drift", "accept"]).exits(0);
        world.trueup(&["drift"]).exits(0).says("No drift.");
        world.plan().exits(0).never_says("another tool");
    });
}

#[test]
fn a14_what_sqlx_did_to_types_views_and_names_is_no_drift() {
    let (world, database) = (World::new(), Database::Postgres(crate::servers::Postgres::start()));
    world.env("DATABASE_URL", database.url()).spec(&fails_on_drift());
    world.file(
        "migrations/0001_a.sql",
        "CREATE TYPE mood AS ENUM ('good', 'bad');\nCREATE TABLE a (id int PRIMARY KEY, mood mood, old text);\n\
         CREATE TABLE b (id int REFERENCES a, CHECK (id > 0));\nCREATE VIEW v AS SELECT id, old FROM a;\n\
         CREATE TABLE gone (id int);\nCREATE TABLE child (id int, parent int);\n",
    );
    world.apply().exits(0);
    for (name, sql) in [
        ("0002_type", "ALTER TYPE mood ADD VALUE 'fair';"),
        ("0003_column", "ALTER TABLE a RENAME COLUMN old TO fresh;"),
        ("0004_table", "ALTER TABLE a RENAME TO c;"),
        ("0005_gone", "DROP TABLE gone;"),
        ("0006_key", "ALTER TABLE child ADD PRIMARY KEY (id), ADD FOREIGN KEY (parent) REFERENCES child;"),
        ("0007_made", "CREATE TABLE made AS SELECT id, fresh FROM c;"),
        ("0008_type", "DROP TYPE mood CASCADE;"),
        ("0009_index", "CREATE UNIQUE INDEX ON child (parent);"),
    ] {
        world.file(&format!("migrations/{name}.sql"), sql);
        sqlx_runs(&world, &database, "migrations").unwrap();

        world.trueup(&["drift"]).exits(0).says(name).says("No drift.");
    }

    world.apply().exits(0);
    world.trueup(&["drift"]).exits(0).never_says("another tool").says("No drift.");
    database.sql("ALTER TABLE made ADD evil int");
    world.trueup(&["drift"]).exits(3).says("changed by hand: made");
}

#[test]
fn a14_what_was_made_by_hand_and_then_written_as_a_migration_is_mended_by_it() {
    on_each_database(|world, database| {
        world.spec(&fails_on_drift()).file("migrations/0001_a.sql", "CREATE TABLE a (id int);\n");
        world.apply().exits(0);
        database.sql("CREATE INDEX by_hand ON a (id)");
        world.plan().exits(3).says("changed by hand: a");
        world.file("migrations/0002_other.sql", "CREATE TABLE other (id int);\n");
        world.plan().exits(3).says("! system.migration.0002_other: failed check system.schema");

        world.file("migrations/0003_index.sql", "CREATE INDEX IF NOT EXISTS by_hand ON a (id);\n");

        world.plan().exits(2).says("the pending migrations name all of it");
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0).says("No drift.");
        world.plan().exits(0);
    });
}
