//! The lock that lets one run at a time write: a session advisory lock on a connection of its own
//! in PostgreSQL, an OS file lock beside an SQLite file. It is freed by the death of its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::RunId;
use crate::spec::SystemUrl;

/// The key of the advisory lock: `trueup` in ASCII. One a database, whatever the stack.
const KEY: i64 = 0x0074_7275_6575_7000;
/// Often enough to feel immediate, rare enough to cost nothing.
const POLL: Duration = Duration::from_millis(200);

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run, where it is known.
    pub run: Option<String>,
    /// User and host, or the server's view of the client.
    pub who: String,
    /// Since when, in RFC 3339.
    pub since: String,
}

/// A lock that is held until this value is dropped or released.
#[derive(Debug)]
pub enum Lock {
    /// The connection whose session holds it. Never pooled, never returned.
    Postgres(Box<PgConnection>),
    /// The open file that holds it.
    Sqlite(File),
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// Another run holds it.
    #[error("another run holds the lock since {}: {}{}", holder.since, holder.who, run_of(holder))]
    #[diagnostic(
        code(trueup::lock::held),
        help("wait for it, or give it time with `--lock-timeout 5m`; `trueup lock status` shows the holder")
    )]
    Held {
        /// Who.
        holder: Holder,
    },
    /// A lock that only the death of its holder frees.
    #[error("the process that holds the lock is alive: {}", holder.who)]
    #[diagnostic(code(trueup::lock::alive), help("end that process; its lock is free at once"))]
    Alive {
        /// Who.
        holder: Holder,
    },
    /// The server was asked and did not answer as it should.
    #[error("cannot take the lock in the system database: {0}")]
    #[diagnostic(code(trueup::lock::database))]
    Database(#[from] sqlx::Error),
    /// The lock file cannot be made.
    #[error("cannot take the lock {}: {source}", path.display())]
    #[diagnostic(code(trueup::lock::file), help("the folder of the system database must be writable"))]
    File {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pooler hands out another backend for each transaction.
    #[error("the server's address is a pooler in transaction mode, on which no session lock can be held")]
    #[diagnostic(
        code(trueup::lock::pooler),
        help("give `system.url` the address of PostgreSQL itself, or of a pool in session mode")
    )]
    Pooler,
}

fn run_of(holder: &Holder) -> String {
    holder.run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default()
}

/// Takes the lock of a system database that exists, waiting at most `patience`.
///
/// It polls a lock that never waits: a waiting one deadlocks with `CREATE INDEX CONCURRENTLY`.
pub async fn acquire(url: &SystemUrl, stack: &str, run: &RunId, patience: Duration) -> Result<Lock, Error> {
    let started = Instant::now();
    let mut attempt = Attempt::new(url, stack, run).await?;
    loop {
        if let Some(lock) = attempt.try_take(run).await? {
            return Ok(lock);
        }
        if started.elapsed() >= patience {
            return Err(Error::Held { holder: attempt.holder().await? });
        }
        tokio::time::sleep(POLL.min(patience.saturating_sub(started.elapsed()))).await;
    }
}

/// Who holds the lock now, if anybody does. Takes nothing and makes nothing.
pub async fn status(url: &SystemUrl, stack: &str) -> Result<Option<Holder>, Error> {
    match url {
        SystemUrl::Sqlite(path) => {
            let path = lock_file(path);
            let Ok(mut file) = OpenOptions::new().read(true).open(&path) else { return Ok(None) };
            match file.try_lock_shared() {
                Ok(()) => Ok(None),
                Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
                Err(TryLockError::Error(source)) => Err(Error::File { path, source }),
            }
        }
        SystemUrl::Postgres(_) => {
            let mut connection = connect(url, &format!("trueup/{stack}/status")).await?;
            let holder = postgres_holder(&mut connection).await?;
            connection.close().await?;
            Ok(holder)
        }
    }
}

/// Frees the lock that a run holds: ends its session on the server. The lock of a file cannot be
/// taken from a living process, and is free as soon as that has died.
pub async fn break_run(url: &SystemUrl, stack: &str, run: &str) -> Result<(), Error> {
    // Ends every session of this tool that carries the run's name.
    const SQL: &str = "
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'trueup/%/' || $1
          AND pid <> pg_backend_pid()";
    match url {
        SystemUrl::Postgres(_) => {
            let mut connection = connect(url, &format!("trueup/{stack}/break")).await?;
            sqlx::query(SQL).bind(run).execute(&mut connection).await?;
            connection.close().await?;
            Ok(())
        }
        SystemUrl::Sqlite(_) => match status(url, stack).await? {
            Some(holder) => Err(Error::Alive { holder }),
            None => Ok(()),
        },
    }
}

/// Where the lock of an SQLite file is: beside it.
pub fn lock_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".trueup-lock");
    PathBuf::from(name)
}

/// One wait for the lock: the connection or file stays open between polls.
enum Attempt {
    Postgres(Option<Box<PgConnection>>),
    Sqlite { file: Option<File>, path: PathBuf },
}

impl Attempt {
    async fn new(url: &SystemUrl, stack: &str, run: &RunId) -> Result<Self, Error> {
        match url {
            SystemUrl::Postgres(_) => {
                let mut connection = connect(url, &application_name(stack, run)).await?;
                refuse_pooler(&mut connection).await?;
                Ok(Self::Postgres(Some(Box::new(connection))))
            }
            SystemUrl::Sqlite(database) => {
                let path = lock_file(database);
                let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
                let file = file.map_err(|source| Error::File { path: path.clone(), source })?;
                Ok(Self::Sqlite { file: Some(file), path })
            }
        }
    }

