//! A13 and A14: undeclared tables, and manual changes of the schema.

use serde_json::Value;

use crate::servers::Postgres;
use crate::stacks::{Database, MIGRATIONS, on_each_database, steps, texts};
use crate::world::World;

const TABLES: &str = "\
CREATE TABLE items (
    id text NOT NULL PRIMARY KEY, name text NOT NULL, price numeric(10, 2), note text DEFAULT 'none'
);
CREATE TABLE orders (id text NOT NULL PRIMARY KEY, item text NOT NULL);
";

fn spec(more: &str) -> String {
    format!("{MIGRATIONS}{more}  seeds:\n    demo: {{ table: items, key: [id], rows: items.csv }}\n")
}

fn applied(world: &World) {
    world.file("migrations/0001_items.sql", TABLES).file("items.csv", "id,name\na,Apple\nb,Bread\n");
    world.spec(&spec("")).apply().exits(0);
}

fn drift(world: &World) -> Value {
    world.trueup(&["drift", "--format", "json"]).json()
}

/// Manual changes of a column, a type, a default, an index and a constraint.
fn edit(database: &Database) {
    database.sql(match database {
        Database::Sqlite(_) => {
            "ALTER TABLE items ADD COLUMN nick text; CREATE INDEX by_name ON items (name); DROP TABLE orders; \
             CREATE TABLE orders (id integer NOT NULL PRIMARY KEY, item text NOT NULL DEFAULT 'a' CHECK (item <> ''))"
        }
        Database::Postgres(_) => {
            "ALTER TABLE items ADD COLUMN nick text; CREATE INDEX by_name ON items (name); \
             ALTER TABLE orders ALTER COLUMN id TYPE integer USING 0, ALTER COLUMN item SET DEFAULT 'a', \
             ADD CHECK (item <> '')"
        }
    });
}

