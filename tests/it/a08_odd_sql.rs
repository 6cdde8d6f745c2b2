//! A08: migrations with unusual but legal SQL: explicit transactions, commands that only psql
//! understands, and pragmas that SQLite ignores in a transaction.

use crate::servers::Postgres;
use crate::stacks::{Database, MIGRATIONS, on_each_database};
use crate::world::World;

fn sqlite() -> World {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path("app.db").display())).spec(MIGRATIONS);
    world
}

const FAMILY: &str = "
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (10, 1), (11, 2);
";

/// The procedure of SQLite's manual for changes that ALTER TABLE does not support.
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

    world.plan().exits(2).says("rows of child refer to parent").says("[destructive, locking]");
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

#[test]
fn a08_a_migration_with_a_transaction_of_its_own_is_recorded_with_what_it_does() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS).file(
            "migrations/0001_own.sql",
            "BEGIN;\nCREATE TABLE a (id integer);\nCOMMIT;\nCREATE TABLE b (id integer);\nSELECT no_such_thing(1);\n",
        );

        let failed = world.apply();

        failed
            .exits(6)
            .says("line 5, at `SELECT no_such_thing(1)`")
            .says("what comes before this statement is kept");
        assert_eq!(database.sql("SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)"), "0");
        world.file(
            "migrations/0001_own.sql",
            "BEGIN;\nCREATE TABLE a (id integer);\nCOMMIT;\nCREATE TABLE b (id integer);\nCREATE TABLE c (id integer);\n",
        );
        world.apply().exits(0);
        assert_eq!(database.sql("SELECT count(*) FROM c"), "0");
        world.plan().exits(0);
    });
}

#[test]
fn a08_a_rollback_in_a_migration_takes_back_its_own_transaction_only() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS).file(
            "migrations/0001_back.sql",
            "CREATE TABLE a (id integer);\nBEGIN;\nCREATE TABLE b (id integer);\nROLLBACK;\nCREATE TABLE c (id integer);\n",
        );

        world.apply().exits(0);

        let tables = match database {
            crate::stacks::Database::Sqlite(_) => {
                "SELECT name FROM sqlite_schema WHERE name IN ('a', 'b', 'c') ORDER BY 1"
            }
            crate::stacks::Database::Postgres(_) => {
                "SELECT relname FROM pg_class WHERE relname IN ('a', 'b', 'c') ORDER BY 1"
            }
        };
        assert_eq!(database.sql(tables), "a\nc");
        world.plan().exits(0);
    });
}

#[test]
fn a08_what_only_psql_can_run_is_refused_by_the_plan_with_its_line() {
    let (database, world) = (Postgres::start(), World::new());
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    for (sql, line, why) in [
        (
            "CREATE TABLE a (id int);\nCOPY a (id) FROM stdin;\n1\n\\.\n",
            2,
            "waits for rows that only psql sends",
        ),
        ("CREATE TABLE a (id int);\n\n\\connect app\n", 3, "`\\connect` is a command of psql"),
        ("COPY (SELECT 1) TO STDOUT;\n", 1, "has nobody to send its rows to"),
    ] {
        world.file("migrations/0001_a.sql", sql);

        world.plan().exits(1).warns(why).warns(&format!("migrations/0001_a.sql:{line}:1"));

        world.apply().exits(1);
    }
}

#[test]
fn a08_what_refuses_a_transaction_is_said_to_go_outside() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS).file("migrations/0001_a.sql", "CREATE TABLE a (id integer);\nVACUUM;\n");

        world.apply().exits(6).says("let the file begin with the line `-- no-transaction`");

        world.file("migrations/0001_a.sql", "-- no-transaction\nCREATE TABLE a (id integer);\nVACUUM;\n");
        world.apply().exits(0);
        assert_eq!(database.sql("SELECT count(*) FROM a"), "0");
    });
}

#[test]
fn a09_a_folder_that_lost_its_files_is_an_error_and_no_empty_plan() {
    on_each_database(|world, _| {
        world.spec(MIGRATIONS).file("migrations/0001_a.sql", "CREATE TABLE a (id integer);").apply().exits(0);

        std::fs::remove_file(world.path("migrations/0001_a.sql")).unwrap();

        world.plan().exits(1).warns("migration 1 (\"a\") is applied, and its file is missing");
        std::os::unix::fs::symlink("/nowhere/0001_a.sql", world.path("migrations/0001_a.sql")).unwrap();
        world.plan().exits(1).warns("cannot read migrations/0001_a.sql");
    });
}

