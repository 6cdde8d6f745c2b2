use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::catalog::Snapshot;
use crate::change::{Action, Diff, Risk, Status};
use crate::location::{Location, Source};
use crate::sql::{Database, SqliteMode, open_sqlite};
use crate::stack::{Endpoint, Target, TargetUrl, Unset};

/// A target at a path that asks for nothing.
fn target(path: &Path) -> Target {
    let at = Location::new(&Source::new("stack.yaml", "targets:"), 0, 7);
    Target {
        on: true,
        when: None,
        endpoint: Endpoint {
            to: Ok(TargetUrl::Sqlite(path.to_owned())),
            written: "sqlite://target.db".to_owned(),
            at: at.clone(),
        },
        include: vec!["*".to_owned()],
        exclude: Vec::new(),
        require: BTreeMap::new(),
        require_read_only: false,
        at,
    }
}

fn desired(path: &Path) -> Desired {
    Desired::new("business", &target(path))
}

async fn written(path: &Path, statements: &str) -> Database {
    let database = open_sqlite(path, SqliteMode::Create).await.unwrap();
    let Database::Sqlite(pool) = &database else { unreachable!() };
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(pool).await.unwrap();
    database
}

/// A file with two tables.
async fn business(folder: &Path) -> PathBuf {
    let path = folder.join("business.db");
    let tables = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INT NOT NULL);
                  CREATE TABLE tmp_load (x);";
    written(&path, tables).await.close().await;
    path
}

async fn seen(path: &Path) -> Seen {
    match observe(&desired(path)).await {
        Observed::Readable(seen) => seen,
        Observed::Failed { failure, .. } => panic!("{failure:?}"),
    }
}

async fn failure(path: &Path) -> Failure {
    match observe(&desired(path)).await {
        Observed::Failed { failure, .. } => failure,
        Observed::Readable(_) => panic!("it could be read"),
    }
}

fn check<'d>(diff: &'d Diff<Change>, part: &str) -> (Status, &'d str) {
    let address = format!("target.business.{part}");
    let check = diff.checks.iter().find(|check| check.address.as_str() == address).unwrap();
    (check.status, &check.message)
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn b04_what_is_wrong_with_a_file_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = fs::read(business(folder.path()).await).unwrap();
    let mut scribbled = whole.clone();
    scribbled[100..160].fill(0xee);

    assert_eq!(failure(&folder.path().join("none.db")).await, Failure::Missing);
    assert_eq!(failure(folder.path()).await, Failure::NotAFile);
    assert_eq!(failure(&file("empty.db", b"")).await, Failure::Empty);
    assert_eq!(failure(&file("text.db", b"id,name\n1,x\n")).await, Failure::NotSqlite);
    assert!(matches!(failure(&file("head.db", &whole[..50])).await, Failure::Corrupt { .. }));
    assert!(matches!(failure(&file("cut.db", &whole[..4096])).await, Failure::Corrupt { .. }));
    assert!(matches!(failure(&file("scribbled.db", &scribbled)).await, Failure::Corrupt { .. }));
}

#[tokio::test]
async fn b03_a_target_that_cannot_be_read_fails_its_check_and_holds_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let desired = desired(&folder.path().join("none.db"));

    let diff = diff(&desired, &observe(&desired).await, None);

    let (status, message) = check(&diff, "access");
    assert_eq!(status, Status::Fail);
    assert!(message.contains("there is no file") && message.contains("none.db"), "{message}");
    assert!(diff.changes.is_empty());
    assert_eq!(diff.blocked[0].address.as_str(), "target.business.schema");
    assert_eq!(files(folder.path()), [""; 0], "nothing is made");
}

#[test]
fn an_address_that_is_not_known_is_a_failure_that_names_the_variable() {
    let mut target = target(Path::new("x"));
    target.endpoint.to = Err(Unset { names: vec!["TARGET_PATH".to_owned()] });
    let desired = Desired::new("business", &target);

    let observed = Observed::Failed {
        place: "${TARGET_PATH}".to_owned(),
        failure: Failure::Unresolved { names: vec!["TARGET_PATH".to_owned()] },
    };
    let diff = diff(&desired, &observed, None);

    assert!(check(&diff, "access").1.contains("TARGET_PATH"));
}

