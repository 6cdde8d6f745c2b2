//! Migrations that are begun, waited for, edited, adopted from sqlx or run again.

use sqlx::migrate::{MigrationSource as _, Migrator};

use super::*;
use crate::change::Status;
use crate::sql::FileTables;
use crate::stack::Repeatable;

fn repeatable(name: &str, sql: &str) -> Repeatable {
    let at = Location::new(&Source::new(format!("migrations/repeatable/{name}.sql"), sql), 0, 1);
    Repeatable { name: name.into(), sql: sql.into(), tables: FileTables::default(), at }
}

/// Runs the migrations of a folder with sqlx's own migrator, up to a version.
async fn sqlx_runs(
    b: &Bench,
    folder: &std::path::Path,
    to: i64,
) -> std::result::Result<(), sqlx::migrate::MigrateError> {
    let migrator = Migrator::new(folder).await.unwrap();
    match b.database().await {
        Database::Postgres(pool) => migrator.run_to(to, &mut *pool.take().await.unwrap()).await,
        Database::Sqlite(pool) => migrator.run_to(to, &pool).await,
    }
}

/// Three files in a folder, as sqlx finds them there and as a stack has them.
async fn in_a_folder(b: &mut Bench) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("0001_first_step", "CREATE TABLE a (id integer PRIMARY KEY);\n"),
        ("0002_b", "-- no-transaction\nCREATE TABLE b (id integer);\nCREATE TABLE c (id integer);\n"),
        ("20240102030405_d", "CREATE TABLE d (id integer);\r\n"),
    ];
    for (stem, sql) in files {
        std::fs::write(folder.path().join(format!("{stem}.sql")), sql).unwrap();
    }
    b.migrate(&files);
    let found = folder.path().resolve().await.unwrap();
    assert_eq!(found.len(), 3);
    folder
}

#[test]
fn what_is_applied_here_leaves_sqlx_nothing_to_do() {
    on_each_database(|mut b| async move {
        b.client().create_database().await.unwrap();
        let folder = in_a_folder(&mut b).await;
        b.converge().await;
        let history = "SELECT version, description, success FROM _sqlx_migrations ORDER BY 1";
        let before = b.query(history).await;

        sqlx_runs(&b, folder.path(), i64::MAX).await.unwrap();

        assert_eq!(b.query(history).await, before);
        assert!(before[0].starts_with("1|first step|"), "{before:?}");
    });
}

#[test]
fn what_sqlx_applied_is_not_planned_and_each_goes_on_after_the_other() {
    on_each_database(|mut b| async move {
        b.client().create_database().await.unwrap();
        let folder = in_a_folder(&mut b).await;

        sqlx_runs(&b, folder.path(), 1).await.unwrap();
        let second = b.stack.system.migrations.common.pop().unwrap();
        let steps = b.converge().await;
        b.stack.system.migrations.common.push(second);
        sqlx_runs(&b, folder.path(), i64::MAX).await.unwrap();

        assert_eq!(steps, ["run system.migration.0002_b: 2 statements, outside a transaction (pending)"]);
        assert_eq!(b.converge().await, Steps::new());
    });
}

#[test]
fn a08_outside_a_transaction_a_run_goes_on_at_the_statement_that_failed() {
    on_each_database(|mut b| async move {
        b.keep_books_early().await;
        let begin = "-- no-transaction\nCREATE TABLE a (id integer);\nINSERT INTO a VALUES (1);\n";
        b.migrate(&[("0001_a", &format!("{begin}INSERT INTO nowhere VALUES (1);\nSELECT 1;\n"))]);

        let failed = b.apply(b.diff().await).await.unwrap_err();

        let Error::Migrations(migrations::Error::Migration { line, statement, advice, .. }) = &failed else {
            panic!("{failed:?}")
        };
        assert_eq!(
            (*line, statement.as_str(), &**advice),
            (4, "INSERT INTO nowhere VALUES (1)", &Advice::Resumes)
        );
        let success = b.query("SELECT success FROM _sqlx_migrations").await;
        assert!(success == ["false"] || success == ["0"], "sqlx must not begin it anew: {success:?}");
        let edited = "-- no-transaction\nCREATE TABLE a (id text);\nINSERT INTO a VALUES (1);\nSELECT 1;\n";
        b.migrate(&[("0001_a", edited)]);
        assert_eq!(
            b.diff().await.faults[0].message,
            "migration 0001_a stopped half way, and its statement 1, which is done, was edited since"
        );
        b.migrate(&[("0001_a", &format!("{begin}INSERT INTO a VALUES (2);\n"))]);
        assert_eq!(
            b.converge().await,
            ["run system.migration.0001_a: 3 statements, outside a transaction \
                 (pending, 2 of 3 statements are done)"]
        );
        assert_eq!(b.query("SELECT count(*), sum(id) FROM a").await, ["2|3"]);
    });
}

