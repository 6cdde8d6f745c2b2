//! Opens databases: deadlines, names and read-only modes are set here and nowhere else.

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

/// How long SQLite waits for another writer of the same file.
const BUSY_DEADLINE: Duration = Duration::from_secs(30);
/// The oldest major version of PostgreSQL that has what the statements of this tool use.
pub(super) const OLDEST: u32 = 12;
/// What a major version counts in a version's number.
const MAJOR: u32 = 10_000;

/// Rows that SQLite's thread may be ahead of who reads them: at fewer it would stop and wait at each.
const ROWS_AHEAD: usize = 5_000;

/// How long a statement waits for the end of others of this process. Its queue is no failure: what
/// holds the file ends, or is stopped.
const TURN_DEADLINE: Duration = Duration::from_hours(24);

/// How to open a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Shown in `pg_stat_activity`: `trueup/STACK/RUN`.
    pub application_name: String,
    /// Ask the server to refuse writes in every transaction.
    pub read_only: bool,
    /// Connections at most.
    pub connections: usize,
    /// Another database than the URL's, such as the maintenance database.
    pub database: Option<String>,
}

/// How to open an SQLite file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteMode {
    /// Reads only, and takes part in the file's locks. Makes `-shm` beside a file in WAL mode.
    ReadOnly,
    /// Reads only and takes the file for one that nobody writes: leaves nothing beside it.
    Immutable,
    /// Reads and writes; the file must exist.
    ReadWrite,
    /// Reads and writes; the file is made when missing, not its folder.
    Create,
}

/// Opens a PostgreSQL database and makes one connection, so that a wrong address fails here.
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
        // Poolers take few options. Setting it later could reach another client's session.
        Err(error) if read_only && is_refused_option(&error) => open(plain).await,
        opened => opened,
    };
    let pool = pool.map_err(failed)?;
    match pool.version() {
        Some(version) if version / MAJOR < OLDEST => {
            let version = format!("{}.{}", version / MAJOR, version % MAJOR);
            Err(Error::TooOld { address, version })
        }
        _ => Ok(Database::Postgres(pool)),
    }
}

/// `host:port/database`, decoded as the driver decodes it; no password.
pub(crate) fn address(url: &Url, database: Option<&str>) -> String {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let host = url.host_str().map_or_else(|| "localhost".to_owned(), decode);
    let database = database.map_or_else(|| decode(url.path().trim_start_matches('/')), str::to_owned);
    format!("{host}:{}/{database}", url.port().unwrap_or(5432))
}

/// Whether a pooler refuses an option of the connection: a violation of the protocol, it says.
fn is_refused_option(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == PROTOCOL_VIOLATION)
}

/// The driver's options for a file in a mode.
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

/// Ends the statement that SQLite executes in this process: it is interrupted and rolled back.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks once: the next look of a long statement ends it. A short one never looks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn heed(&self, connection: &mut LockedSqliteHandle<'_>) {
        /// Steps of SQLite's machine between two looks: a few milliseconds.
        const STEPS: i32 = 100_000;
        let asked = Arc::clone(&self.0);
        connection.set_progress_handler(STEPS, move || !asked.swap(false, Ordering::Relaxed));
    }
}

/// Opens an SQLite file and makes one connection, so that a missing file fails here.
pub async fn open_sqlite(path: &Path, mode: SqliteMode) -> Result<Database> {
    open_sqlite_with(path, mode, None).await
}

/// Opens a file of this tool's own for reading. What a killed writer left beside it is rolled back
/// first: a reader cannot do that, and could read nothing.
pub async fn open_sqlite_to_read(path: &Path, mode: SqliteMode) -> Result<Database> {
    /// The file needs what only a writer may do: a roll-back, or the recovery of its log.
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

/// As [`open_sqlite`], with a way to end what runs.
pub async fn open_sqlite_with(
    path: &Path,
    mode: SqliteMode,
    interrupt: Option<&Interrupt>,
) -> Result<Database> {
    // One writer at a time is all that SQLite has: waiting in the pool beats SQLITE_BUSY. For reading
    // a second one, which the pool would open for questions that follow each other, is a thread more.
    let mut pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(TURN_DEADLINE).after_release(
        |connection, _| {
            Box::pin(async move {
                // Behind the roll-back that a dropped transaction has asked for.
                sqlx::Connection::ping(connection).await?;
                // Where SQLite rolled back by itself, as on a full disk, the driver still counts the
                // transaction as open, and would refuse to begin another one.
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
