//! The database, its migrations and what nobody declared.

use super::*;

#[test]
fn a_missing_database_that_may_not_be_created_is_a_fault() {
    on_each_database(|mut b| async move {
        let name = b.client();
        b.stack.system.create_database = false;

        let diff = b.diff().await;

        assert_eq!(diff.faults[0].message, "the system database does not exist");
        b.stack.system.create_database = true;
        b.converge().await;
        assert_eq!(name.presence().await.unwrap(), Presence::Present);
    });
}

#[test]
fn a08_a_failing_migration_names_file_line_and_statement_and_a_second_run_goes_on() {
    on_each_database(|mut b| async move {
        let good = "CREATE TABLE a (id integer PRIMARY KEY);";
        b.migrate(&[
            ("0001_a", good),
            ("0002_b", "CREATE TABLE b (id integer);\n\n-- again\nCREATE TABLE a (id integer);\n"),
        ]);

        let failed = b.apply(b.diff().await).await.unwrap_err();

        let Error::Migrations(migrations::Error::Migration { text, line, statement, .. }) = &failed else {
            panic!("{failed:?}")
        };
        assert_eq!(
            (text.name(), *line, statement.as_str()),
            ("migrations/0002_b.sql", 4, "CREATE TABLE a (id integer)")
        );
        let said = failed.to_string();
        assert!(
            said.starts_with(
                "migration 0002_b failed in migrations/0002_b.sql, line 4, at `CREATE TABLE a (id integer)`: "
            ),
            "{said}"
        );
        b.migrate(&[("0001_a", good), ("0002_b", "CREATE TABLE b (id integer);")]);
        assert_eq!(b.converge().await, ["run system.migration.0002_b: 1 statement (pending)"]);
    });
}

#[test]
fn a08_a_place_that_the_database_names_gives_the_line() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_a", "-- é\nCREATE TABLE a (id integer);\nCREATE INDEX i\n  ON a (nothing);\n")]);

        let failed = b.apply(b.diff().await).await.unwrap_err();

        let Error::Migrations(migrations::Error::Migration { line, statement, .. }) = &failed else {
            panic!("{failed:?}")
        };
        assert!(*line == 3 || *line == 4, "line {line}");
        assert!(statement.starts_with("CREATE INDEX i"));
    });
}

#[test]
fn a09_an_edited_migration_is_a_fault_with_both_checksums_and_line_endings_are_not() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_a", "CREATE TABLE a (id integer);\nSELECT 1;\n")]);
        b.converge().await;

        b.migrate(&[("0001_a", "\u{feff}CREATE TABLE a (id integer);\r\nSELECT 1;\r\n")]);
        assert_eq!(b.converge().await, Steps::new());

        b.migrate(&[("0001_a", "CREATE TABLE a (id  integer);\nSELECT 1;\n")]);
        let faults = b.diff().await.faults;
        assert_eq!(faults.len(), 1);
        let shown = faults[0].message.split_once(": ").unwrap().1;
        let checksums: Vec<&str> =
            shown.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 12).collect();
        assert!(checksums.len() == 2 && checksums[0] != checksums[1], "{shown}");
    });
}

#[test]
fn a_migration_whose_file_is_gone_is_a_fault() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_a", "SELECT 1"), ("0002_b", "SELECT 2")]);
        b.converge().await;
        b.migrate(&[("0001_a", "SELECT 1")]);

        assert_eq!(
            b.diff().await.faults[0].message,
            "migration 2 (\"b\") is applied, and its file is missing"
        );
    });
}

#[test]
fn a_migration_that_failed_half_way_is_a_fault() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_a", "SELECT 1")]);
        b.converge().await;
        b.execute("UPDATE _sqlx_migrations SET success = false").await;

        assert_eq!(b.diff().await.faults[0].message, "migration 0001_a is recorded as failed half way");
    });
}

#[test]
fn a10_an_older_migration_is_a_fault_unless_the_order_allows_it() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_a", "SELECT 1"), ("0003_c", "SELECT 3")]);
        b.converge().await;
        b.migrate(&[("0001_a", "SELECT 1"), ("0002_b", "SELECT 2"), ("0003_c", "SELECT 3")]);

        let fault = b.diff().await.faults.remove(0);
        b.stack.system.order = Order::Allow;
        let steps = b.converge().await;

        assert_eq!(fault.message, "migration 0002_b is not applied, and is older than 0003_c, which is");
        assert_eq!(
            steps,
            ["run system.migration.0002_b: 1 statement (pending, out of order: 3 is applied (order: allow))"]
        );
    });
}

#[test]
fn a12_tables_without_a_history_are_adopted_and_never_made_again() {
    on_each_database(|mut b| async move {
        b.converge().await;
        b.execute("CREATE TABLE \"Users\" (id integer); CREATE TABLE alembic_version (version_num text)")
            .await;
        b.migrate(&[("0001_init", "CREATE TABLE IF NOT EXISTS users (id integer)")]);

        let fault = b.diff().await.faults.remove(0);

        assert_eq!(
            fault.message,
            "the database has tables of these migrations and no history of them (Alembic's, it seems): Users"
        );
        assert!(fault.help.unwrap().contains("trueup baseline --to 1"));
    });
}

