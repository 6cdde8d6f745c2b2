//! The client of the system database. It connects on first use.

use std::path::Path;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

use super::board::{Board, Waits};
use super::session::Session;
use super::{Error, Result};
use crate::address::Address;
use crate::catalog::{self, Snapshot};
use crate::journal::RunId;
use crate::journal::lock::{self, Fence};
use crate::sql::{self, Database, Dialect, Interrupt, Listener, PostgresOptions, SqliteMode};
use crate::stack::{RedactedUrl, SystemUrl};

/// Connections of a run to the server. Those for the lock and the migrations come on top: ten in
/// all.
const CONNECTIONS: usize = 8;
/// How many steps may use the system database at the same time. Each uses one connection and one is left
/// for the journal, so that no step times out waiting for a connection.
pub const STEPS_AT_ONCE: usize = CONNECTIONS - 1;
/// PostgreSQL: the database does not exist.
const UNDEFINED_DATABASE: &str = "3D000";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Read-only sessions. SQLite files that no process writes are opened without creating `-wal`
    /// or `-shm`.
    Observe,
    /// Like `Observe`, and lists everything that can be listed, independent of the stack: for a
    /// saved world.
    Survey,
    /// Writes as part of a run.
    Apply(RunId),
}

/// Whether the database exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The server responds, or the folder can be read, but the database or file does not exist.
    Missing,
    /// The database can be opened.
    Present,
}

/// The system database of one stack, opened for one purpose.
#[derive(Debug)]
pub struct Client {
    url: SystemUrl,
    stack: String,
    purpose: Purpose,
    open: Mutex<Option<Database>>,
    interrupt: Interrupt,
    catalog: Mutex<Option<Arc<Snapshot>>>,
    migrator: Mutex<Option<Session>>,
    board: Board,
    fence: Fence,
}

impl Client {
    /// Creates a client without connecting.
    pub fn new(url: SystemUrl, stack: &str, purpose: Purpose) -> Self {
        Self {
            url,
            stack: stack.to_owned(),
            purpose,
            open: Mutex::default(),
            interrupt: Interrupt::default(),
            catalog: Mutex::default(),
            migrator: Mutex::default(),
            board: Board::default(),
            fence: Fence::default(),
        }
    }

