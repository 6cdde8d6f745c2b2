//! The open stores of one stack, and observing all of them side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};

use super::look::Unanswered;
use crate::connection::{self, Client, Presence, Purpose};
use crate::spec::{Stack, SystemUrl, Unset};
use crate::system;
use crate::world::World;
use crate::{cache, target, vector};
use crate::{journal, migrations};

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

/// Observes everything that the stack speaks of, and notes meanwhile who has not answered: the system
/// first, because the journal in it says what else to ask, the other stores at the same time.
pub(super) async fn observe_noting(
    stack: &Stack,
    clients: &Clients,
    unanswered: &Unanswered,
) -> Result<World, ObserveError> {
    let vector = async {
        match &clients.vector {
            Some(client) => Some(unanswered.during("vector", vector::observe(client)).await),
            None => None,
        }
    };
    let cache = async {
        match (&clients.cache, &stack.cache) {
            (Some(client), Some(spec)) => {
                let desired = cache::Desired::new(spec);
                Some(unanswered.during("cache", cache::observe(&desired, client)).await)
            }
            _ => None,
        }
    };
    // The largest of the four would be part of every future above.
    let system = Box::pin(unanswered.during("system", observe_system_again(stack, &clients.system)));
    let targets = observe_targets(stack, unanswered);
    let (system, targets, vector, cache) = tokio::join!(system, targets, vector, cache);
    let (system, journal) = system?;
    Ok(World { system, journal, targets, vector, cache })
}

/// Observes the system database, and again where its connection was cut: looking changes nothing.
async fn observe_system_again(
    stack: &Stack,
    client: &Client,
) -> Result<(system::Observed, journal::Observed), ObserveError> {
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(100)).with_max_times(2);
    (|| observe_system(stack, client)).retry(pauses).when(ObserveError::is_lost).await
}

/// Observes the system database alone.
pub(super) async fn observe_system(
    stack: &Stack,
    client: &Client,
) -> Result<(system::Observed, journal::Observed), ObserveError> {
    let (journal, places) = match client.presence().await? {
        Presence::Missing => (journal::Observed::missing(), journal::Places::default()),
        Presence::Present => journal::observe(&client.database().await?).await?,
    };
    let desired = system::Desired::new(stack, client.dialect());
    Ok((system::observe(&desired, &journal.inventory, &places, client).await?, journal))
}

async fn observe_targets(stack: &Stack, unanswered: &Unanswered) -> BTreeMap<String, target::Observed> {
    let on = stack.targets.iter().filter(|(_, target)| target.on);
    let observing = on.map(|(name, spec)| async move {
        let desired = target::Desired::new(name, spec);
        let observing = unanswered.during(&format!("target.{name}"), target::observe(&desired)).await;
        (name.clone(), observing)
    });
    futures_util::future::join_all(observing).await.into_iter().collect()
}
