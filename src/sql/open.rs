//! Opens databases: deadlines, names and read-only modes are set here and nowhere else.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use url::Url;

use super::{Database, Error, Result};

/// Long enough for a TLS handshake over an ocean, short enough to be noticed.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long SQLite waits for another writer of the same file.
const BUSY_DEADLINE: Duration = Duration::from_secs(30);

/// How to open a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Shown in `pg_stat_activity`: `trueup/STACK/RUN`.
    pub application_name: String,
    /// Ask the server to refuse writes in every transaction.
    pub read_only: bool,
    /// Connections at most.
    pub connections: u32,
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
    let database = options.database.clone().unwrap_or_else(|| url.path().trim_start_matches('/').to_owned());
    let port = url.port().unwrap_or(5432);
    let address = format!("{}:{port}/{database}", url.host_str().unwrap_or("localhost"));
    let failed = |source| Error::Connect { address: address.clone(), source: Box::new(source) };

    let mut connect = PgConnectOptions::from_url(url)
        .map_err(failed)?
        .application_name(&options.application_name)
        .log_statements(tracing::log::LevelFilter::Trace);
    if let Some(database) = &options.database {
        connect = connect.database(database);
    }
    if options.read_only {
        connect = connect.options([("default_transaction_read_only", "on")]);
    }
    // A pool retries a refused connection until its deadline and then names no cause: one plain
    // connection first says at once what is wrong. Whether to try again is for the caller.
    match tokio::time::timeout(CONNECT_DEADLINE, connect.connect()).await {
        Ok(Ok(first)) => first.close().await.map_err(failed)?,
        Ok(Err(source)) => return Err(failed(source)),
        Err(_) => return Err(failed(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    }
    let mut pool =
        PgPoolOptions::new().max_connections(options.connections).acquire_timeout(CONNECT_DEADLINE);
    if options.read_only {
        // Asked at once and for a moment: a ping before each query would double the round trips.
        pool = pool.test_before_acquire(false);
    } else {
        pool = pool.after_connect(|connection, _| Box::pin(notice_a_killed_client(connection)));
    }
    Ok(Database::Postgres(pool.connect_lazy_with(connect)))
}

/// A killed client's statement must not run on: lets the server look for the client while it
/// executes. PostgreSQL 12 and 13 have no such setting, and some platforms refuse it: then it runs on.
async fn notice_a_killed_client(connection: &mut PgConnection) -> sqlx::Result<()> {
    const NOTICE: &str = "SELECT set_config(name, '2000', false) FROM pg_settings \
                          WHERE name = 'client_connection_check_interval'";
    match sqlx::raw_sql(NOTICE).execute(connection).await {
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The driver's options for a file in a mode.
pub fn sqlite_options(path: &Path, mode: SqliteMode) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_DEADLINE);
    match mode {
        SqliteMode::ReadOnly => options.read_only(true),
        SqliteMode::Immutable => options.read_only(true).immutable(true),
        SqliteMode::ReadWrite => options.foreign_keys(true),
        SqliteMode::Create => options.foreign_keys(true).create_if_missing(true),
    }
}

/// Opens an SQLite file and makes one connection, so that a missing file fails here.
pub async fn open_sqlite(path: &Path, mode: SqliteMode) -> Result<Database> {
    let connections = match mode {
        SqliteMode::ReadOnly | SqliteMode::Immutable => 2,
        // One writer at a time is all that SQLite has; waiting in the pool beats SQLITE_BUSY.
        SqliteMode::ReadWrite | SqliteMode::Create => 1,
    };
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY_DEADLINE)
        .connect_with(sqlite_options(path, mode))
        .await
        .map_err(|source| Error::Connect { address: path.display().to_string(), source: Box::new(source) })?;
    Ok(Database::Sqlite(pool))
}
