//! Records the schema of the system database as the baseline for drift, even if another tool ran
//! some of the migrations.

use std::time::Duration;

use super::run::{Observation, Run};
use crate::catalog::{Snapshot, TableKind};
use crate::journal::{self, Bookkeeping, Inventory, RunId};
use crate::migrations::{self, Applied};
use crate::plan::Step;
use crate::stack::Migration;
use crate::stores::{Clients, ObserveError};
use crate::system::{self, Desired};
use crate::world::World;

/// Timeout for running the migrations in a scratch database.
const SCRATCH_TIMEOUT: Duration = Duration::from_mins(2);

/// The schema of the system database before some steps: the recorded baseline, and the observed
/// one.
#[derive(Debug)]
pub(super) struct KnownSchema {
    recorded: Snapshot,
    there: Snapshot,
    /// Whether another tool created the schema, and no baseline is recorded.
    is_adopted: bool,
}

impl KnownSchema {
    pub(super) fn from_world(desired: &Desired, world: World) -> Self {
        let recorded = recorded(desired, &world);
        let World { system, .. } = world;
        let is_migrated = system.migrations.as_ref().is_some_and(|history| !history.is_empty());
        Self {
            is_adopted: recorded.is_none() && is_migrated,
            recorded: recorded.unwrap_or_else(|| declared(desired, &system)),
            there: system.schema,
        }
    }

    /// Returns the baseline after some steps: what the steps changed is taken from the observed
    /// schema, and everything else from the baseline before. Objects mentioned in the migrations
    /// count as changed by them, even if they were changed manually.
    pub(super) fn after(self, desired: &Desired, done: &[Step], observed: &system::Observed) -> Self {
        let Self { recorded, there: before, is_adopted } = self;
        let there = observed.schema.clone();
        let recorded = recorded.after_steps(&before, &there);
        let files: Vec<&Migration> = done.iter().filter_map(Step::migration).collect();
        Self { recorded: system::explained(desired, &recorded, &there, &files), there, is_adopted }
    }
}

impl Run<'_> {
    /// Records the schema after the migrations of this run, or that of a database which another
    /// tool migrated.
    pub(super) async fn record_schema(
        &self,
        observation: &Observation,
        schema: &KnownSchema,
        done: &[Step],
    ) -> Result<(), ObserveError> {
        if schema.is_adopted && !observation.plan.steps.iter().any(Step::is_migration) {
            self.record_unrecorded_schema(observation).await?;
        } else if done.iter().any(Step::is_migration) {
            let database = self.clients.system.database().await?;
            journal::record_snapshot(&database, &self.id, journal::SYSTEM_SCHEMA, &schema.recorded).await?;
        }
        Ok(())
    }

    /// Records the schema if it is not recorded: in a database that another tool migrated, or after
    /// a run that was killed before recording it. If migrations are pending, they record it when
    /// they are done. Files that another tool ran since the last recording update the baseline.
    pub(super) async fn record_unrecorded_schema(
        &self,
        observation: &Observation,
    ) -> Result<(), ObserveError> {
        let Observation { world, plan } = observation;
        let World { system, journal, .. } = world;
        let history = system.migrations.as_deref().unwrap_or_default();
        if journal.bookkeeping != Bookkeeping::Present || history.is_empty() {
            return Ok(());
        }
        let desired = &self.desired.system;
        let is_elsewhere = is_migrated_elsewhere(&desired.migrations, history, &journal.inventory);
        let schema = match recorded(desired, world) {
            Some(_) if !is_elsewhere => return Ok(()),
            Some(recorded) => recorded,
            None if plan.steps.iter().any(Step::is_migration) => return Ok(()),
            None if is_elsewhere => Box::pin(adopted(desired, &system.schema, &self.clients)).await,
            None => declared(desired, system),
        };
        record(desired, &self.clients, &journal.inventory, &schema, &self.id).await
    }
}

/// Records a schema as the baseline for drift, with the files that other tools ran until then.
pub(super) async fn record(
    desired: &Desired,
    clients: &Clients,
    inventory: &Inventory,
    schema: &Snapshot,
    run: &RunId,
) -> Result<(), ObserveError> {
    let system = &clients.system;
    journal::record_snapshot(&system.database().await?, run, journal::SYSTEM_SCHEMA, schema).await?;
    Ok(migrations::adopt_into_inventory(&desired.migrations, inventory, system, run).await?)
}

/// Returns the part of a schema that the migration texts declare, when no baseline is recorded.
fn declared(desired: &Desired, observed: &system::Observed) -> Snapshot {
    system::managed(desired, &observed.schema)
}

/// Returns the baseline, updated with the changes of files that other tools ran since; `None` if
/// none is recorded.
fn recorded(desired: &Desired, world: &World) -> Option<Snapshot> {
    let recorded = world.journal.snapshots.get(journal::SYSTEM_SCHEMA)?;
    let history = world.system.migrations.as_deref().unwrap_or_default();
    if migrations::recorded_by_another_tool(history, &world.journal.inventory).is_empty() {
        // Nothing was run by other tools, so the files need not be parsed.
        return Some(recorded.clone());
    }
    let desired = desired.clone().knowing(Some(recorded));
    let elsewhere =
        migrations::applied_by_another_tool(&desired.migrations, history, &world.journal.inventory);
    Some(system::explained(&desired, recorded, &world.system.schema, &elsewhere))
}

/// Whether other tools ran files of the folder that the bookkeeping does not have.
fn is_migrated_elsewhere(desired: &migrations::Desired, history: &[Applied], inventory: &Inventory) -> bool {
    !migrations::recorded_by_another_tool(history, inventory).is_empty()
        && !migrations::applied_by_another_tool(desired, history, inventory).is_empty()
}

/// Returns the part of a schema that the stack's migrations created, if another tool ran them and
/// no baseline is recorded. Objects that are not visible in the texts, such as a table created by a
/// function, are found by running the migrations in a scratch database.
pub(super) async fn adopted(desired: &Desired, schema: &Snapshot, clients: &Clients) -> Snapshot {
    let mut managed = system::managed(desired, schema);
    let is_missing = |(name, table): (&_, &crate::catalog::Table)| {
        table.kind == TableKind::Table && !managed.tables.contains_key(name)
    };
    if !schema.tables.iter().any(is_missing) || !desired.migrations.runs_code() {
        return managed;
    }
    let files: Vec<&Migration> = desired.migrations().iter().collect();
    let made = tokio::time::timeout(SCRATCH_TIMEOUT, system::made_by(desired, &files, &clients.system)).await;
    let reason = match made {
        Ok(Ok(made)) => {
            managed = schema.clone();
            managed
                .tables
                .retain(|name, table| made.contains(name) || system::is_managed(desired, name, table));
            return managed;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {SCRATCH_TIMEOUT:?}"),
    };
    tracing::warn!(
        reason,
        "the migrations could not be run in a scratch database: tables that they make in code are not \
         compared; `trueup baseline` says why"
    );
    managed
}