#[cfg(unix)]
#[tokio::test]
async fn b01_a_file_that_could_be_written_is_a_warning_or_with_require_read_only_a_failure() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    let mut spec = target(&path);
    let verdict = async |spec: &Target| {
        let desired = Desired::new("business", spec);
        let diff = diff(&desired, &observe(&desired).await, None);
        (check(&diff, "access").0, diff.changes.len(), diff.blocked.len())
    };

    assert_eq!(verdict(&spec).await, (Status::Warn, 1, 0));
    spec.require_read_only = true;
    assert_eq!(verdict(&spec).await, (Status::Fail, 0, 1));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(verdict(&spec).await, (Status::Pass, 1, 0));
}

#[tokio::test]
async fn b05_a_missing_table_or_column_fails_with_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut spec = target(&path);
    let verdict = async |spec: &Target| {
        let desired = Desired::new("business", spec);
        let diff = diff(&desired, &observe(&desired).await, None);
        let (status, message) = check(&diff, "contract");
        (status, message.to_owned())
    };

    spec.require = [("Orders".to_owned(), columns(&["ID", "customer_id"]))].into();
    assert_eq!(verdict(&spec).await.0, Status::Pass);

    spec.require =
        [("ordres".to_owned(), columns(&[])), ("orders".to_owned(), columns(&["custmer_id", "zzz"]))].into();
    let (status, message) = verdict(&spec).await;
    assert_eq!(status, Status::Fail);
    assert!(
        message.contains(r#"column "custmer_id" of table "orders" is missing (did you mean "customer_id"?)"#)
    );
    assert!(message.contains(r#"column "zzz" of table "orders" is missing;"#), "{message}");
    assert!(message.contains(r#"table "ordres" is missing (did you mean "orders"?)"#), "{message}");
}

#[tokio::test]
async fn b06_a_schema_is_recorded_once_and_again_when_it_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    let mut spec = target(&path);
    spec.exclude = vec!["tmp_*".to_owned()];
    let desired = Desired::new("business", &spec);

    let first = diff(&desired, &observe(&desired).await, None);
    let planned = &first.changes[0];
    assert_eq!((planned.action, planned.risks.worst()), (Action::Create, Risk::Safe));
    let Change::RecordSchema { target, snapshot: recorded } = planned.change.clone();
    assert_eq!((target.as_str(), recorded.tables.len()), ("business", 1));

    let stored: Snapshot = serde_json::from_str(&serde_json::to_string(&recorded).unwrap()).unwrap();
    let again = diff(&desired, &observe(&desired).await, Some(&stored));
    assert_eq!((again.changes.len(), again.unchanged), (0, 1));

    written(&path, "ALTER TABLE orders ADD COLUMN note TEXT; CREATE TABLE tmp_more (x)").await.close().await;
    let later = diff(&desired, &observe(&desired).await, Some(&stored));
    let planned = &later.changes[0];
    assert_eq!(planned.action, Action::Update);
    assert_eq!(planned.summary, "record a new version of the schema: 1 table changed");
    let text = planned.diff.as_deref().unwrap();
    assert!(text.contains("--- orders\n+++ orders\n") && text.contains("\n+  note TEXT,\n"), "{text}");
    assert!(!text.contains("tmp_more") && !text.contains("\n-  "), "{text}");
}

#[tokio::test]
async fn an_observation_is_whole_whatever_is_excluded_and_survives_its_file_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    let mut spec = target(&path);
    spec.exclude = vec!["*".to_owned()];
    let desired = Desired::new("business", &spec);

    let observed = observe(&desired).await;

    let Observed::Readable(seen) = &observed else { panic!("{observed:?}") };
    assert_eq!(seen.snapshot.tables.len(), 2);
    assert_eq!(check(&diff(&desired, &observed, None), "access").0, Status::Warn);
    let text = serde_json::to_string(&observed).unwrap();
    assert_eq!(serde_json::from_str::<Observed>(&text).unwrap(), observed);
}

#[tokio::test]
async fn b12_a_wal_file_is_read_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    written(&path, "PRAGMA journal_mode = wal").await.close().await;

    assert_eq!(seen(&path).await.snapshot.tables.len(), 2);
    assert_eq!(files(folder.path()), ["business.db"], "closed by its last writer");

    let writer = written(&path, "CREATE TABLE late (x)").await;
    let beside = files(folder.path());
    assert_eq!(beside, ["business.db", "business.db-shm", "business.db-wal"]);
    assert_eq!(seen(&path).await.snapshot.tables.len(), 3, "what is only in the log is seen");
    assert_eq!(files(folder.path()), beside, "its writer is at work");

    let crashed = folder.path().join("crashed");
    fs::create_dir(&crashed).unwrap();
    for name in ["business.db", "business.db-wal"] {
        fs::copy(folder.path().join(name), crashed.join(name)).unwrap();
    }
    let refused = failure(&crashed.join("business.db")).await;
    assert_eq!(refused, Failure::NeedsCheckpoint);
    assert!(refused.message("business.db").contains("PRAGMA wal_checkpoint"));
    assert_eq!(files(&crashed), ["business.db", "business.db-wal"]);
    writer.close().await;
}

#[tokio::test]
async fn a_journal_left_by_an_interrupted_writer_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    let writer = written(&path, "PRAGMA cache_size = 1; BEGIN IMMEDIATE;").await;
    let Database::Sqlite(pool) = &writer else { unreachable!() };
    // More than the cache holds is spilled into the file before the commit, under the journal.
    let spill =
        "INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 SELECT i, i FROM n";
    sqlx::raw_sql(spill).execute(pool).await.unwrap();

    let crashed = folder.path().join("crashed");
    fs::create_dir(&crashed).unwrap();
    for name in ["business.db", "business.db-journal"] {
        fs::copy(folder.path().join(name), crashed.join(name)).unwrap();
    }
    sqlx::raw_sql("ROLLBACK").execute(pool).await.unwrap();
    writer.close().await;

    assert_eq!(failure(&crashed.join("business.db")).await, Failure::NeedsRollback);
    assert_eq!(files(&crashed), ["business.db", "business.db-journal"]);

    // Beside an empty log it would be opened as immutable, and the journal would not be looked at.
    fs::write(crashed.join("business.db-wal"), "").unwrap();
    assert_eq!(failure(&crashed.join("business.db")).await, Failure::NeedsRollback);
    let ended = crashed.join("business.db-journal");
    fs::write(&ended, [0; 512]).unwrap();
    assert!(matches!(observe(&desired(&crashed.join("business.db"))).await, Observed::Readable(_)));
}