    async fn try_take(&mut self, run: &RunId) -> Result<Option<Lock>, Error> {
        match self {
            Self::Postgres(slot) => {
                let Some(connection) = slot else { return Ok(None) };
                let row =
                    sqlx::query("SELECT pg_try_advisory_lock($1)").bind(KEY).fetch_one(&mut **connection);
                let taken: bool = row.await?.try_get(0)?;
                Ok(if taken { slot.take().map(Lock::Postgres) } else { None })
            }
            Self::Sqlite { file: slot, path } => {
                let Some(file) = slot else { return Ok(None) };
                match file.try_lock() {
                    Ok(()) => {
                        write_holder(file, run)
                            .map_err(|source| Error::File { path: path.clone(), source })?;
                        Ok(slot.take().map(Lock::Sqlite))
                    }
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(source)) => Err(Error::File { path: path.clone(), source }),
                }
            }
        }
    }

    async fn holder(&mut self) -> Result<Holder, Error> {
        let unknown = || Holder { run: None, who: "unknown".to_owned(), since: "an unknown time".to_owned() };
        match self {
            Self::Postgres(Some(connection)) => {
                Ok(postgres_holder(connection).await?.unwrap_or_else(unknown))
            }
            Self::Sqlite { file: Some(file), .. } => Ok(read_holder(file)),
            Self::Postgres(None) | Self::Sqlite { file: None, .. } => Ok(unknown()),
        }
    }
}

/// `trueup/STACK/RUN`, what the server shows of this session; PostgreSQL keeps 63 bytes.
fn application_name(stack: &str, run: &RunId) -> String {
    let room = 63 - "trueup//".len() - run.as_str().len();
    let stack: String = stack.chars().take(room).collect();
    format!("trueup/{stack}/{run}")
}

async fn connect(url: &SystemUrl, name: &str) -> Result<PgConnection, Error> {
    let SystemUrl::Postgres(url) = url else {
        return Err(Error::Database(sqlx::Error::Configuration("not a PostgreSQL address".into())));
    };
    let options = PgConnectOptions::from_url(url.expose())?.application_name(name);
    let connecting = tokio::time::timeout(Duration::from_secs(10), options.connect());
    connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(Error::from)
}

/// Behind a pooler in transaction mode the backend changes between transactions, or the next
/// transaction of another client meets our session state.
async fn refuse_pooler(connection: &mut PgConnection) -> Result<(), Error> {
    let mut pids = Vec::new();
    for _ in 0..3 {
        let row = sqlx::query("SELECT pg_backend_pid(), current_setting('application_name')");
        let row = row.fetch_one(&mut *connection).await?;
        pids.push(row.try_get::<i32, _>(0)?);
    }
    pids.dedup();
    if pids.len() > 1 { Err(Error::Pooler) } else { Ok(()) }
}

async fn postgres_holder(connection: &mut PgConnection) -> Result<Option<Holder>, Error> {
    // One row: the session that holds the lock in this database, with what the server knows of it.
    const SQL: &str = "
        SELECT a.application_name, coalesce(a.usename, '') || '@' || coalesce(host(a.client_addr), 'local'),
               to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.classid = $1 AND l.objid = $2";
    let high = i64::from((KEY >> 32) as i32);
    let low = KEY & 0xffff_ffff;
    let rows = sqlx::query(SQL).bind(high).bind(low).fetch_optional(connection).await?;
    let Some(row) = rows else { return Ok(None) };
    let application: String = row.try_get(0)?;
    let run =
        application.strip_prefix("trueup/").and_then(|rest| rest.split('/').nth(1)).map(ToOwned::to_owned);
    Ok(Some(Holder { run, who: row.try_get(1)?, since: row.try_get(2)? }))
}

fn write_holder(file: &mut File, run: &RunId) -> std::io::Result<()> {
    let since = format!("{:.0}", jiff::Timestamp::now());
    let holder = Holder { run: Some(run.to_string()), who: who(), since };
    let text = serde_json::to_string(&holder).map_err(std::io::Error::other)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.flush()
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let unknown =
        || Holder { run: None, who: "an unknown process".to_owned(), since: "an unknown time".to_owned() };
    match read {
        Ok(_) => serde_json::from_str(&text).unwrap_or_else(|_| unknown()),
        Err(_) => unknown(),
    }
}

/// Who runs this process: `user@host (pid N)`.
pub fn who() -> String {
    // Containers and services set no name.
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    #[cfg(unix)]
    let user = user.or_else(|| Some(format!("uid {}", rustix::process::getuid().as_raw())));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    let host = host.or_else(|| std::env::var("HOSTNAME").ok());
    format!(
        "{}@{} (pid {})",
        user.as_deref().unwrap_or("unknown"),
        host.as_deref().unwrap_or("unknown"),
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a22_a_second_run_is_told_who_holds_the_lock_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = SystemUrl::Sqlite(folder.path().join("system.db"));
        let first = RunId::new();
        let lock = acquire(&url, "s", &first, Duration::ZERO).await.unwrap();
        let refused = acquire(&url, "s", &RunId::new(), Duration::from_millis(50)).await.unwrap_err();
        let Error::Held { holder } = refused else { panic!("{refused}") };
        assert_eq!(holder.run.as_deref(), Some(first.as_str()));
        assert_eq!(status(&url, "s").await.unwrap().unwrap(), holder);

        drop(lock);
        assert_eq!(status(&url, "s").await.unwrap(), None);
        acquire(&url, "s", &RunId::new(), Duration::ZERO).await.unwrap();
    }
}