#[test]
fn a08_what_a_killed_run_had_begun_and_done_is_not_done_again() {
    on_postgres(|mut b| async move {
        b.keep_books_early().await;
        b.execute("CREATE TABLE t (a integer); CREATE INDEX CONCURRENTLY i ON t (a)").await;
        let sql =
            "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);\nCREATE INDEX CONCURRENTLY j ON t (a)";
        b.migrate(&[("0001_a", sql)]);
        let key = crate::digest::Fingerprint::of_text("statement 0 begun");
        b.execute(&format!(
            "INSERT INTO trueup.inventory VALUES ('system.migration.0001_a', '{key}', '{{}}', '{key}', 'x')"
        ))
        .await;

        b.converge().await;

        assert_eq!(b.query("SELECT count(*) FROM pg_indexes WHERE tablename = 't'").await, ["2"]);
    });
}

#[test]
fn a_setting_outside_a_transaction_is_set_again_by_the_run_that_goes_on() {
    on_each_database(|mut b| async move {
        b.keep_books_early().await;
        if b.dialect() == Dialect::Postgres {
            return;
        }
        let begin = "-- no-transaction\nPRAGMA foreign_keys = OFF;\n\
                     CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE c (p integer REFERENCES p (id));\n";
        b.migrate(&[("0001_a", &format!("{begin}SELECT nothing;"))]);
        b.apply(b.diff().await).await.unwrap_err();

        b.migrate(&[("0001_a", &format!("{begin}INSERT INTO c VALUES (7);")), ("0002_b", "SELECT 1")]);
        b.converge().await;

        assert_eq!(b.query("SELECT p FROM c").await, ["7"]);
        b.migrate(&[
            ("0001_a", &format!("{begin}INSERT INTO c VALUES (7);")),
            ("0002_b", "SELECT 1"),
            ("0003_c", "INSERT INTO c VALUES (8)"),
        ]);
        assert!(b.apply(b.diff().await).await.is_err(), "foreign keys are on again");
    });
}

#[test]
fn a09_whether_only_white_space_was_edited_is_said_where_it_is_known() {
    on_each_database(|mut b| async move {
        b.keep_books_early().await;
        b.migrate(&[("0001_a", "\u{feff}CREATE TABLE a (id integer);\n")]);
        b.converge().await;
        let said = async |b: &mut Bench, stem: &str, sql: &str| {
            b.migrate(&[(stem, sql)]);
            let diff = b.diff().await;
            let message = diff.faults.first().map(|fault| fault.message.clone()).unwrap_or_default();
            (message.split(": ").next().unwrap_or_default().to_owned(), diff.notes)
        };

        let (space, _) = said(&mut b, "0001_a", "CREATE TABLE a (\n  id integer\n);\n").await;
        let (more, _) = said(&mut b, "0001_a", "CREATE TABLE a (id text);\n").await;
        let (other, _) = said(&mut b, "0001_b", "CREATE TABLE b (id text);\n").await;
        let (renamed, notes) = said(&mut b, "0001_b", "CREATE TABLE a (id integer);\n").await;
        let (renumbered, _) = said(&mut b, "0002_a", "CREATE TABLE a (id integer);\n").await;
        b.execute("DELETE FROM _sqlx_migrations").await;

        assert_eq!(space, "migration 0001_a was edited after it was applied, in white space only");
        assert_eq!(more, "migration 0001_a was edited after it was applied, and not only in white space");
        assert_eq!(other, "migration 0001_b has the number of another one that is applied, 1 (\"a\")");
        assert_eq!(renamed, "");
        assert_eq!(notes, ["migration 0001_b was applied under another name, \"a\"; its text is the same"]);
        assert_eq!(renumbered, "migration 1 (\"a\") is applied, and its file is now 0002_a");
    });
}

