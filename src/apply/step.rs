//! Executes one step, or several that share a transaction. Independent of other steps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::groups;
use super::step_error::StepError;
use crate::address::Address;
use crate::change::Effect;
use crate::journal::{self, RunId};
use crate::migrations::{self, Pending};
use crate::plan::{Step, Work};
use crate::sql::Dialect;
use crate::stores::Clients;
use crate::system;
use crate::vector;

/// How a step ended.
#[derive(Debug)]
pub(super) struct StepEnd {
    pub(super) address: Address,
    pub(super) elapsed: Duration,
    pub(super) result: Result<Effect, StepError>,
}

/// The most steps that share a transaction.
pub(super) const MOST_TOGETHER: usize = migrations::MOST_FILES;

/// Whether a step can share a transaction with others.
pub(super) fn can_share_transaction(step: &Step, dialect: Dialect) -> bool {
    pending(step).is_some_and(|pending| pending.can_share_transaction(dialect))
}

fn pending(step: &Step) -> Option<&Pending> {
    match &step.work {
        Work::System(system::Change::Migration(migrations::Change::Run(pending))) => Some(pending),
        _ => None,
    }
}

/// Executes a step, and its followers in the same transaction. Returns how they ended, in order, beginning with
/// the first; those behind the last that ended did not run. Sends the address of each when it begins.
pub(super) async fn perform_all(
    first: Step,
    followers: Vec<Step>,
    (clients, run): (Arc<Clients>, RunId),
    begun: UnboundedSender<Address>,
) -> Vec<StepEnd> {
    if followers.is_empty() {
        let started = Instant::now();
        let result = perform(&first.work, &clients, &run).await;
        return vec![StepEnd { address: first.address, elapsed: started.elapsed(), result }];
    }
    let steps: Vec<Step> = std::iter::once(first).chain(followers).collect();
    let files: Vec<&Pending> = steps.iter().filter_map(pending).collect();
    // Sending fails where the walk has ended, which nobody watches.
    let on_start = |index| drop(steps.get(index).map(|step: &Step| begun.send(step.address.clone())));
    let ended = migrations::apply_together(&files, (&clients.system, &run), &on_start).await;
    let ends = steps.iter().zip(ended).map(|(step, ended)| StepEnd {
        address: step.address.clone(),
        elapsed: ended.elapsed,
        result: ended.result.map_err(|error| system::Error::from(error).into()),
    });
    ends.collect()
}

/// Executes the work of a step as part of a run.
async fn perform(work: &Work, clients: &Clients, run: &RunId) -> Result<Effect, StepError> {
    clients.system.fence().check().await?;
    match work {
        Work::Bookkeeping { stack, protected } => {
            journal::ensure(&clients.system.database().await?, stack, protected).await?;
        }
        Work::System(change) => return Ok(system::apply(change, &clients.system, run).await?),
        Work::Target(crate::target::Change::RecordSchema { target, snapshot }) => {
            let database = clients.system.database().await?;
            journal::record_snapshot(&database, run, &format!("target.{target}"), snapshot).await?;
        }
        Work::Vector(change) => {
            let client = clients.vector.as_ref().ok_or(StepError::NoStore("vector store"))?;
            let identity = match &change.owner.identity {
                Some(identity) => identity.clone(),
                // An earlier step created or updated the bookkeeping.
                None => journal::identity(&clients.system.database().await?).await?.ok_or_else(|| {
                    journal::Error::Unreadable { what: "it has no identity in the table meta".to_owned() }
                })?,
            };
            vector::apply(change, client, identity, run).await?;
        }
        Work::Cache(change) => {
            let client = clients.cache.as_ref().ok_or(StepError::NoStore("cache"))?;
            return groups::apply(change, client, &clients.system, run).await;
        }
        Work::Flags { stack, environment, flags } => {
            let database = clients.system.database().await?;
            journal::record_flags(&database, (stack, environment), flags, run).await?;
        }
    }
    Ok(Effect::DONE)
}