#[test]
fn a13_tables_that_nobody_declared_are_listed_once_and_kept() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_init", "CREATE TABLE ours (id integer)")]);
        b.converge().await;
        b.execute("CREATE TABLE projects (id integer)").await;

        let diff = b.diff().await;

        assert!(diff.changes.is_empty());
        assert_eq!(diff.unmanaged, [crate::address::Kind::Table.named("projects")]);
        b.stack.system.migrations = MigrationSets::default();
        assert!(b.diff().await.unmanaged.is_empty());
    });
}

#[test]
fn sqlx_itself_agrees_with_the_history() {
    on_each_database(|mut b| async move {
        b.migrate(&[("0001_first_step", "CREATE TABLE a (id integer)")]);
        b.converge().await;

        let rows = b.query("SELECT version, description, success FROM _sqlx_migrations").await;

        assert!(rows == ["1|first step|true"] || rows == ["1|first step|1"], "{rows:?}");
    });
}

#[test]
fn an_extension_is_installed_once() {
    on_each_database(|mut b| async move {
        b.stack.system.extensions = vec!["plpgsql".into(), "pg_trgm".into()];

        let steps = b.converge().await;

        // SQLite has none; the spec refuses to ask for them.
        let expected = if b.dialect() == Dialect::Postgres { 3 } else { 1 };
        assert_eq!(steps.len(), expected, "{steps:?}");
    });
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let url = SystemUrl::Sqlite(folder.path().join("no/app.db"));
    let client = Client::new(url, "test", Purpose::Apply(RunId::new()));

    assert_eq!(client.presence().await.unwrap(), Presence::Missing);
    assert!(matches!(client.create_database().await, Err(connection::Error::NoFolder { .. })));
}

#[tokio::test]
async fn a21_a_server_that_does_not_answer_is_named_without_its_password() {
    let client =
        Client::new(postgres("postgres://app:hunter2222222@127.0.0.1:1/app"), "test", Purpose::Observe);

    let said = client.presence().await.unwrap_err().to_string();

    assert!(said.starts_with("system: cannot connect to 127.0.0.1:1/app: "), "{said}");
    assert!(!said.contains("hunter"));
}

#[tokio::test]
async fn observing_leaves_nothing_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let b = Bench::new(SystemUrl::Sqlite(folder.path().join("app.db")));
    b.converge().await;
    b.execute("PRAGMA journal_mode = wal; CREATE TABLE t (x)").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let list = || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = list();

    let client = Client::new(b.url.clone(), "test", Purpose::Observe);
    let desired = Desired::new(&b.stack, Dialect::Sqlite);
    look(&desired, &Inventory::default(), &RowLocations::default(), &client).await;

    assert_eq!(list(), before);
}

#[test]
fn a_session_that_observes_cannot_write() {
    on_each_database(|b| async move {
        b.converge().await;
        let client = Client::new(b.url.clone(), "test", Purpose::Observe);

        let refused = client.database().await.unwrap().execute("CREATE TABLE t (x integer)", &[]).await;

        let code = refused.unwrap_err().code().unwrap();
        assert!(code == "25006" || code == "8", "{code}");
    });
}

#[test]
fn a_session_that_writes_is_named_for_its_run_and_notices_when_its_client_is_gone() {
    on_each_database(|b| async move {
        b.converge().await;
        if b.dialect() == Dialect::Postgres {
            // PostgreSQL looks for its client from version 14 on.
            let sql = "SELECT current_setting('application_name'), \
                       current_setting('client_connection_check_interval', true), \
                       current_setting('server_version_num')::int >= 140000";
            let shown = b.query(sql).await.remove(0);
            let known =
                [format!("trueup/test/{}|2s|true", b.run), format!("trueup/test/{}|NULL|false", b.run)];
            assert!(known.contains(&shown), "{shown}");
        }
    });
}

#[test]
fn several_runs_at_once_make_one_database_and_each_row_once() {
    on_each_database(|mut b| async move {
        let (one, two, three) = (b.client(), b.client(), b.client());
        let made = tokio::join!(one.create_database(), two.create_database(), three.create_database());
        assert!(made.0.is_ok() && made.1.is_ok() && made.2.is_ok(), "{made:?}");
        b.keep_books().await;
        b.migrate(&[("0001_a", "CREATE TABLE a (id integer PRIMARY KEY)")]);
        b.converge().await;
        b.put("a", seed("a", "id", SeedMode::Insert, &["id"], &[&["1"], &["2"]]));
        let planned = b.diff().await.changes.remove(0).change;

        let done = tokio::join!(apply(&planned, &one, &b.run), apply(&planned, &two, &b.run));

        assert!(done.0.is_ok() && done.1.is_ok(), "{done:?}");
        assert_eq!(b.row_entries().await.len(), 2);
        assert!(b.diff().await.changes.is_empty());
    });
}
