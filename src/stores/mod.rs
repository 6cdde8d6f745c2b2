//! Opens the clients of a stack, observes all stores concurrently, and interrupts them. Does not
//! decide what to change.

mod health;
mod look;
mod observe;
mod unanswered;

use std::time::Duration;

use miette::{NamedSource, SourceSpan};

use crate::connection::{self, Client, Presence, Purpose};
use crate::journal::{self, Run, RunStatus, lock};
use crate::migrations;
use crate::sql::Database;
use crate::stack::{Endpoint, Stack, SystemUrl, Unset};
use crate::system;
use crate::{cache, vector};

pub use health::{Health, StackHealth, health};
pub use look::observe_within;
pub(crate) use observe::observe_system;

/// The clients of a stack's stores.
#[derive(Debug)]
pub struct Clients {
    pub system: Client,
    /// The vector store, if the spec has one and training is requested.
    pub vector: Option<vector::Client>,
    /// The cache, if the spec has one.
    pub cache: Option<cache::Client>,
}

/// Why the world could not be observed. Unreachable targets, vector stores and caches are part of
/// the world; an unreachable system database is an error.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ObserveError {
    /// The address of the system database is unknown.
    #[error("the address of the system database needs {}, which is not set", .unset.names.join(", "))]
    #[diagnostic(code(trueup::observe::unset), help("set the variable and run again"))]
    Unset {
        /// The unset variables.
        unset: Unset,
        /// The spec.
        #[source_code]
        text: NamedSource<String>,
        /// The address in the spec.
        #[label("needed here")]
        at: SourceSpan,
    },
    /// The observation timed out.
    #[error("observing took longer than {most:?}: {}", too_long(stores, on.as_deref()))]
    #[diagnostic(
        code(trueup::observe::timeout),
        help(
            "{}run the same command again, or give it more time with `--refresh-timeout`",
            if on.is_some() { "let that session end, or end it; then " } else { "" }
        )
    )]
    TooLong {
        /// The timeout.
        most: Duration,
        /// The stores that had not answered.
        stores: Vec<String>,
        /// The sessions whose locks blocked the system database.
        on: Option<String>,
    },
    /// The run has lost its lock.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] lock::Lost),
    /// The holder of the lock could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(lock::Error),
    /// An error of the system database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    System(#[from] system::Error),
    /// An error of the bookkeeping.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] journal::Error),
    /// The vector store's client could not be created.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Vector(#[from] vector::Error),
    /// The cache's client could not be created.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] cache::Error),
}

// Errors of the system database are the same in every room that uses it.

impl From<connection::Error> for ObserveError {
    fn from(error: connection::Error) -> Self {
        Self::System(error.into())
    }
}

impl From<migrations::Error> for ObserveError {
    fn from(error: migrations::Error) -> Self {
        Self::System(error.into())
    }
}

impl ObserveError {
    /// Whether the connection was lost before the answer arrived.
    fn is_lost(&self) -> bool {
        match self {
            Self::System(error) => error.is_lost(),
            Self::Journal(error) => error.is_lost(),
            Self::Unset { .. }
            | Self::LockLost(_)
            | Self::Lock(_)
            | Self::TooLong { .. }
            | Self::Vector(_)
            | Self::Cache(_) => false,
        }
    }
}

impl Clients {
    /// Creates the clients without connecting. The vector store has a client only if it is to be
    /// trained, because otherwise nothing is read from it.
    pub fn new(stack: &Stack, purpose: Purpose, train: bool) -> Result<Self, ObserveError> {
        let vector = stack.vector.as_ref().filter(|_| train || stack.flags.auto_train_vector());
        let system = Client::new(system_url(stack)?, &stack.name, purpose);
        let fence = system.fence();
        let vector = vector.map(vector::Client::new).transpose()?;
        let cache = stack.cache.as_ref().map(cache::Client::new).transpose()?;
        Ok(Self {
            vector: vector.map(|client| client.behind(fence.clone())),
            cache: cache.map(|client| client.behind(fence.clone())),
            system,
        })
    }

    /// Creates clients that only read.
    pub fn reading(stack: &Stack, train: bool) -> Result<Self, ObserveError> {
        Self::new(stack, Purpose::Observe, train)
    }

    /// Creates clients that read everything that can be listed, for a saved observation.
    pub fn surveying(stack: &Stack, train: bool) -> Result<Self, ObserveError> {
        Self::new(stack, Purpose::Survey, train)
    }

    /// Returns the system database, or `None` if it does not exist. An unreachable server is an error.
    pub async fn existing_system(&self) -> Result<Option<Database>, ObserveError> {
        match self.system.presence().await? {
            Presence::Missing => Ok(None),
            Presence::Present => Ok(Some(self.system.database().await?)),
        }
    }

    /// Cancels statements that wait for a lock, and prevents retries.
    pub fn stop_waiting(&self) {
        self.system.stop_waiting();
    }

    /// Cancels the running statements, in this process and on PostgreSQL. Requests to Chroma and
    /// Redis cannot be cancelled, so their connections are closed.
    pub async fn interrupt(&self) {
        if let Some(vector) = &self.vector {
            vector.interrupt();
        }
        if let Some(cache) = &self.cache {
            cache.interrupt();
        }
        self.system.interrupt().await;
    }
}

/// Whether the system database exists. Other stores may have unset addresses.
pub async fn system_exists(stack: &Stack) -> Result<bool, ObserveError> {
    let system = Client::new(system_url(stack)?, &stack.name, Purpose::Observe);
    Ok(system.presence().await? == Presence::Present)
}

/// Returns the address of the system database.
pub fn system_url(stack: &Stack) -> Result<SystemUrl, ObserveError> {
    let Endpoint { to, at, written: _ } = &stack.system.endpoint;
    let unset = |unset| ObserveError::Unset { unset, text: at.source.shown().clone(), at: at.span };
    to.clone().map_err(unset)
}

/// Marks unfinished runs as crashed, except the one that is running: it holds the lock.
pub async fn mark_crashed(runs: Vec<Run>, stack: &Stack) -> Result<Vec<Run>, ObserveError> {
    if runs.iter().all(|run| run.status != RunStatus::Running) {
        return Ok(runs);
    }
    let holder = lock::status(&system_url(stack)?, &stack.name).await.map_err(ObserveError::Lock)?;
    let holder = holder.as_ref().and_then(|holder| holder.run.as_deref());
    Ok(runs.into_iter().map(|run| run.with_crash_detected(holder)).collect())
}

fn too_long(stores: &[String], on: Option<&str>) -> String {
    let waits = on.map(|on| format!("; system waits for {on}")).unwrap_or_default();
    format!("no answer yet from {}{waits}", stores.join(", "))
}
