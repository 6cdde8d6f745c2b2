//! The stores room: opens every client of a stack once, observes all stores side by side into a world, and
//! interrupts them. Decides nothing about what to change.

mod look;
mod observe;

use std::time::Duration;

use crate::connection::{self, Client, Presence, Purpose};
use crate::sql::Database;
use crate::stack::{Stack, SystemUrl, Unset};
use crate::system;
use crate::{cache, vector};

use crate::{journal, migrations};
pub use look::observe_within;
pub(crate) use observe::observe_system;

/// The clients of a stack's stores.
#[derive(Debug)]
pub struct Clients {
    /// Of the system database.
    pub system: Client,
    /// Of the vector store, where the spec has one and training is asked for.
    pub vector: Option<vector::Client>,
    /// Of the cache, where the spec has one.
    pub cache: Option<cache::Client>,
}

/// Why the world could not be observed. Targets, vector store and cache that cannot be reached are
/// part of the world; the system database is not.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ObserveError {
    /// The address of the system database is not known.
    #[error("the address of {component} needs {}", .unset.names.join(", "))]
    #[diagnostic(code(trueup::observe::unset), help("set the variable, or plan with `--world FILE`"))]
    Unset {
        /// Whose address.
        component: &'static str,
        /// What is missing.
        unset: Unset,
    },
    /// There was no answer in time.
    #[error("observing took longer than {most:?}: {}", too_long(stores, on.as_deref()))]
    #[diagnostic(
        code(trueup::observe::timeout),
        help(
            "{}run the same command again, or give it more time with `--refresh-timeout`",
            if on.is_some() { "let that session end, or end it; then " } else { "" }
        )
    )]
    TooLong {
        /// How long it could have taken.
        most: Duration,
        /// The stores that had not answered.
        stores: Vec<String>,
        /// The sessions that the system database waited for.
        on: Option<String>,
    },
    /// The run holds its lock no more.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] journal::lock::Lost),
    /// The system database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    System(#[from] system::Error),
    /// Its bookkeeping.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] journal::Error),
    /// The vector store's client could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Vector(#[from] vector::Error),
    /// The cache's client could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] cache::Error),
}

// What is wrong with the system database is so wherever it shows.

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
    /// Whether a connection ended before the answer was there.
    fn is_lost(&self) -> bool {
        match self {
            Self::System(error) => error.is_lost(),
            Self::Journal(error) => error.is_lost(),
            Self::Unset { .. }
            | Self::LockLost(_)
            | Self::TooLong { .. }
            | Self::Vector(_)
            | Self::Cache(_) => false,
        }
    }
}

impl Clients {
    /// The clients of a stack; nothing is contacted yet. The vector store has one only when it is
    /// to be trained: while training is off nothing in it is read.
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

    /// Clients that only read.
    pub fn reading(stack: &Stack, train: bool) -> Result<Self, ObserveError> {
        Self::new(stack, Purpose::Observe, train)
    }

    /// Clients that read all that can be listed, whatever the stack asks for: for a saved world.
    pub fn surveying(stack: &Stack, train: bool) -> Result<Self, ObserveError> {
        Self::new(stack, Purpose::Survey, train)
    }

    /// The system database; `None` where it does not exist. A server that cannot be reached is an error.
    pub async fn existing_system(&self) -> Result<Option<Database>, ObserveError> {
        match self.system.presence().await? {
            Presence::Missing => Ok(None),
            Presence::Present => Ok(Some(self.system.database().await?)),
        }
    }

    /// No step may wait for another session any more: what waits is cancelled, and nothing is tried again.
    pub fn stop_waiting(&self) {
        self.system.stop_waiting();
    }

    /// Stops the statements that run, in this process and on PostgreSQL. Chroma and Redis cannot be asked to stop
    /// a request: its connection is closed.
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

/// Whether the system database exists. Needs the address of no other store.
pub async fn system_exists(stack: &Stack) -> Result<bool, ObserveError> {
    let system = Client::new(system_url(stack)?, &stack.name, Purpose::Observe);
    Ok(system.presence().await? == Presence::Present)
}

/// The address of the system database.
pub fn system_url(stack: &Stack) -> Result<SystemUrl, ObserveError> {
    let unset = |unset| ObserveError::Unset { component: "the system database", unset };
    stack.system.endpoint.to.clone().map_err(unset)
}

fn too_long(stores: &[String], on: Option<&str>) -> String {
    let waits = on.map(|on| format!("; system waits for {on}")).unwrap_or_default();
    format!("no answer yet from {}{waits}", stores.join(", "))
}
