//! The lock that lets one run at a time write: a session advisory lock on a connection of its own
//! in PostgreSQL, an OS file lock beside an SQLite file. It is freed by the death of its holder.

mod fence;
mod file;
mod postgres;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RunId;
use crate::sql::Database;
use crate::stack::{RedactedUrl, SystemUrl};

pub use fence::{Fence, Lost};
pub use file::lock_file;

/// Often enough to feel immediate, rare enough to cost nothing.
const POLL: Duration = Duration::from_millis(200);
/// How long a run that is to stop at once may take for it.
const URGENT: Duration = Duration::from_secs(1);

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

impl Holder {
    fn unknown() -> Self {
        Self { run: None, who: "an unknown process".to_owned(), since: "an unknown time".to_owned() }
    }
}

/// A lock that is held until this value is dropped or released.
#[derive(Debug)]
pub enum Lock {
    /// The session that holds it, and who watches that it still does.
    Postgres(postgres::Held),
    /// The open file that holds it.
    Sqlite(Arc<file::Held>),
}

impl Lock {
    /// Waits until it turns out that the lock is held no more, and gives the reason. For ever while
    /// it is held. Nobody watches the lock of a file, which only its removal takes away: [`Self::check`].
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

    /// Refuses when the lock is held no more. Asks the server, unless it said so a moment ago.
    pub async fn check(&self) -> Result<(), Error> {
        let checked = match self {
            Self::Postgres(held) => fence::check(Arc::clone(held.holding())).await,
            Self::Sqlite(held) => held.check(),
        };
        Ok(checked?)
    }

    /// Does work that only the holder may do, and gives it up as soon as the lock is lost. What it
    /// has sent to the server is ended there; the next holder waits for that.
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

    /// Frees it, and comes back when it is free: the next run need not wait for a connection that
    /// is being closed.
    pub async fn release(self) {
        match self {
            Self::Postgres(held) => held.release().await,
            Self::Sqlite(file) => drop(file),
        }
    }
}

