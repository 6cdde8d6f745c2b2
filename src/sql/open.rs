//! Opens databases: deadlines, names and read-only modes are set here and nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{LockedSqliteHandle, SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use url::Url;

use super::pool::Pool;
use super::{Database, Error, Result};

/// How long SQLite waits for another writer of the same file.
const BUSY_DEADLINE: Duration = Duration::from_secs(30);
/// The oldest major version of PostgreSQL that has what the statements of this tool use.
pub(super) const OLDEST: u32 = 12;
/// What a major version counts in a version's number.
const MAJOR: u32 = 10_000;

/// How long a statement waits for the end of others of this process. Its queue is no failure: what
/// holds the file ends, or is stopped.
const TURN_DEADLINE: Duration = Duration::from_hours(24);

/// How values and the catalog are spelled when read as text, whatever the role or database has set:
/// what is read is compared with what is written elsewhere.
const SPELLING: [(&str, &str); 4] = [
    ("bytea_output", "hex"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("quote_all_identifiers", "off"),
];

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
    let name = database.clone().unwrap_or_else(|| url.path().trim_start_matches('/').to_owned());
    let port = url.port().unwrap_or(5432);
    let address = format!("{}:{port}/{name}", url.host_str().unwrap_or("localhost"));
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

/// The driver's options for a session with a name. Floats are read as the server writes them, and
/// a pooler knows no `extra_float_digits`.
pub(crate) fn postgres_options(url: &Url, application_name: &str) -> sqlx::Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_url(url)?
        .application_name(application_name)
        .extra_float_digits(None)
        // A statement may hold a secret, and a slow one would be logged.
        .disable_statement_logging())
}

/// Opens a connection.
///
/// The driver computes the proof of a password in pieces of some microseconds and lets others go first
/// after each, which costs this runtime more than a piece does: several are done in a row.
pub(crate) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    const PIECES: usize = 32;
    let mut connecting = std::pin::pin!(options.connect());
    std::future::poll_fn(|context| {
        let mut polls = (0..PIECES).map(|_| connecting.as_mut().poll(context));
        polls.find(std::task::Poll::is_ready).unwrap_or(std::task::Poll::Pending)
    })
    .await
}

/// Whether a pooler refuses an option of the connection: a violation of the protocol, it says.
fn is_refused_option(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == PROTOCOL_VIOLATION)
}

/// A session must end with its client, and so must its statement: the server looks for the client
/// every two seconds while it executes (PostgreSQL 14 on; before, the statement runs to its end),
/// and notices within a minute that a host has vanished. Some platforms refuse one or the other.
pub(crate) async fn end_with_the_client(connection: &mut PgConnection) -> sqlx::Result<()> {
    const KEEPALIVE: &str =
        "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
    const NOTICE: &str = "SET client_connection_check_interval = 2000";
    // No version comes through some poolers. What is not known is not asked for: it would fail.
    let has_notice = connection.server_version_num().is_some_and(|version| version >= 140_000);
    let spelling = SPELLING.map(|(name, value)| format!("SET {name} = {value}")).join("; ");
    let sql = if has_notice {
        format!("{spelling}; {NOTICE}; {KEEPALIVE}")
    } else {
        format!("{spelling}; {KEEPALIVE}")
    };
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await {
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The driver's options for a file in a mode.
pub fn sqlite_options(path: &Path, mode: SqliteMode) -> SqliteConnectOptions {
    let options =
        SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_DEADLINE).disable_statement_logging();
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
    let mut pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(TURN_DEADLINE);
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
