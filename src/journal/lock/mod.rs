//! The lock that allows only one run at a time to write: a session advisory lock on a dedicated connection
//! in PostgreSQL, a file lock beside an SQLite database. It is released when its holder dies.

mod fence;
mod file;
mod lost;
mod moment;
mod postgres;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RunId;
use crate::sql::Database;
use crate::stack::{RedactedUrl, SystemUrl};

pub use fence::Fence;
pub use file::lock_file;
pub use lost::Lost;

/// The interval between attempts: short for people, and rare enough to cost nothing.
const POLL: Duration = Duration::from_millis(200);
/// The time limit for ending statements of a run that has to stop at once.
const URGENT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The id of the run, where known.
    pub run: Option<String>,
    /// User and host, or the server's description of the client.
    pub who: String,
    /// The time it was taken, in RFC 3339.
    pub since: String,
}

impl Holder {
    fn unknown() -> Self {
        Self { run: None, who: "an unknown process".to_owned(), since: "an unknown time".to_owned() }
    }
}

/// A lock that is held until this value is dropped or released.
#[derive(Debug)]
pub enum Lock {
    /// The session that holds it, and the task that checks it.
    Postgres(postgres::Held),
    /// The open file that holds it.
    Sqlite(Arc<file::Held>),
}

impl Lock {
    /// Resolves with the reason when the lock is lost, and never while it is held. Lock files are not
    /// watched, because only deleting the file loses the lock; [`Self::check`] detects that.
    pub fn lost(&self) -> impl Future<Output = String> + Send + use<> {
        let watch = match self {
            Self::Postgres(held) => Some(held.watch()),
            Self::Sqlite(_) => None,
        };
        async move {
            match watch {
                Some(watch) => postgres::lost(watch).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Returns an error when the lock is lost. Queries the server, unless a recent answer is valid.
    pub async fn check(&self) -> Result<(), Error> {
        let checked = match self {
            Self::Postgres(held) => fence::check(Arc::clone(held.holding())).await,
            Self::Sqlite(held) => held.check(),
        };
        Ok(checked?)
    }

    /// Runs work that needs the lock, and cancels it as soon as the lock is lost. Its statements on the
    /// server end then too; the next holder waits for that.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        self.check().await?;
        let reason = tokio::select! {
            biased;
            reason = self.lost() => reason,
            done = work => return Ok(done),
        };
        if let Self::Postgres(held) = self {
            let (url, stack, run) = held.holder();
            end_statements(url, stack, run).await;
        }
        Err(Error::Lost { reason })
    }

    /// Releases the lock and returns when it is free, so that the next run does not have to wait until the
    /// connection is closed.
    pub async fn release(self) {
        match self {
            Self::Postgres(held) => held.release().await,
            Self::Sqlite(file) => drop(file),
        }
    }
}

fn help_of_file(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => crate::sql::FULL_HELP,
        _ => "the folder of the system database must be writable",
    }
}

/// Errors of taking or holding the lock.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("another run holds the lock since {}: {}{}", holder.since, holder.who, run_of(holder))]
    #[diagnostic(
        code(trueup::lock::held),
        help("wait for it, or give it time with `--lock-timeout 5m`; `trueup lock status` shows the holder")
    )]
    Held { holder: Holder },
    /// The lock is free, but the server still executes a statement of a dead run.
    #[error("run {run} has ended and the server still executes its statement, since {since}: {statement}")]
    #[diagnostic(
        code(trueup::lock::lingering),
        help("wait for it with `--lock-timeout 5m`, or end it with `trueup lock break {run}`")
    )]
    Lingering {
        run: String,
        /// The start of the statement, in RFC 3339.
        since: String,
        /// The beginning of its text.
        statement: String,
    },
    #[error("the lock was lost: {reason}; this run stopped at once, and another may be at work")]
    #[diagnostic(
        code(trueup::lock::lost),
        help("the same command goes on from here; `trueup lock status` shows who holds the lock now")
    )]
    Lost {
        /// The result of the check that failed.
        reason: String,
    },
    /// The lock can only be released by ending its process.
    #[error("the process that holds the lock is alive: {}", holder.who)]
    #[diagnostic(code(trueup::lock::alive), help("end that process; its lock is free at once"))]
    Alive { holder: Holder },
    /// Another run than the named one holds the lock.
    #[error("the lock is not held by run {wanted}{}", held_by(holder.as_ref()))]
    #[diagnostic(code(trueup::lock::other_run), help("`trueup lock status` shows the holder"))]
    OtherRun { wanted: String, holder: Option<Holder> },
    /// A statement about the lock failed.
    #[error("cannot take the lock in the system database: {}", crate::sql::error_message(cause))]
    #[diagnostic(code(trueup::lock::database))]
    Database {
        /// Not a `source`, because the message contains all of it.
        cause: Box<sqlx::Error>,
    },
    /// The connection was lost before the response.
    #[error("cannot take the lock in the system database: {}", crate::sql::error_message(cause))]
    #[diagnostic(code(trueup::lock::connection_lost), help("{}", crate::sql::HELP_OF_LOST))]
    ConnectionLost { cause: Box<sqlx::Error> },
    /// The given part of an id matches several runs.
    #[error("{wanted} is the beginning or the end of several runs: {}", runs.join(", "))]
    #[diagnostic(code(trueup::lock::many_runs), help("give more of the id"))]
    ManyRuns { wanted: String, runs: Vec<String> },
    /// The server did not respond in time.
    #[error("cannot take the lock in the system database: {what} takes longer than {seconds} s")]
    #[diagnostic(
        code(trueup::lock::no_answer),
        help(
            "the server is overloaded, or a pooler in front of it has no connection to spare: \
             trueup needs ten at once at most"
        )
    )]
    NoAnswer {
        /// The operation that timed out.
        what: &'static str,
        seconds: u64,
    },
    /// The lock file cannot be opened or written.
    #[error("cannot take the lock {}: {source}", path.display())]
    #[diagnostic(code(trueup::lock::file), help("{}", help_of_file(source)))]
    File { path: PathBuf, source: std::io::Error },
    /// The URL leads to a pooler that uses another backend for each transaction.
    #[error("`system.url` leads to a pooler in transaction mode, through which no session lock can be held")]
    #[diagnostic(
        code(trueup::lock::pooler),
        help("give `system.url` the address of PostgreSQL itself, or of a pool in session mode")
    )]
    Pooler,
}

