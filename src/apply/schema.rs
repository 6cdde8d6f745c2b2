//! The schema that drift is measured from, where this tool did not run all migrations itself.

use std::time::Duration;

use crate::catalog::{Snapshot, TableKind};
use crate::journal::Inventory;
use crate::migrations::{self, Applied};
use crate::plan::Step;
use crate::sql::Dialect;
use crate::stack::{Migration, Stack};
use crate::stores::Clients;
use crate::system::{self, Desired};
use crate::world::World;

/// How long the migrations may run in a scratch database.
const SCRATCH_TIMEOUT: Duration = Duration::from_mins(2);

/// The part of a schema that is the stack's by its texts, where nothing was recorded yet.
pub(super) fn declared(stack: &Stack, observed: &system::Observed) -> Snapshot {
    system::managed(&Desired::new(stack, observed.dialect), &observed.schema)
}

/// The recorded schema with what other tools changed since by running files of the folder; `None` where
/// none is recorded.
pub(super) fn recorded(stack: &Stack, world: &World) -> Option<Snapshot> {
    let recorded = world.journal.snapshots.get(crate::journal::SYSTEM_SCHEMA)?;
    let history = world.system.migrations.as_deref().unwrap_or_default();
    if migrations::recorded_elsewhere(history, &world.journal.inventory).is_empty() {
        // Nothing to explain: the files need not be read for it.
        return Some(recorded.clone());
    }
    let desired = Desired::new(stack, world.system.dialect).knowing(Some(recorded));
    let elsewhere = migrations::run_elsewhere(&desired.migrations, history, &world.journal.inventory);
    Some(system::explained(&desired, recorded, &world.system.schema, &elsewhere))
}

/// Whether other tools ran files of the folder that the bookkeeping does not have.
pub(super) fn is_migrated_elsewhere(
    stack: &Stack,
    dialect: Dialect,
    history: &[Applied],
    inventory: &Inventory,
) -> bool {
    !migrations::recorded_elsewhere(history, inventory).is_empty()
        && !migrations::run_elsewhere(&migrations::Desired::new(&stack.system, dialect), history, inventory)
            .is_empty()
}

/// The part of a schema that the stack's migrations made, where another tool ran them and nothing is
/// recorded. What the texts do not show, such as a table that a function makes, is found by running them
/// in a scratch database.
pub(super) async fn adopted(stack: &Stack, schema: &Snapshot, clients: &Clients) -> Snapshot {
    let desired = Desired::new(stack, clients.system.dialect());
    let mut managed = system::managed(&desired, schema);
    let is_missing = |(name, table): (&_, &crate::catalog::Table)| {
        table.kind == TableKind::Table && !managed.tables.contains_key(name)
    };
    if !schema.tables.iter().any(is_missing) || !desired.migrations.runs_code() {
        return managed;
    }
    let files: Vec<&Migration> = desired.migrations().iter().collect();
    let made =
        tokio::time::timeout(SCRATCH_TIMEOUT, system::made_by(&desired, &files, &clients.system)).await;
    let reason = match made {
        Ok(Ok(made)) => {
            managed = schema.clone();
            managed
                .tables
                .retain(|name, table| made.contains(name) || system::is_managed(&desired, name, table));
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

/// The files of the migrations among some steps.
pub(super) fn files<'s>(steps: impl Iterator<Item = &'s Step>) -> Vec<&'s Migration> {
    steps.filter_map(Step::migration).collect()
}
