//! A08: SQLite files with their own COMMIT and BEGIN, which end the transaction that sqlx opens
//! around a file and begin the one that sqlx commits.

use crate::servers;
use crate::stacks::{Database, MIGRATIONS, on_each_database, sqlx_runs};
use crate::world::World;

const SHELVES: &str = "
CREATE TABLE shelf (id INTEGER PRIMARY KEY, label TEXT NOT NULL);
CREATE TABLE book (id INTEGER PRIMARY KEY, shelf_id INTEGER REFERENCES shelf (id) ON DELETE CASCADE);
INSERT INTO shelf VALUES (1, 'a');
INSERT INTO book VALUES (1, 1);
";

/// Rebuilds the table `shelf`, for changes that ALTER TABLE does not support.
const REBUILT: &str = "
CREATE TABLE shelf_new (id INTEGER PRIMARY KEY, label TEXT);
INSERT INTO shelf_new (id, label) SELECT id, label FROM shelf;
DROP TABLE shelf;
ALTER TABLE shelf_new RENAME TO shelf;
";

/// Files that `sqlx migrate run` accepts, behind [`SHELVES`].
fn accepted() -> Vec<(&'static str, String)> {
    let around = |before: &str, after: &str| format!("{before}{REBUILT}{after}");
    vec![
        (
            "both ends are the file's own",
            around(
                "COMMIT;\nPRAGMA foreign_keys = OFF;\nBEGIN TRANSACTION;",
                "COMMIT;\nPRAGMA foreign_keys = ON;\nBEGIN TRANSACTION;\n",
            ),
        ),
        ("the last transaction is the work", around("COMMIT; PRAGMA foreign_keys = OFF; BEGIN;", "")),
        (
            "statements stand before the first COMMIT",
            around(
                "CREATE TABLE first (id INT); CREATE TABLE second (id INT); END; PRAGMA foreign_keys=0; BEGIN;",
                "PRAGMA foreign_key_check; COMMIT; BEGIN IMMEDIATE",
            ),
        ),
        (
            "a savepoint stands for BEGIN",
            around("COMMIT; PRAGMA foreign_keys = OFF; SAVEPOINT s;", "RELEASE s; BEGIN; CREATE TABLE last (id INT);"),
        ),
        (
            "statements stand outside of any transaction",
            "COMMIT; VACUUM; CREATE TABLE middle (id INT); PRAGMA journal_mode; BEGIN; CREATE TABLE last (id INT);"
                .to_owned(),
        ),
        ("what is rolled back is gone", "CREATE TABLE gone (id INT); ROLLBACK; BEGIN; CREATE TABLE kept (id INT);".to_owned()),
        (
            "it begins with `-- no-transaction`",
            around("-- no-transaction\nPRAGMA foreign_keys = OFF;\nBEGIN;", "COMMIT;\nPRAGMA foreign_keys = ON;\n"),
        ),
    ]
}

#[test]
fn a08_what_sqlx_accepts_on_sqlite_is_applied_with_the_same_schema_and_rows() {
    for (what, sql) in accepted() {
        println!("{what}");
        let world = World::new();
        let files = ("migrations/0001_shelves.sql", "migrations/0002_rebuilt.sql");
        world
            .spec(MIGRATIONS)
            .file(files.0, SHELVES)
            .file(files.1, &sql)
            .file("migrations/0003_end.sql", "CREATE TABLE z (id INT);");
        let (ours, theirs) = (world.path("ours.db"), world.path("theirs.db"));
        world.env("DATABASE_URL", format!("sqlite://{}", ours.display()));
        sqlx_runs(&world, &Database::Sqlite(theirs.clone()), "migrations").unwrap();

        world.apply().exits(0);

        world.plan().exits(0).says("No changes");
        for question in [
            "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '%trueup_%' ORDER BY 1, 2",
            "SELECT shelf.label, book.id FROM shelf LEFT JOIN book ON shelf_id = shelf.id",
            "SELECT version, hex(checksum), success FROM _sqlx_migrations ORDER BY 1",
        ] {
            assert_eq!(servers::sqlite(&ours, question), servers::sqlite(&theirs, question), "{what}");
        }
    }
}