/// What to do about a lock file that cannot be written.
fn help_of_file(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => crate::sql::FULL_HELP,
        _ => "the folder of the system database must be writable",
    }
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
    Held { holder: Holder },
    /// The lock is free, and the server still executes what a dead run sent.
    #[error("run {run} has ended and the server still executes its statement, since {since}: {statement}")]
    #[diagnostic(
        code(trueup::lock::lingering),
        help("wait for it with `--lock-timeout 5m`, or end it with `trueup lock break {run}`")
    )]
    Lingering {
        /// The run that is gone.
        run: String,
        /// When the statement began, in RFC 3339.
        since: String,
        /// How the statement begins.
        statement: String,
    },
    /// It was held, and is no more.
    #[error("the lock was lost: {reason}; this run stopped at once, and another may be at work")]
    #[diagnostic(
        code(trueup::lock::lost),
        help("the same command goes on from here; `trueup lock status` shows who holds the lock now")
    )]
    Lost {
        /// What the watch saw.
        reason: String,
    },
    /// A lock that only the death of its holder frees.
    #[error("the process that holds the lock is alive: {}", holder.who)]
    #[diagnostic(code(trueup::lock::alive), help("end that process; its lock is free at once"))]
    Alive { holder: Holder },
    /// Somebody else holds it, not the run that was named.
    #[error("the lock is not held by run {wanted}{}", held_by(holder.as_ref()))]
    #[diagnostic(code(trueup::lock::other_run), help("`trueup lock status` shows the holder"))]
    OtherRun {
        /// The run that was named.
        wanted: String,
        /// Who holds it, if anybody does.
        holder: Option<Holder>,
    },
    /// The server was asked and did not answer as it should.
    #[error("cannot take the lock in the system database: {}", crate::sql::said(cause))]
    #[diagnostic(code(trueup::lock::database))]
    Database {
        /// What the driver says; no source, because the message has all of it.
        cause: Box<sqlx::Error>,
    },
    /// The connection ended before the answer was there.
    #[error("cannot take the lock in the system database: {}", crate::sql::said(cause))]
    #[diagnostic(code(trueup::lock::connection_lost), help("{}", crate::sql::HELP_OF_LOST))]
    ConnectionLost {
        /// What the driver says.
        cause: Box<sqlx::Error>,
    },
    /// What was given to name a run names several.
    #[error("{wanted} is the beginning or the end of several runs: {}", runs.join(", "))]
    #[diagnostic(code(trueup::lock::many_runs), help("give more of the id"))]
    ManyRuns { wanted: String, runs: Vec<String> },
    /// The server did not answer at all.
    #[error("cannot take the lock in the system database: {what} takes longer than {seconds} s")]
    #[diagnostic(
        code(trueup::lock::no_answer),
        help(
            "the server is overloaded, or a pooler in front of it has no connection to spare: \
             trueup needs ten at once at most"
        )
    )]
    NoAnswer {
        /// What was asked for.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The lock file cannot be made.
    #[error("cannot take the lock {}: {source}", path.display())]
    #[diagnostic(code(trueup::lock::file), help("{}", help_of_file(source)))]
    File { path: PathBuf, source: std::io::Error },
    /// A pooler hands out another backend for each transaction.
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

/// Where the lock of a system database is to be taken.
#[derive(Debug)]
pub enum Session {
    /// A connection that nothing was asked on yet.
    Postgres(Box<postgres::Session>),
    Sqlite(PathBuf),
}

/// Opens what the lock is to be taken in. May run while the database itself is opened.
pub async fn open(url: &SystemUrl, stack: &str) -> Result<Session, Error> {
    Ok(match url {
        SystemUrl::Postgres(url) => Session::Postgres(Box::new(postgres::Session::open(url, stack).await?)),
        SystemUrl::Sqlite(path) => Session::Sqlite(path.clone()),
    })
}

impl Session {
    /// Takes the lock of a system database, waiting at most `patience`.
    ///
    /// It polls a lock that never waits: a waiting one deadlocks with `CREATE INDEX CONCURRENTLY`. On
    /// PostgreSQL it then waits until the server executes nothing of another run any more.
    pub async fn take(self, database: &Database, run: &RunId, patience: Duration) -> Result<Lock, Error> {
        match self {
            Self::Postgres(session) => session.take(database, run, patience).await.map(Lock::Postgres),
            Self::Sqlite(path) => file::acquire(&path, run, patience).await.map(Arc::new).map(Lock::Sqlite),
        }
    }
}

/// Takes the lock of a system database that is open: see [`Session::take`].
pub async fn acquire(
    url: &SystemUrl,
    database: &Database,
    stack: &str,
    run: &RunId,
    patience: Duration,
) -> Result<Lock, Error> {
    open(url, stack).await?.take(database, run, patience).await
}

/// Who holds the lock now, if anybody does. Takes nothing and makes nothing.
pub async fn status(url: &SystemUrl, stack: &str) -> Result<Option<Holder>, Error> {
    match url {
        SystemUrl::Postgres(url) => postgres::status(url, stack).await,
        SystemUrl::Sqlite(path) => file::status(path),
    }
}

/// What became of breaking a run's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub run: String,
    /// How many sessions of it were ended.
    pub sessions: u64,
}

/// Ends every session that a run has on the server, the one that holds the lock and those that
/// still execute something. The run is named by its id, or by the beginning or end of it. The lock
/// of a file cannot be taken from a living process, and is free as soon as that has died.
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

/// Ends what a run that stops still executes on the server, but not the session that holds the lock,
/// which the journal's last words need. At best effort and within a second: before PostgreSQL 14 the
/// server does not notice that its client is gone, and would go on with the statement.
pub async fn end_statements(url: &RedactedUrl, stack: &str, run: &RunId) {
    let ended = tokio::time::timeout(URGENT, postgres::end_statements(url, stack, run)).await;
    match ended {
        Ok(Ok(ended)) => tracing::debug!(ended, "statements of this run were ended"),
        Ok(Err(error)) => tracing::warn!(%error, "what this run executes could not be ended"),
        Err(_) => tracing::warn!("what this run executes could not be ended in time"),
    }
}

/// `trueup/STACK/RUN`, what the server shows of a session that writes. PostgreSQL keeps 63 bytes:
/// of a long name the stack is cut, never the run.
pub fn session_name(stack: &str, run: &RunId) -> String {
    let room = 63_usize.saturating_sub("trueup//".len() + run.as_str().len());
    let stack: String = stack.chars().take(room).collect();
    format!("trueup/{stack}/{run}")
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