#[test]
fn a14_what_was_changed_by_hand_is_shown_per_object_before_and_after() {
    on_each_database(|world, database| {
        applied(world);
        world.trueup(&["drift"]).exits(0).says("No drift");

        edit(database);

        world.plan().exits(0).says("changed by hand: 2 tables: items, orders");
        world.trueup(&["drift"]).exits(2).says("changed by hand: 2 tables: items, orders");
        let drift = drift(world);
        let text = drift["drift"][0]["diff"].as_str().unwrap().to_lowercase();
        for line in ["--- items", "+++ items", "--- orders", "+++ orders"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let has =
            |sign: char, word: &str| text.lines().any(|line| line.starts_with(sign) && line.contains(word));
        for word in ["nick text", "by_name", "id integer", "default 'a'", "check"] {
            assert!(has('+', word), "{word}: {text}");
        }
        assert!(has('-', "id text"), "{text}");
        assert_eq!(drift["changes"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn a14_what_stands_behind_the_columns_of_an_index_or_a_reference_is_drift_too() {
    let (world, database) = (World::new(), Postgres::start());
    world.env("DATABASE_URL", database.url());
    world.file(
        "migrations/0001_t.sql",
        "CREATE TABLE t (a int PRIMARY KEY, b int, c int); CREATE UNIQUE INDEX i ON t (b); \
         CREATE TABLE r (a int, b int, CONSTRAINT f FOREIGN KEY (a) REFERENCES t ON DELETE SET NULL)",
    );
    world.spec(MIGRATIONS);
    world.apply().exits(0);
    // Applies the changes of the drift manually.
    let edits = [
        (12, "DROP INDEX i; CREATE UNIQUE INDEX i ON t (b) INCLUDE (c)", "(b) INCLUDE (c)"),
        (15, "DROP INDEX i; CREATE UNIQUE INDEX i ON t (b) NULLS NOT DISTINCT", "(b) NULLS NOT DISTINCT"),
        (
            15,
            "ALTER TABLE r DROP CONSTRAINT f, \
             ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES t ON DELETE SET NULL (a)",
            "ON DELETE SET NULL (a)",
        ),
        (18, "ALTER TABLE r ALTER CONSTRAINT f NOT ENFORCED", "NOT ENFORCED"),
    ];
    for (since, edit, said) in edits.into_iter().filter(|(since, ..)| *since <= database.major()) {
        world.trueup(&["drift"]).exits(0);

        database.psql(edit);

        let drift = world.trueup(&["drift", "--format", "json"]).json();
        let text = drift["drift"][0]["diff"].as_str().unwrap_or_else(|| panic!("{since}, {edit}: {drift}"));
        assert!(text.contains(said), "{edit}: {text}");
        world.trueup(&["drift", "accept"]).exits(0);
    }
}

#[test]
fn a14_views_in_the_words_of_another_version_of_postgresql_are_no_drift() {
    let (world, database) = (World::new(), Postgres::start());
    world.env("DATABASE_URL", database.url());
    world.file("migrations/0001_t.sql", "CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a FROM t");
    world.spec(MIGRATIONS);
    world.apply().exits(0);

    // Another server version records the same view with a different text.
    database.psql(
        "UPDATE trueup.snapshots SET content = regexp_replace(regexp_replace(content::text, \
         '\"postgres\": ?[0-9]+', '\"postgres\":9'), 'SELECT [t.]*a', 'SELECT (t.a)')",
    );

    world.plan().exits(0).says("recorded on another version of PostgreSQL");
    world.trueup(&["drift"]).exits(0).says("No drift");
    database.psql("DROP VIEW v; CREATE VIEW v AS SELECT a, b FROM t");
    world.trueup(&["drift"]).exits(2).says("changed by hand: v");
    world.trueup(&["drift", "accept"]).exits(0);
    world.plan().exits(0).never_says("another version");

    // With the same version, a different text means that the view was changed.
    database.psql("DROP VIEW v; CREATE VIEW v AS SELECT b AS a, a AS b FROM t");
    world.trueup(&["drift"]).exits(2).says("changed by hand: v");
}

#[test]
fn a14_drift_is_ignored_warned_of_or_fails_as_the_spec_says() {
    on_each_database(|world, database| {
        applied(world);
        edit(database);

        world.spec(&spec("  schema_drift: ignore\n")).trueup(&["drift"]).exits(0);
        world.spec(&spec("  schema_drift: fail\n")).trueup(&["drift"]).exits(3).says("items");
        world.plan().exits(3).says("fail  system.schema");
        world.spec(&spec("")).trueup(&["drift"]).exits(2);
    });
}

#[test]
fn a14_what_was_changed_by_hand_is_shown_beside_pending_migrations_and_stays_drift_after_them() {
    on_each_database(|world, database| {
        applied(world);
        database.sql("ALTER TABLE items ADD COLUMN nick text");
        world.file("migrations/0002_more.sql", "CREATE TABLE more (id integer);\nDROP TABLE orders;\n");

        world.plan().exits(2).says("system.migration.0002_more").says("changed by hand: items");
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);

        let text = drift(world)["drift"][0]["diff"].as_str().unwrap().to_owned();
        assert!(text.contains("nick") && !text.contains("more") && !text.contains("orders"), "{text}");

        // A migration that changes the table also updates its recorded schema.
        world.file("migrations/0003_items.sql", "ALTER TABLE items ADD COLUMN label text;\n");
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0);
    });
}

#[test]
fn a14_no_migration_runs_on_a_schema_that_fails_its_check() {
    on_each_database(|world, database| {
        applied(world);
        database.sql("ALTER TABLE items ADD COLUMN nick text");
        world.file("migrations/0002_more.sql", "CREATE TABLE more (id integer PRIMARY KEY);\n");
        world.file("more.csv", "id\n1\n");
        let more = "    more: { table: more, key: [id], rows: more.csv }\n";
        world.spec(&format!("{}{more}", spec("  schema_drift: fail\n")));

        let plan = world.plan();
        let applied = world.apply();

        plan.exits(3).says("! system.migration.0002_more, system.seed.more: failed check system.schema");
        applied.exits(6);
        assert_eq!(database.sql("SELECT count(*) FROM _sqlx_migrations"), "1");
        world.trueup(&["drift", "accept"]).exits(0);
        world.apply().exits(0);
        world.plan().exits(0);
    });
}

#[test]
fn a14_a_pending_migration_accounts_for_a_change_by_hand_of_a_table_with_any_name() {
    for table in ["\"User\"", "\"a b\"", "\"a.b\"", "\"a-\"\"b\"", "s.\"a b\"", "\"s x\".\"y\""] {
        let (world, database) = (World::new(), Postgres::start());
        world.file(
            "migrations/0001_init.sql",
            format!("CREATE SCHEMA s;\nCREATE SCHEMA \"s x\";\nCREATE TABLE {table} (id int PRIMARY KEY);\n"),
        );
        world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: '{}'\n  migrations: migrations\n  schema_drift: fail\n",
            database.url()
        ));
        world.apply().exits(0);
        database.psql(&format!("ALTER TABLE {table} ADD \"ev il\" int"));
        world.plan().exits(3);
        world.file("migrations/0002_other.sql", "CREATE TABLE \"a b c\" (b int);\n");
        world.plan().exits(3);

        world.file(
            "migrations/0002_other.sql",
            format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS \"ev il\" int;\n"),
        );
        world.plan().exits(2).says("the pending migrations name all of it");
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0);
    }
}