    pub fn dialect(&self) -> Dialect {
        match &self.url {
            SystemUrl::Postgres(_) => Dialect::Postgres,
            SystemUrl::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// `host:port/database` or the path of the file, without a password.
    pub fn address(&self) -> String {
        match &self.url {
            SystemUrl::Postgres(url) => sql::address(url.expose(), None),
            SystemUrl::Sqlite(path) => path.display().to_string(),
        }
    }

    /// Whether the database exists. Returns an error when the server cannot be reached.
    pub async fn presence(&self) -> Result<Presence> {
        match self.database().await {
            Ok(_) => Ok(Presence::Present),
            Err(Error::Missing { .. }) => Ok(Presence::Missing),
            Err(error) => Err(error),
        }
    }

    /// The open database. Connects on first use.
    pub async fn database(&self) -> Result<Database> {
        let mut open = self.open.lock().await;
        if let Some(database) = &*open {
            return Ok(database.clone());
        }
        let database = match &self.url {
            SystemUrl::Postgres(url) => self.open_postgres(url, None).await.map_err(|source| {
                if source.code().as_deref() == Some(UNDEFINED_DATABASE) {
                    Error::Missing { address: self.address() }
                } else {
                    Error::connecting(source, |source| Error::Unreachable { source })
                }
            })?,
            SystemUrl::Sqlite(path) => {
                let mode = self.sqlite_mode(path)?;
                let opened = match mode {
                    SqliteMode::ReadOnly => sql::open_sqlite_to_read(path, mode).await,
                    SqliteMode::Immutable | SqliteMode::ReadWrite | SqliteMode::Create => {
                        sql::open_sqlite_with(path, mode, Some(&self.interrupt)).await
                    }
                };
                // An immutable connection never sees later writes, so an observing client reads
                // only once.
                opened.map_err(|source| Error::Unreachable { source })?
            }
        };
        *open = Some(database.clone());
        Ok(database)
    }

    /// Cancels the running statements, in this process or on the server.
    pub async fn interrupt(&self) {
        self.interrupt.ask();
        if let (SystemUrl::Postgres(url), Purpose::Apply(run)) = (&self.url, &self.purpose) {
            lock::end_statements(url, &self.stack, run).await;
        }
    }

    /// Whether everything that can be listed is read, independent of the stack.
    pub(crate) fn is_surveying(&self) -> bool {
        self.purpose == Purpose::Survey
    }

    /// Subscribes to lock-wait events.
    pub fn waits(&self) -> mpsc::UnboundedReceiver<Waits> {
        self.board.subscribe()
    }

    /// A callback that emits lock-wait events for a step; [`Self::waits`] receives them.
    pub fn listener(&self, address: Address) -> Listener {
        self.board.listener(address)
    }

    /// Stops waiting for other sessions: waiting statements are cancelled and not retried.
    pub fn stop_waiting(&self) {
        self.board.stop();
    }

    /// The check that precedes every write of a run.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Returns an error when the lock is lost. Called before each batch that is written.
    pub(crate) async fn check_lock(&self) -> Result<()> {
        Ok(self.fence.check().await?)
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// Creates the database or file unless it exists.
    pub async fn create_database(&self) -> Result<()> {
        match &self.url {
            SystemUrl::Postgres(url) => self.create_on_server(url).await,
            SystemUrl::Sqlite(path) => create_file(path).await,
        }
    }

    /// The name and version of the server or library.
    pub async fn version(&self) -> Result<String> {
        let query = match self.dialect() {
            Dialect::Postgres => "SELECT current_setting('server_version')",
            Dialect::Sqlite => "SELECT sqlite_version()",
        };
        let read = async {
            let rows = self.database().await?.query(query, &[]).await;
            let rows = rows.map_err(Error::doing("asking for the version"))?;
            Ok(rows.first().and_then(|row| row.get(0)).unwrap_or("").to_owned())
        };
        let version: Result<String> = read.await;
        Ok(format!("{} {}", self.dialect(), version?))
    }

    /// The schema of the database, cached until [`Self::forget_catalog`].
    pub(crate) async fn catalog(&self) -> Result<Arc<Snapshot>> {
        let mut catalog = self.catalog.lock().await;
        if let Some(snapshot) = &*catalog {
            return Ok(Arc::clone(snapshot));
        }
        let database = self.database().await?;
        let read = catalog::introspect(&database).await.map_err(Error::doing("reading the schema"))?;
        let snapshot = Arc::new(read);
        *catalog = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Invalidates the cached schema, because a migration ran.
    pub(crate) async fn forget_catalog(&self) {
        *self.catalog.lock().await = None;
    }

    pub(crate) fn url(&self) -> &SystemUrl {
        &self.url
    }

    /// A client that writes to another database of the same stack.
    pub(crate) fn elsewhere(&self, url: SystemUrl, run: &RunId) -> Self {
        Self::new(url, &self.stack, Purpose::Apply(run.clone()))
    }

    pub(crate) async fn close(&self) {
        if let Some(session) = self.take_migrator().await {
            session.close().await;
        }
        if let Some(database) = self.open.lock().await.take() {
            database.close().await;
        }
    }

    /// Takes the session of the previous migration for the next one.
    pub(crate) async fn take_migrator(&self) -> Option<Session> {
        self.migrator.lock().await.take()
    }

    /// Returns the connection of the migrations to the pool.
    pub async fn end_migrations(&self) {
        if let Some(session) = self.take_migrator().await {
            match self.database().await {
                Ok(database) => session.give_back(&database).await,
                // The session is open, so the database is too.
                Err(_) => session.close().await,
            }
        }
    }

    /// Keeps the session of a migration for the next one.
    pub(crate) async fn keep_migrator(&self, session: Session) {
        *self.migrator.lock().await = Some(session);
    }

    pub(crate) async fn open_postgres(
        &self,
        url: &RedactedUrl,
        database: Option<&str>,
    ) -> sql::Result<Database> {
        let (run, read_only, connections) = match &self.purpose {
            Purpose::Observe | Purpose::Survey => {
                (&RunId::from_text(format!("observe-{}", std::process::id())), true, 2)
            }
            Purpose::Apply(run) => (run, false, CONNECTIONS),
        };
        let application_name = lock::session_name(&self.stack, run);
        // The lock for creating a database belongs to a session, so there must be only one.
        let connections = if database.is_some() { 1 } else { connections };
        let database = database.map(str::to_owned);
        let options = PostgresOptions { application_name, read_only, connections, database };
        sql::open_postgres(url.expose(), &options).await
    }

    fn sqlite_mode(&self, path: &Path) -> Result<SqliteMode> {
        if path.is_dir() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        if !path.exists() {
            return Err(Error::Missing { address: self.address() });
        }
        Ok(match self.purpose {
            Purpose::Apply(_) => SqliteMode::ReadWrite,
            Purpose::Observe | Purpose::Survey if has_log(path, "-wal") || has_log(path, "-journal") => {
                SqliteMode::ReadOnly
            }
            Purpose::Observe | Purpose::Survey => SqliteMode::Immutable,
        })
    }
}

async fn create_file(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(Error::NoFolder { path: path.to_owned() });
    }
    if path.is_dir() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let unreachable = |source| Error::Unreachable { source };
    let database = sql::open_sqlite(path, SqliteMode::Create).await.map_err(unreachable)?;
    database.close().await;
    Ok(())
}

/// Whether SQLite has a non-empty log beside the file. Then another process may be writing, and the file
/// alone is incomplete.
fn has_log(path: &Path, suffix: &str) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push(suffix);
    std::fs::metadata(log).is_ok_and(|meta| meta.len() > 0)
}

/// The name of the database in a URL.
pub(crate) fn database_name(url: &RedactedUrl) -> String {
    let written = url.expose().path().trim_start_matches('/');
    percent_decode_str(written).decode_utf8_lossy().into_owned()
}