#[test]
fn a11_an_invalid_index_is_dropped_and_built_anew_or_shown() {
    on_postgres(|mut b| async move {
        b.keep_books_early().await;
        b.migrate(&[("0001_t", "CREATE TABLE t (a integer)")]);
        b.converge().await;
        b.execute("INSERT INTO t VALUES (1), (1)").await;
        let index = "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY \"T a\" ON t (a);\n";
        b.migrate(&[("0001_t", "CREATE TABLE t (a integer)"), ("0002_i", index)]);

        let failed = b.apply(b.diff().await).await.unwrap_err();
        assert!(failed.to_string().contains("could not create unique index"), "{failed}");
        let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
        assert_eq!(b.query(invalid).await, ["0"], "it takes what it left along");
        // What a killed one leaves.
        b.execute("CREATE INDEX \"T a\" ON t (a)").await;
        b.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"T a\"'::regclass").await;
        assert!(b.diff().await.checks.iter().all(|check| check.status == Status::Pass), "it is rebuilt");
        b.execute("DELETE FROM t").await;
        b.converge().await;
        assert_eq!(b.query(invalid).await, ["0"]);

        b.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"T a\"'::regclass").await;
        let check = b.diff().await.checks.into_iter().find(|check| check.status == Status::Warn).unwrap();
        assert_eq!(check.address.as_str(), "system.index.T a");
        assert!(check.message.contains("`REINDEX INDEX CONCURRENTLY \"T a\"`"), "{}", check.message);
    });
}