impl From<sqlx::Error> for Error {
    fn from(cause: sqlx::Error) -> Self {
        if crate::sql::is_mixed_up(&cause) {
            Self::Pooler
        } else if crate::sql::is_lost(&cause) {
            Self::ConnectionLost { cause: Box::new(cause) }
        } else {
            Self::Database { cause: Box::new(cause) }
        }
    }
}

fn run_of(holder: &Holder) -> String {
    holder.run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default()
}

fn held_by(holder: Option<&Holder>) -> String {
    let Some(holder) = holder else { return ", nor by anybody else".to_owned() };
    format!(" but by {}: {}", holder.run.as_deref().unwrap_or("an unknown run"), holder.who)
}

/// A connection or path on which the lock can be taken.
#[derive(Debug)]
pub enum LockSession {
    /// A new connection on which nothing was executed yet.
    Postgres(Box<postgres::LockConnection>),
    Sqlite(PathBuf),
}

/// Opens the session of the lock. Can run while the database itself is opened.
pub async fn open(url: &SystemUrl, stack: &str) -> Result<LockSession, Error> {
    Ok(match url {
        SystemUrl::Postgres(url) => {
            LockSession::Postgres(Box::new(postgres::LockConnection::open(url, stack).await?))
        }
        SystemUrl::Sqlite(path) => LockSession::Sqlite(path.clone()),
    })
}

impl LockSession {
    /// Takes the lock of a system database, waiting at most `patience`.
    ///
    /// Polls with a lock attempt that never waits, because a waiting one deadlocks with `CREATE INDEX
    /// CONCURRENTLY`. On PostgreSQL it then waits until the server executes no statement of another run.
    pub async fn take(self, database: &Database, run: &RunId, patience: Duration) -> Result<Lock, Error> {
        match self {
            Self::Postgres(session) => session.take(database, run, patience).await.map(Lock::Postgres),
            Self::Sqlite(path) => file::acquire(&path, run, patience).await.map(Arc::new).map(Lock::Sqlite),
        }
    }
}

/// Opens the session and takes the lock: see [`LockSession::take`].
pub async fn acquire(
    url: &SystemUrl,
    database: &Database,
    stack: &str,
    run: &RunId,
    patience: Duration,
) -> Result<Lock, Error> {
    open(url, stack).await?.take(database, run, patience).await
}

