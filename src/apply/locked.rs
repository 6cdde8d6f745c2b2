//! Commands that write only the bookkeeping take the lock here. One of them is `drift accept`, which records the
//! current schema as the one that drift is measured from.

use std::time::{Duration, Instant};

use super::{Error, record, schema};
use crate::address::Kind;
use crate::connection::Purpose;
use crate::desired::Desired;
use crate::digest::Digest;
use crate::journal::{self, Bookkeeping, Outcome, Run, RunId, RunStatus, lock};
use crate::plan::ForeignDatabase;
use crate::stack::Stack;
use crate::stores::{Clients, ObserveError, system_url};
use crate::system;

/// An existing system database, with its lock held.
#[derive(Debug)]
pub struct Locked<'a> {
    pub(super) desired: Desired<'a>,
    pub(super) clients: Clients,
    pub(super) lock: lock::Lock,
    run: RunId,
}

/// The result of accepting the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The schema was recorded.
    Recorded,
    /// It was recorded already; nothing was written.
    Nothing,
    /// There is no bookkeeping to record it in.
    NeverApplied,
}

impl<'a> Locked<'a> {
    /// Takes the lock. `None` if the database does not exist; an error if it belongs to another stack, or to
    /// production and the spec does not.
    pub async fn open(stack: &'a Stack, patience: Duration) -> Result<Option<Self>, Error> {
        let run = RunId::new();
        let clients = Clients::new(stack, Purpose::Apply(run.clone()), false)?;
        let Some(database) = clients.existing_system().await? else { return Ok(None) };
        let lock = lock::acquire(&system_url(stack)?, &database, &stack.name, &run, patience).await?;
        let (journal, _) = journal::observe(&database).await?;
        match ForeignDatabase::from_journal(stack, &journal) {
            Some(foreign) => Err(Error::ForeignDatabase(foreign)),
            None => {
                Ok(Some(Self { desired: Desired::new(stack, clients.system.dialect()), clients, lock, run }))
            }
        }
    }

    /// The run as which a command is recorded.
    pub(super) fn beginning(&self, command: &str, plan_digest: &Digest) -> Run {
        let stack = self.desired.stack;
        record::beginning(command, &self.run, stack, (&stack.digest, plan_digest))
    }

    /// Runs a write while checking that the lock is held.
    pub(super) async fn write<T>(
        &self,
        writing: impl Future<Output = Result<T, ObserveError>>,
    ) -> Result<T, Error> {
        let written = self.lock.while_held(writing).await?;
        Ok(written?)
    }

    /// Records the current schema of the system database, as a run of its own.
    pub async fn accept_schema(&self) -> Result<Accepted, Error> {
        let run = self.beginning("drift accept", &Digest::of(""));
        self.write(Box::pin(accept(&self.desired.system, &self.clients, &run))).await
    }

    /// Releases the lock.
    pub async fn release(self) {
        self.lock.release().await;
    }
}

async fn accept(desired: &system::Desired, clients: &Clients, run: &Run) -> Result<Accepted, ObserveError> {
    let started = Instant::now();
    let database = clients.system.database().await?;
    let (journal, _) = journal::observe(&database).await?;
    if journal.bookkeeping == Bookkeeping::Missing {
        return Ok(Accepted::NeverApplied);
    }
    let recorded = journal.snapshots.get(journal::SYSTEM_SCHEMA);
    let there = clients.system.catalog().await?;
    let schema = match recorded {
        Some(_) => system::managed(&desired.clone().knowing(recorded), &there),
        None => Box::pin(schema::adopted(desired, &there, clients)).await,
    };
    if recorded == Some(&schema) {
        return Ok(Accepted::Nothing);
    }
    journal::begin(&database, run).await?;
    schema::record(desired, clients, &journal.inventory, &schema, &run.id).await?;
    let address = Kind::Schema.alone().to_string();
    let step = record::step(0, address, "accept", Outcome::Done, started.elapsed());
    journal::record_steps(&database, &run.id, &[step]).await?;
    journal::finish(&database, &run.id, RunStatus::Succeeded, "the schema was accepted").await?;
    Ok(Accepted::Recorded)
}