#[cfg(unix)]
#[tokio::test]
async fn b12_a_wal_file_in_a_folder_that_cannot_be_written_is_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    written(&path, "PRAGMA journal_mode = wal").await.close().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();

    let seen = seen(&path).await;

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(seen.access, Access { file_writable: false, folder_writable: false });
    assert_eq!(seen.snapshot.tables.len(), 2);
    assert_eq!(files(folder.path()), ["business.db"]);
}

#[tokio::test]
async fn b12_a_busy_writer_is_read_around_or_the_check_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = business(folder.path()).await;
    written(&path, "PRAGMA journal_mode = wal").await.close().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let at_work = tokio::spawn({
        let path = path.clone();
        async move {
            let mut stopped = stopped;
            // Opened and closed each time: the log comes and goes, and the file itself changes.
            while stopped.try_recv().is_err() {
                let writer = written(&path, "INSERT INTO tmp_load VALUES (1)").await;
                tokio::task::yield_now().await;
                writer.close().await;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    });

    let mut read = 0;
    for _ in 0..30 {
        match observe(&desired(&path)).await {
            Observed::Readable(seen) => {
                assert_eq!(seen.snapshot.tables.len(), 2);
                read += 1;
            }
            Observed::Failed { failure, .. } => {
                assert!(matches!(failure, Failure::Busy | Failure::NeedsCheckpoint), "{failure:?}");
            }
        }
    }
    assert!(read > 0, "no pause of its writer was used");
    stop.send(()).unwrap();
    at_work.await.unwrap();
    // A writer that closes while somebody reads leaves its log, which the next one takes along.
    written(&path, "INSERT INTO tmp_load VALUES (1)").await.close().await;
    assert_eq!(files(folder.path()), ["business.db"]);
}