#[test]
fn a14_accepting_takes_the_schema_as_it_is_and_is_a_run_of_its_own() {
    on_each_database(|world, database| {
        world.file("migrations/0001_items.sql", TABLES).file("items.csv", "id,name\na,Apple\nb,Bread\n");
        world.spec(&spec("")).trueup(&["drift", "accept"]).exits(1).warns("no bookkeeping");
        applied(world);
        edit(database);

        world.trueup(&["drift", "accept"]).exits(0).says("recorded as it is now");
        world.trueup(&["drift", "accept"]).exits(0).says("no drift to accept");

        world.trueup(&["drift"]).exits(0);
        let runs = world.trueup(&["history", "--format", "json"]).events();
        assert_eq!((runs.len(), &runs[0]["command"]), (2, &Value::from("drift accept")));
        let steps = world.trueup(&["history", runs[0]["id"].as_str().unwrap()]);
        steps.exits(0).says("system.schema");
    });
}

#[test]
fn a13_a_table_that_nobody_declared_is_listed_once_and_never_drift() {
    on_each_database(|world, database| {
        if let Database::Postgres(_) = database {
            database.sql("CREATE TABLE before_us (id integer)");
        }
        applied(world);
        database.sql("CREATE TABLE after_us (id integer)");

        let plan = world.plan_json();
        world.trueup(&["drift"]).exits(0);
        world.apply().exits(0);
        let unmanaged = texts(&plan["unmanaged"]).join(" ");

        assert_eq!(unmanaged.matches("system.table.after_us").count(), 1, "{plan}");
        assert_eq!(database.sql("SELECT count(*) FROM after_us"), "0", "it is there");
        database.sql("ALTER TABLE after_us ADD COLUMN more text");
        world.trueup(&["drift"]).exits(0);
        if let Database::Postgres(_) = database {
            assert!(unmanaged.contains("system.table.before_us"), "{unmanaged}");
            database.sql("DROP TABLE before_us");
            world.trueup(&["drift"]).exits(0);
        }
    });
}

#[test]
fn a14_a_table_that_a_migration_renamed_or_made_in_code_is_looked_after() {
    on_each_database(|world, database| {
        let more = match database {
            Database::Sqlite(_) => "ALTER TABLE orders RENAME TO sales;\n",
            Database::Postgres(_) => {
                "ALTER TABLE orders RENAME TO sales;\nDO $$ BEGIN EXECUTE 'CREATE TABLE coded (id int)'; END $$;\n\
                 CREATE SCHEMA app;\nSET search_path = app;\nCREATE TABLE found (id int);\n"
            }
        };
        world.file("migrations/0002_rename.sql", more);
        applied(world);

        let plan = world.plan_json();
        database.sql("ALTER TABLE sales ADD COLUMN hand text");
        if let Database::Postgres(_) = database {
            database.sql("DROP TABLE coded; ALTER TABLE app.found ADD COLUMN hand text");
        }

        assert_eq!(texts(&plan["unmanaged"]), [""; 0], "{plan}");
        let said = world.trueup(&["drift"]);
        said.exits(2).says("sales");
        if let Database::Postgres(_) = database {
            said.says("coded is gone").says("app.found");
        }
        world.trueup(&["drift", "accept"]).exits(0);
        world.trueup(&["drift"]).exits(0);
        database.sql("DROP TABLE sales");
        world.trueup(&["drift"]).exits(2).says("sales is gone");
    });
}

#[test]
fn a_plan_is_drift_as_long_as_the_spec_is_the_one_last_applied() {
    on_each_database(|world, database| {
        applied(world);
        database.sql("DELETE FROM items WHERE id = 'a'");

        world.trueup(&["drift"]).exits(2).says("system.seed.demo").says("1 object differs");
        let told = drift(world);
        world.file("items.csv", "id,name\na,Apple\nb,Bread\nc,Cheese\n");
        world.trueup(&["drift"]).exits(0).warns("1 planned changes may be its own");
        let untold = drift(world);
        world.apply().exits(0);
        world.trueup(&["drift"]).exits(0);
        // After applying another spec with the same objects, differences are drift again.
        world.spec(&spec("  lock_timeout: 7s\n")).apply().exits(0);
        database.sql("DELETE FROM items WHERE id = 'a'");
        world.trueup(&["drift"]).exits(2);

        assert_eq!(
            (steps(&told), &told["baseline"]),
            (vec!["update system.seed.demo".to_owned()], &Value::from("same"))
        );
        assert_eq!((steps(&untold).len(), &untold["baseline"]), (0, &Value::from("spec_changed")));
    });
}
