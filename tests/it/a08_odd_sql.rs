//! A08: migrations with SQL that is legal and odd: what begins and ends transactions, what only psql
//! understands, what SQLite heeds outside a transaction only.

use crate::world::World;

const SPEC: &str = "
version: 1
stack: demo
environment: dev
system: { url: \"${DATABASE_URL}\", create_database: true, migrations: migrations, accounts: false }
";

fn sqlite() -> World {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path("app.db").display())).spec(SPEC);
    world
}

const FAMILY: &str = "
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (10, 1), (11, 2);
";

/// As SQLite's manual says to change what ALTER TABLE cannot.
const REBUILT: &str = "
CREATE TABLE parent_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT '');
INSERT INTO parent_new SELECT id, name FROM parent;
DROP TABLE parent;
ALTER TABLE parent_new RENAME TO parent;
";

#[test]
fn a_table_that_sqlite_rebuilds_with_foreign_keys_off_keeps_the_rows_that_refer_to_it() {
    let world = sqlite();
    world.file("migrations/0001_family.sql", FAMILY);
    world.apply().exits(0);

    world.file(
        "migrations/0002_rebuilt.sql",
        format!("PRAGMA foreign_keys = OFF;{REBUILT}PRAGMA foreign_keys = ON;\n"),
    );
    world.apply().exits(0);

    assert_eq!(world.sqlite("app.db", "SELECT id, parent FROM child ORDER BY id"), "10|1\n11|2");
    world.file("migrations/0003_bound.sql", "INSERT INTO child VALUES (12, 99);");
    world.apply().exits(6).says("FOREIGN KEY constraint failed");
}

#[test]
fn a_table_that_sqlite_rebuilds_with_foreign_keys_on_is_destroyed_with_what_refers_to_it() {
    let world = sqlite();
    world.file("migrations/0001_family.sql", FAMILY).apply().exits(0);

    world.file("migrations/0002_rebuilt.sql", REBUILT);

    world.plan().exits(2).says("rows of child refer to parent").says("[destructive]");
    world.apply().exits(3);
    assert_eq!(world.sqlite("app.db", "SELECT count(*) FROM child"), "2");
}

#[test]
fn a_migration_that_switches_foreign_keys_off_and_leaves_rows_that_refer_to_nothing_is_taken_back() {
    let world = sqlite();
    world.file("migrations/0001_family.sql", FAMILY).apply().exits(0);

    world.file(
        "migrations/0002_orphans.sql",
        "PRAGMA foreign_keys = OFF;\nINSERT INTO child VALUES (12, 99), (13, 98);\n",
    );

    world.apply().exits(6).says("2 rows refer to nothing").says("nothing of this migration was kept");
    assert_eq!(world.sqlite("app.db", "SELECT count(*) FROM child"), "2");
}