/// Returns the current holder, if any. Takes no lock and creates no file.
pub async fn status(url: &SystemUrl, stack: &str) -> Result<Option<Holder>, Error> {
    match url {
        SystemUrl::Postgres(url) => postgres::status(url, stack).await,
        SystemUrl::Sqlite(path) => file::status(path),
    }
}

/// The result of breaking the lock of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub run: String,
    /// The number of sessions that were ended.
    pub sessions: u64,
}

/// Ends every session of a run on the server: the one with the lock and those that execute something. The
/// run is given by its id or the beginning or end of it. A file lock cannot be taken from a living process,
/// and is free once the process has died.
pub async fn break_run(url: &SystemUrl, stack: &str, wanted: &str) -> Result<Broken, Error> {
    let is_meant = |run: &str| run.starts_with(wanted) || run.ends_with(wanted);
    let mut runs = match url {
        SystemUrl::Postgres(url) => postgres::runs(url, stack).await?,
        SystemUrl::Sqlite(_) => Vec::new(),
    };
    runs.retain(|run| is_meant(run));
    match (url, runs.as_slice()) {
        (SystemUrl::Postgres(url), [run]) => {
            let sessions = postgres::end_sessions(url, stack, run).await?;
            Ok(Broken { run: run.clone(), sessions })
        }
        (_, []) => match status(url, stack).await? {
            Some(holder) if holder.run.as_deref().is_some_and(is_meant) => Err(Error::Alive { holder }),
            holder => Err(Error::OtherRun { wanted: wanted.to_owned(), holder }),
        },
        _ => Err(Error::ManyRuns { wanted: wanted.to_owned(), runs }),
    }
}

/// Ends the statements that a stopping run still executes, but not the session of the lock, which is needed
/// to record the end of the run. Best effort within a second. Needed before PostgreSQL 14, where the server
/// does not detect that its client is gone and continues the statement.
pub async fn end_statements(url: &RedactedUrl, stack: &str, run: &RunId) {
    let ended = tokio::time::timeout(URGENT, postgres::end_statements(url, stack, run)).await;
    match ended {
        Ok(Ok(ended)) => tracing::debug!(ended, "statements of this run were ended"),
        Ok(Err(error)) => tracing::warn!(%error, "what this run executes could not be ended"),
        Err(_) => tracing::warn!("what this run executes could not be ended in time"),
    }
}

/// The application name of sessions that write: `trueup/STACK/RUN`. PostgreSQL truncates it to 63 bytes, so
/// a long stack name is shortened to keep the run.
pub fn session_name(stack: &str, run: &RunId) -> String {
    let room = 63_usize.saturating_sub("trueup//".len() + run.as_str().len());
    let stack: String = stack.chars().take(room).collect();
    format!("trueup/{stack}/{run}")
}

/// The user of this process: `user@host (pid N)`.
pub fn who() -> String {
    // Containers and services often do not set them.
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
    use crate::sql::{self, SqliteMode};

    #[tokio::test]
    async fn a22_a_second_run_is_told_who_holds_the_lock_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = SystemUrl::Sqlite(folder.path().join("system.db"));
        let database = sql::open_sqlite(&folder.path().join("system.db"), SqliteMode::Create).await.unwrap();
        let first = RunId::new();
        let lock = acquire(&url, &database, "s", &first, Duration::ZERO).await.unwrap();
        let patience = Duration::from_millis(50);
        let refused = acquire(&url, &database, "s", &RunId::new(), patience).await.unwrap_err();
        let Error::Held { holder } = refused else { panic!("{refused}") };
        assert_eq!(holder.run.as_deref(), Some(first.as_str()));
        assert_eq!(status(&url, "s").await.unwrap().unwrap(), holder);

        drop(lock);
        assert_eq!(status(&url, "s").await.unwrap(), None);
        acquire(&url, &database, "s", &RunId::new(), Duration::ZERO).await.unwrap();
    }

    #[test]
    fn a_long_stack_is_cut_in_a_sessions_name_and_the_run_is_not() {
        let run = RunId::new();
        assert_eq!(session_name("s", &run), format!("trueup/s/{run}"));
        let long = session_name(&"s".repeat(80), &run);
        assert_eq!(long.len(), 63);
        assert!(long.ends_with(run.as_str()));
    }
}
