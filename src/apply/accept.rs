//! `drift accept`: the schema as it is now becomes the one that drift is measured from. Writes the
//! bookkeeping and nothing else.

use std::time::Instant;

use super::schema;
use crate::journal::{self, Bookkeeping, Outcome, Run, RunStatus, StepRecord};
use crate::migrations;
use crate::stack::Stack;
use crate::stores::{Clients, ObserveError};
use crate::system;

/// What accepting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The schema is recorded.
    Recorded,
    /// It is the recorded one already; nothing was written.
    Nothing,
    /// There is no bookkeeping to record it in.
    NeverApplied,
}

/// Records the system's schema in the name of a run, which is begun and ended here. The caller
/// holds the lock.
pub async fn accept_schema(stack: &Stack, clients: &Clients, run: &Run) -> Result<Accepted, ObserveError> {
    let started = Instant::now();
    let database = clients.system.database().await?;
    let (journal, _) = journal::observe(&database).await?;
    if journal.bookkeeping == Bookkeeping::Missing {
        return Ok(Accepted::NeverApplied);
    }
    let recorded = journal.snapshots.get(journal::SYSTEM_SCHEMA);
    let desired = system::Desired::new(stack, clients.system.dialect()).knowing(recorded);
    let there = clients.system.catalog().await?;
    let schema = match recorded {
        Some(_) => system::managed(&desired, &there),
        None => Box::pin(schema::adopted(stack, &there, clients)).await,
    };
    if recorded == Some(&schema) {
        return Ok(Accepted::Nothing);
    }
    journal::begin(&database, run).await?;
    journal::record_snapshot(&database, &run.id, journal::SYSTEM_SCHEMA, &schema).await?;
    migrations::remember_elsewhere(&desired.migrations, &journal.inventory, &clients.system, &run.id).await?;
    let step = StepRecord {
        position: 0,
        address: "system.schema".to_owned(),
        action: "accept".to_owned(),
        outcome: Outcome::Done,
        finished_at: journal::now(),
        milliseconds: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
    };
    journal::record_steps(&database, &run.id, &[step]).await?;
    journal::finish(&database, &run.id, RunStatus::Succeeded, "the schema was accepted").await?;
    Ok(Accepted::Recorded)
}
