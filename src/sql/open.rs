//! Opens databases. Sets deadlines, application names and read-only modes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions as _;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{LockedSqliteHandle, SqliteConnectOptions, SqlitePoolOptions};
use url::Url;

use super::pool::Pool;
use super::session::{SPELLING, postgres_options};
use super::{Database, Error, Result};

/// How long SQLite waits for another process that writes the same file.
const BUSY_DEADLINE: Duration = Duration::from_secs(30);
/// The oldest supported major version of PostgreSQL.
pub(super) const OLDEST: u32 = 12;
/// The factor of the major version in a version number.
const MAJOR: u32 = 10_000;

/// The buffer between SQLite's thread and the reader of rows. With a small one, the thread would
/// wait for each row.
const ROWS_AHEAD: usize = 5_000;

/// How long a statement waits for others of this process. Waiting is no error: the other statements end or
/// are cancelled.
const TURN_DEADLINE: Duration = Duration::from_hours(24);

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Shown in `pg_stat_activity`: `trueup/STACK/RUN`.
    pub application_name: String,
    /// Requests read-only transactions from the server.
    pub read_only: bool,
    /// The maximum number of connections.
    pub connections: usize,
    /// Replaces the database of the URL, for example with the maintenance database.
    pub database: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteMode {
    /// Reads with file locks. Creates `-shm` beside a file in WAL mode.
    ReadOnly,
    /// Reads without locks, assuming that no process writes the file. Creates no other file.
    Immutable,
    /// Reads and writes; the file must exist.
    ReadWrite,
    /// Reads and writes; a missing file is created, but not its folder.
    Create,
}

/// Opens a PostgreSQL database with one connection, so that a wrong address fails here.
pub async fn open_postgres(url: &Url, options: &PostgresOptions) -> Result<Database> {
    let PostgresOptions { application_name, read_only, connections, database } = options;
    let (read_only, connections) = (*read_only, *connections);
    let address = address(url, database.as_deref());
    let failed = |source| Error::Connect { address: address.clone(), cause: Box::new(source) };

    let mut connect = postgres_options(url, application_name).map_err(failed)?;
    if let Some(database) = database {
        connect = connect.database(database);
    }
    let plain = connect.clone();
    if read_only {
        connect = connect.options([("default_transaction_read_only", "on")]).options(SPELLING);
    }
    let open = |options| Pool::open(options, !read_only, connections);
    let pool = match open(connect).await {
        // Poolers reject most options. Setting read-only later could affect another client's
        // session.
        Err(error) if read_only && is_refused_option(&error) => open(plain).await,
        opened => opened,
    };
    let pool = pool.map_err(failed)?;
    match pool.version() {
        Some(version) if version / MAJOR < OLDEST => {
            let version = format!("{}.{}", version / MAJOR, version % MAJOR);
            Err(Error::TooOld { address, version })
        }
        _ => {
            pool.open_second();
            Ok(Database::Postgres(pool))
        }
    }
}

/// `host:port/database`, decoded like the driver does, without a password.
pub(crate) fn address(url: &Url, database: Option<&str>) -> String {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let host = url.host_str().map_or_else(|| "localhost".to_owned(), decode);
    let database = database.map_or_else(|| decode(url.path().trim_start_matches('/')), str::to_owned);
    format!("{host}:{}/{database}", url.port().unwrap_or(5432))
}

/// Whether a pooler rejected a connection option, which it reports as a protocol violation.
fn is_refused_option(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == PROTOCOL_VIOLATION)
}

pub fn sqlite_options(path: &Path, mode: SqliteMode) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_DEADLINE)
        .row_buffer_size(ROWS_AHEAD)
        .disable_statement_logging();
    match mode {
        SqliteMode::ReadOnly => options.read_only(true),
        SqliteMode::Immutable => options.read_only(true).immutable(true),
        SqliteMode::ReadWrite => options.foreign_keys(true),
        SqliteMode::Create => options.foreign_keys(true).create_if_missing(true),
    }
}

