//! Observes all stores concurrently. An unreachable store is part of the world, except for the
//! system database.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};

use super::unanswered::Unanswered;
use super::{Clients, ObserveError};
use crate::connection::{Client, Presence};
use crate::desired::Desired;
use crate::world::World;
use crate::{cache, journal, system, target, vector};

/// Observes all stores of the stack concurrently, and tracks those that have not answered yet. In
/// the system database the journal is read first, because it determines what else to observe.
pub(super) async fn observe_tracking(
    desired: &Desired<'_>,
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
        match (&clients.cache, &desired.stack.cache) {
            (Some(client), Some(spec)) => {
                Some(unanswered.during("cache", cache::observe(spec, client)).await)
            }
            _ => None,
        }
    };
    // Boxed because this is the largest of the four futures, which would be part of every caller's
    // future.
    let system =
        Box::pin(unanswered.during("system", observe_system_again(&desired.system, &clients.system)));
    let targets = observe_targets(desired, unanswered);
    let (system, targets, vector, cache) = tokio::join!(system, targets, vector, cache);
    let (system, journal) = system?;
    Ok(World { system, journal, targets, vector, cache })
}

/// Observes the system database, and retries after a lost connection, which is safe because
/// observing only reads.
async fn observe_system_again(
    desired: &system::Desired,
    client: &Client,
) -> Result<(system::Observed, journal::Observed), ObserveError> {
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(100)).with_max_times(2);
    (|| observe_system(desired, client)).retry(pauses).when(ObserveError::is_lost).await
}

pub(crate) async fn observe_system(
    desired: &system::Desired,
    client: &Client,
) -> Result<(system::Observed, journal::Observed), ObserveError> {
    match client.presence().await? {
        Presence::Missing => {
            let journal = journal::Observed::missing();
            Ok((system::observe_missing(desired, &journal.inventory, client).await?, journal))
        }
        Presence::Present => {
            let database = client.database().await?;
            let listed = async { Ok::<_, ObserveError>(system::list(&database).await?) };
            let bookkeeping = async { Ok(journal::observe(&database).await?) };
            let (listed, (journal, places)) = tokio::try_join!(listed, bookkeeping)?;
            Ok((system::observe(desired, listed, &journal.inventory, &places, client).await?, journal))
        }
    }
}

async fn observe_targets(
    desired: &Desired<'_>,
    unanswered: &Unanswered,
) -> BTreeMap<String, target::Observed> {
    let observing = desired.targets.iter().map(|(name, target)| async move {
        let observing = unanswered.during(&format!("target.{name}"), target::observe(target)).await;
        (name.clone(), observing)
    });
    futures_util::future::join_all(observing).await.into_iter().collect()
}