#[test]
fn a08_a_file_whose_last_transaction_failed_goes_on_when_it_is_open_at_the_end() {
    let world = World::new();
    let database = world.path("app.db");
    world.env("DATABASE_URL", format!("sqlite://{}", database.display())).spec(MIGRATIONS);
    let until =
        format!("COMMIT; PRAGMA foreign_keys = OFF; BEGIN; {REBUILT} COMMIT; PRAGMA foreign_keys = ON;");
    world.file("migrations/0001_shelves.sql", SHELVES);
    world.file("migrations/0002_rebuilt.sql", format!("{until} BEGIN; INSERT INTO nowhere VALUES (1);"));
    world.apply().exits(6).says("no such table: nowhere");
    assert_eq!(servers::sqlite(&database, "SELECT success FROM _sqlx_migrations WHERE version = 2"), "0");

    world.file("migrations/0002_rebuilt.sql", format!("{until} BEGIN;"));

    world.apply().exits(0);
    assert_eq!(servers::sqlite(&database, "SELECT success FROM _sqlx_migrations WHERE version = 2"), "1");
    assert_eq!(servers::sqlite(&database, "SELECT count(*) FROM book"), "1");
    world.plan().exits(0);
}

#[test]
fn a08_what_was_begun_statement_by_statement_before_the_first_commit_goes_on_so() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        world.file(
            "migrations/0001_a.sql",
            "CREATE TABLE a (id INT);\nINSERT INTO nowhere VALUES (1);\nBEGIN; COMMIT;",
        );
        world.apply().exits(6);
        assert_eq!(database.sql("SELECT count(*) FROM a"), "0", "the first statement is kept");

        world.file(
            "migrations/0001_a.sql",
            "CREATE TABLE a (id INT);\nCREATE TABLE b (id INT);\nCOMMIT;\nBEGIN;",
        );

        world.apply().exits(0);
        assert_eq!(database.sql("SELECT count(*) FROM b"), "0");
        world.plan().exits(0);
    });
}

#[test]
fn a08_what_stands_before_the_first_commit_is_kept_or_taken_back_as_one() {
    for commit in ["COMMIT", "END", "end transaction", "ROLLBACK"] {
        on_each_database(|world, database| {
            world.spec(MIGRATIONS);
            // No other word tells that the file ends a transaction.
            let file = |second: &str| {
                format!("CREATE TABLE a (id INT);\n{second};\n{commit};\nCREATE TABLE b (id INT);")
            };
            world.file("migrations/0001_a.sql", file("INSERT INTO nowhere VALUES (1)"));
            world.apply().exits(6).says("line 2");
            assert!(!database.has_table("a"), "{commit}");

            world.file("migrations/0001_a.sql", file("SELECT 1"));

            world.apply().exits(0);
            world.plan().exits(0).says("No changes");
            assert_eq!(database.has_table("a"), commit != "ROLLBACK", "{commit}");
            assert!(database.has_table("b"), "{commit}");
        });
    }
}

#[test]
fn a08_what_was_committed_in_the_middle_of_a_file_is_reported_and_kept() {
    for commit in ["COMMIT", "END", "end work"] {
        on_each_database(|world, database| {
            if matches!(database, Database::Sqlite(_)) && commit == "end work" {
                return;
            }
            world.spec(MIGRATIONS);
            let file = |last: &str| format!("CREATE TABLE a (id INT);\n{commit};\n{last};\n");
            world.file("migrations/0001_a.sql", file("INSERT INTO nowhere VALUES (1)"));

            let failed = world.apply();

            failed.exits(6).says("line 3").never_says("nothing was kept");
            assert!(database.has_table("a"), "{commit}");
            world.file("migrations/0001_a.sql", file("CREATE TABLE b (id INT)"));
            world.apply().exits(0);
            assert!(database.has_table("b"), "{commit}");
        });
    }
}