/// Cancels the statement that SQLite executes in this process, which is then rolled back.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Requests the cancellation once. It takes effect at the next check of a long statement; short
    /// ones never check.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn heed(&self, connection: &mut LockedSqliteHandle<'_>) {
        /// The number of SQLite's virtual machine steps between two checks, which take a few
        /// milliseconds.
        const STEPS: i32 = 100_000;
        let asked = Arc::clone(&self.0);
        connection.set_progress_handler(STEPS, move || !asked.swap(false, Ordering::Relaxed));
    }
}

/// Opens an SQLite file with one connection, so that a missing file fails here.
pub async fn open_sqlite(path: &Path, mode: SqliteMode) -> Result<Database> {
    open_sqlite_with(path, mode, None).await
}

/// Opens a file of this tool for reading. A transaction that a killed writer left is rolled back first,
/// because a reader cannot do that, and would fail.
pub async fn open_sqlite_to_read(path: &Path, mode: SqliteMode) -> Result<Database> {
    /// The file needs a writer: to roll back a journal, or to recover the log.
    const NEEDS_WRITER: [&str; 2] = ["776", "264"];
    const TOUCH: &str = "SELECT count(*) FROM sqlite_schema";
    let database = open_sqlite(path, mode).await?;
    match database.query(TOUCH, &[]).await {
        Ok(_) => Ok(database),
        Err(error) if error.code().is_some_and(|code| NEEDS_WRITER.contains(&&*code)) => {
            database.close().await;
            let writer = open_sqlite(path, SqliteMode::ReadWrite).await?;
            let repaired = writer.query(TOUCH, &[]).await;
            writer.close().await;
            repaired?;
            open_sqlite(path, mode).await
        }
        Err(error) => Err(error),
    }
}

/// Like [`open_sqlite`], with a handle that cancels statements.
pub async fn open_sqlite_with(
    path: &Path,
    mode: SqliteMode,
    interrupt: Option<&Interrupt>,
) -> Result<Database> {
    // SQLite allows one writer at a time: waiting in the pool avoids SQLITE_BUSY. For reading, a second
    // connection would only cost a thread.
    let mut pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(TURN_DEADLINE).after_release(
        |connection, _| {
            Box::pin(async move {
                // Waits for the rollback that a dropped transaction has queued.
                sqlx::Connection::ping(connection).await?;
                // After SQLite itself rolled back, for example when the disk is full, the driver still
                // counts the transaction as open and would reject a new one.
                Ok(!sqlx::Connection::is_in_transaction(connection))
            })
        },
    );
    if let Some(interrupt) = interrupt {
        let interrupt = interrupt.clone();
        pool = pool.after_connect(move |connection, _| {
            let interrupt = interrupt.clone();
            Box::pin(async move {
                interrupt.heed(&mut connection.lock_handle().await?);
                Ok(())
            })
        });
    }
    let pool = pool
        .connect_with(sqlite_options(path, mode))
        .await
        .map_err(|source| Error::Connect { address: path.display().to_string(), cause: Box::new(source) })?;
    Ok(Database::Sqlite(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_said_and_leaves_a_database_that_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let database = open_sqlite(&folder.path().join("a.db"), SqliteMode::Create).await.unwrap();
        database.execute("CREATE TABLE t (x)", &[]).await.unwrap();

        for large in [
            "INSERT INTO t VALUES (zeroblob(1000000))",
            "INSERT INTO t SELECT zeroblob(100000) FROM sqlite_schema",
        ] {
            database.execute("PRAGMA max_page_count = 20", &[]).await.unwrap();
            let mut transaction = database.begin().await.unwrap();
            let failed = transaction.execute(large, &[]).await.unwrap_err();
            assert_eq!(failed.help(), Some(crate::sql::FULL_HELP), "{failed:?}");
            drop(transaction);

            let mut transaction = database.begin().await.unwrap();
            transaction.execute("DELETE FROM t", &[]).await.unwrap();
            transaction.commit().await.unwrap();
        }
    }
}