#[test]
fn a08_what_never_ends_in_a_file_is_said_without_what_is_sent_behind_it() {
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        world.file("migrations/0001_a.sql", "CREATE TABLE a (id integer);\n/* never closed\n");

        let applied = world.apply();

        if let Database::Postgres(_) = database {
            applied.exits(6).says("unterminated /* comment").says("line 2").never_says("INSERT INTO");
            assert_eq!(database.sql("SELECT count(*) FROM _sqlx_migrations"), "0");
        } else {
            // SQLite ends an unterminated comment at the end of the file.
            applied.exits(0);
        }
    });
}

#[test]
fn a08_a_connection_that_is_lost_names_the_file_that_ran() {
    let database = Postgres::start();
    let world = World::new();
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    let ends = "CREATE TABLE a (id int);\nSELECT pg_terminate_backend(pg_backend_pid());\n";
    world.file("migrations/0001_a.sql", ends);

    world.apply().exits(6).says("0001_a.sql").says("terminating connection").says("the connection was lost");

    world.file("migrations/0001_a.sql", "CREATE TABLE a (id int);\n").apply().exits(0);
    world.plan().exits(0);
}

#[test]
fn a08_a_file_that_becomes_another_role_is_recorded_all_the_same() {
    let database = Postgres::start();
    let world = World::new();
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    let role = format!("{}_maker", database.name());
    database.psql(&format!("CREATE ROLE {role}"));
    let file = format!(
        "CREATE SCHEMA x;\nGRANT CREATE, USAGE ON SCHEMA x TO {role};\nSET ROLE {role};\nCREATE TABLE x.a (id int);\n"
    );
    world.file("migrations/0001_a.sql", file).file("migrations/0002_b.sql", "CREATE TABLE b (id int);\n");

    let applied = world.apply();
    let owners = database.psql("SELECT count(DISTINCT relowner) FROM pg_class WHERE relname IN ('a', 'b')");
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));

    applied.exits(0);
    assert_eq!(owners, "2", "the next file begins with the rights of the account");
}

#[test]
fn a08_a_file_outside_a_transaction_keeps_its_role_and_is_recorded_with_the_rights_of_the_account() {
    let database = Postgres::start();
    let world = World::new();
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    let role = format!("{}_maker", database.name());
    database.psql(&format!("CREATE ROLE {role}; CREATE SCHEMA x AUTHORIZATION {role}"));
    for (version, become_it) in
        [(1, format!("SET ROLE {role}")), (2, format!("SET SESSION AUTHORIZATION {role}"))]
    {
        world.file(
            &format!("migrations/000{version}_a.sql"),
            format!(
                "-- no-transaction\n{become_it};\nCREATE TABLE x.a{version} (id int);\n\
                 CREATE INDEX CONCURRENTLY i{version} ON x.a{version} (id);\n\
                 BEGIN;\nCREATE TABLE x.b{version} (id int);\nCOMMIT;\nCREATE TABLE x.c{version} (id int);\n\
                 CREATE UNIQUE INDEX CONCURRENTLY ON x.nowhere (id);\n"
            ),
        );
    }

    let stopped = world.apply();
    for version in [1, 2] {
        let path = format!("migrations/000{version}_a.sql");
        world.file(&path, world.read(&path).replace("x.nowhere", &format!("x.c{version}")));
    }
    let applied = world.apply();
    let owned = database.psql(&format!(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'x'::regnamespace AND relowner = '{role}'::regrole"
    ));
    let again = world.plan();
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));

    stopped.exits(6).says("relation \"x.nowhere\" does not exist");
    applied.exits(0);
    assert_eq!(owned, "10", "all of both files is the role's");
    again.exits(0);
}

#[test]
fn a08_a_half_done_file_that_lost_its_first_line_is_told_to_get_it_back() {
    on_each_database(|world, _| {
        world.spec(MIGRATIONS);
        let half = "CREATE TABLE a (id integer);\nINSERT INTO nowhere VALUES (1);\n";
        world.file("migrations/0001_a.sql", format!("-- no-transaction\n{half}"));
        world.apply().exits(6);

        world.file("migrations/0001_a.sql", half);

        world.plan().exits(1).warns("put the line `-- no-transaction` back");
    });
}

#[test]
fn a08_a_rule_with_several_actions_runs_as_one_statement_outside_a_transaction() {
    let database = Postgres::start();
    let world = World::new();
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    let init = "CREATE TABLE t (n int); CREATE TABLE log_a (n int); CREATE TABLE log_b (n int);";
    world.file("migrations/0001_init.sql", init);
    world.file(
        "migrations/0002_rule.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY t_n ON t (n);\nCREATE RULE keep AS ON INSERT TO t DO ALSO \
         (INSERT INTO log_a VALUES (new.n); INSERT INTO log_b VALUES (new.n));\nINSERT INTO t VALUES (7);\n",
    );

    world.apply().exits(0);

    assert_eq!(database.psql("SELECT a.n, b.n FROM log_a a, log_b b"), "7|7");
}
