//! `baseline`: records the migrations that another tool ran, after comparing the schema that they make with the
//! existing one. Writes only the bookkeeping and the history.

use std::time::Duration;

use super::{Cancel, Error, Locked, record, schema};
use crate::address::Kind;
use crate::catalog::Snapshot;
use crate::desired::Desired;
use crate::digest::Digest;
use crate::journal::{self, Bookkeeping, Outcome, Run, RunStatus, StepRecord};
use crate::plan::PlanError;
use crate::stack::Migration;
use crate::stores::{Clients, ObserveError};
use crate::system::{self, Comparison, Until};

/// The result of a baseline.
#[derive(Debug)]
pub enum Baselined {
    /// Interrupted; nothing is left behind.
    Interrupted,
    /// Interrupted twice; a scratch database may be left behind.
    StoppedAtOnce,
    /// All of the migrations are in the history already.
    Nothing,
    /// The existing schema differs from the one that the migrations produce.
    Differs {
        /// How many tables, views, functions and other objects differ.
        objects: usize,
        /// The differences, from the produced to the existing schema.
        diff: String,
    },
    /// The migrations were recorded.
    Recorded {
        /// The migrations that were missing in the history.
        files: Vec<Migration>,
        /// As `history` shows it.
        summary: String,
    },
}

impl Locked<'_> {
    /// Records the migrations up to a version, if they make the existing schema or it is not to be compared.
    pub async fn baseline(&self, to: i64, is_compared: bool, cancel: &Cancel) -> Result<Baselined, Error> {
        let (desired, clients) = (&self.desired, &self.clients);
        let (journal, _) = journal::observe(&clients.system.database().await?).await?;
        let is_recorded = journal.snapshots.contains_key(journal::SYSTEM_SCHEMA);
        let stop = async {
            tokio::select! {
                _ = self.lock.lost() => {}
                () = cancel.requested(1) => {}
            }
        };
        let until = Until { version: to, is_recorded, is_compared };
        let comparing = system::compare(&desired.system, until, &clients.system, stop);
        let verdict = tokio::select! {
            verdict = comparing => verdict?,
            () = cancel.requested(2) => return Ok(Baselined::StoppedAtOnce),
        };
        // Nothing was written up to this point.
        self.lock.check().await.map_err(Error::LockLost)?;
        if cancel.is_requested() {
            return Ok(Baselined::Interrupted);
        }
        match verdict {
            Comparison::Stopped => Ok(Baselined::Interrupted),
            Comparison::Recorded => Ok(Baselined::Nothing),
            Comparison::Faults(faults) => Err(Error::Plan(PlanError::Faults(faults))),
            Comparison::Differs { objects, diff } => Ok(Baselined::Differs { objects, diff }),
            Comparison::Same { lacking, schema } => {
                let run = self.beginning("baseline", &Digest::of("baseline"));
                let summary = self.write(Box::pin(adopt(&run, desired, clients, &lacking, &schema))).await?;
                Ok(Baselined::Recorded { files: lacking, summary })
            }
        }
    }
}

/// Records the migrations atomically together with the run, and returns the summary of the run.
async fn adopt(
    run: &Run,
    desired: &Desired<'_>,
    clients: &Clients,
    lacking: &[Migration],
    schema: &Snapshot,
) -> Result<String, ObserveError> {
    let stack = desired.stack;
    let database = clients.system.database().await?;
    let (books, _) = journal::observe(&database).await?;
    if books.bookkeeping != Bookkeeping::Present {
        // Protected objects stay protected; only `apply` lifts a protection.
        let protected = books.protected.union(&stack.protected).cloned().collect();
        journal::ensure(&database, &stack.name, &protected).await?;
    }
    journal::begin(&database, run).await?;
    if !lacking.is_empty() {
        system::record(lacking, &clients.system, &run.id).await?;
    }
    let known = journal::observe(&database).await?.0.inventory;
    schema::record(&desired.system, clients, &known, schema, &run.id).await?;
    let step = |(file, position): (&Migration, i64)| {
        let address = Kind::Migration.named(&file.stem).to_string();
        record::step(position, address, "record", Outcome::Done, Duration::ZERO)
    };
    let steps: Vec<StepRecord> = lacking.iter().zip(0..).map(step).collect();
    journal::record_steps(&database, &run.id, &steps).await?;
    let plural = if lacking.len() == 1 { "" } else { "s" };
    let summary = match lacking.len() {
        0 => "the history has these migrations already; the schema is recorded".to_owned(),
        count => format!("{count} migration{plural} recorded, none run"),
    };
    journal::finish(&database, &run.id, RunStatus::Succeeded, &summary).await?;
    Ok(summary)
}