#[test]
fn a_lock_that_another_session_holds_is_waited_for_a_number_of_times() {
    on_postgres(|mut b| async move {
        b.keep_books_early().await;
        b.stack.system.lock_timeout = Duration::from_millis(250);
        b.migrate(&[("0001_t", "CREATE TABLE t (a integer)")]);
        b.converge().await;
        let alter = "-- é\nALTER TABLE t ADD b integer;\nALTER TABLE t ADD c integer";
        b.migrate(&[("0001_t", "CREATE TABLE t (a integer)"), ("0002_b", alter)]);
        let database = b.database().await;
        let mut holder = database.begin().await.unwrap();
        holder.execute("LOCK TABLE t IN ACCESS SHARE MODE", &[]).await.unwrap();

        let failed = b.apply(b.diff().await).await.unwrap_err();
        let Error::Migrations(migrations::Error::Migration { line, advice, .. }) = &failed else {
            panic!("{failed:?}")
        };
        let Advice::Lock { tries: 6, on: Some(on) } = &**advice else { panic!("{advice:?}") };
        assert!(on.contains("trueup/test/") && on.contains("idle in transaction since 20"), "{on}");
        assert!(on.contains("LOCK TABLE t IN ACCESS SHARE MODE"), "{on}");
        assert_eq!(*line, 2);

        let released = async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            holder.commit().await.unwrap();
        };
        let (steps, ()) = tokio::join!(b.converge(), released);
        assert_eq!(steps.len(), 1);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled() {
    on_postgres(|mut b| async move {
        b.keep_books_early().await;
        b.stack.system.statement_timeout = Duration::from_millis(50);
        b.migrate(&[("0001_t", "SELECT pg_sleep(20)")]);

        let failed = b.apply(b.diff().await).await.unwrap_err();

        let Error::Migrations(migrations::Error::Migration { advice, .. }) = &failed else {
            panic!("{failed:?}")
        };
        assert_eq!(**advice, Advice::Slow);
    });
}

#[test]
fn what_a_migration_sets_ends_with_it() {
    on_postgres(|mut b| async move {
        b.keep_books_early().await;
        b.migrate(&[
            ("0001_a", "SELECT pg_catalog.set_config('search_path', '', false); SET ROLE pg_monitor"),
            ("0002_b", "CREATE TABLE b (id integer)"),
        ]);

        b.converge().await;

        assert_eq!(b.query("SELECT to_regclass('public.b')::text").await, ["b"]);
    });
}

#[test]
fn files_outside_a_transaction_share_a_session_until_one_sets_something_in_it() {
    on_postgres(|mut b| async move {
        b.keep_books_early().await;
        b.execute("CREATE TABLE seen (file text, pid integer, setting text)").await;
        let see = |file: &str| {
            format!(
                "INSERT INTO seen VALUES ('{file}', pg_backend_pid(), current_setting('statement_timeout'));"
            )
        };
        let outside = |file: &str, before: &str| format!("-- no-transaction\n{before}{}", see(file));
        b.migrate(&[
            ("0001_a", &outside("a", "CREATE INDEX CONCURRENTLY i ON seen (pid);")),
            ("0002_b", &outside("b", "")),
            ("0003_c", &see("c")),
            ("0004_d", &outside("d", "SET statement_timeout = '7min';")),
            ("0005_e", &outside("e", "")),
        ]);

        b.converge().await;

        let sessions = "SELECT string_agg(file, '' ORDER BY file) FROM seen GROUP BY pid ORDER BY 1";
        assert_eq!(b.query(sessions).await, ["abcd", "e"]);
        assert_eq!(b.query("SELECT file FROM seen WHERE setting = '7min'").await, ["d"]);
        assert_eq!(b.query("SELECT count(*) FROM _sqlx_migrations WHERE success").await, ["5"]);
        // Of a file that is whole nothing but its text is remembered.
        let remembered = "SELECT count(*) FROM trueup.inventory WHERE address LIKE 'system.migration.%'";
        assert_eq!(b.query(remembered).await, ["5"]);
    });
}

#[test]
fn a_repeatable_file_runs_after_migrations_and_before_rows_and_again_when_its_text_changes() {
    on_each_database(|mut b| async move {
        b.keep_books_early().await;
        b.migrate(&[("0001_a", "CREATE TABLE a (id integer PRIMARY KEY)")]);
        let view = |sql: &str| vec![repeatable("v", sql), repeatable("w", "SELECT 1")];
        b.stack.system.migrations.repeatable.common =
            view("DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT id FROM a;\n");
        b.put("a", seed("a", "id", SeedMode::Insert, &["id"], &[&["1"]]));

        let first = b.converge().await;
        b.stack.system.migrations.repeatable.common =
            view("\u{feff}DROP VIEW IF EXISTS v;\r\nCREATE VIEW v AS SELECT id FROM a;\r\n");
        let same = b.converge().await;
        b.stack.system.migrations.repeatable.common =
            view("DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT id + 1 AS id FROM a;\n");
        let changed = b.converge().await;

        assert_eq!(
            first,
            [
                "run system.migration.0001_a: 1 statement (pending)",
                "run system.repeatable.v: 2 statements, run again whenever the file changes (never run)",
                "run system.repeatable.w: 1 statement, run again whenever the file changes (never run)",
                "create system.seed.a: 1 row to insert (missing)",
            ]
        );
        assert_eq!(same, Steps::new());
        assert_eq!(
            changed,
            ["run system.repeatable.v: 2 statements, run again whenever the file changes (its text changed)"]
        );
        assert_eq!(b.query("SELECT id FROM v").await, ["2"]);
    });
}

#[test]
fn a_repeatable_file_that_fails_is_named_with_its_line() {
    on_each_database(|mut b| async move {
        b.keep_books_early().await;
        b.stack.system.migrations.repeatable.common =
            vec![repeatable("v", "SELECT 1;\nINSERT INTO nowhere VALUES (1);\nSELECT 2")];

        let failed = b.apply(b.diff().await).await.unwrap_err();

        let Error::Migrations(migrations::Error::Migration { text, line, .. }) = &failed else {
            panic!("{failed:?}")
        };
        assert_eq!((text.name(), *line), ("migrations/repeatable/v.sql", 2));
    });
}

#[test]
fn a_scratch_database_is_gone_however_the_trial_ends() {
    on_each_database(|b| async move {
        b.client().create_database().await.unwrap();
        let client = Client::new(b.url.clone(), "test", Purpose::Observe);
        let there = std::sync::Mutex::new(String::new());

        let failed = within_scratch(&client, async |scratch: &Client| {
            *there.lock().unwrap() = scratch.address();
            scratch.database().await?.execute("CREATE TABLE t (a integer)", &[]).await.unwrap();
            Err::<(), _>(migrations::Error::NoSuchMigration { version: 7, known: Vec::new() }.into())
        });

        assert!(matches!(
            failed.await,
            Err(Error::Migrations(migrations::Error::NoSuchMigration { version: 7, .. }))
        ));
        let there = there.into_inner().unwrap();
        match b.dialect() {
            Dialect::Sqlite => assert!(!std::path::Path::new(&there).exists(), "{there}"),
            Dialect::Postgres => {
                let name = there.rsplit('/').next().unwrap();
                assert!(name.starts_with("trueup_scratch_"), "{there}");
                let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
                assert_eq!(b.query(&left).await, ["0"]);
            }
        }
    });
}
