//! Adopts a database that another tool migrated: runs the migrations up to a version in a scratch database,
//! compares the schemas, and records the migrations. Runs nothing on the real database.

use std::collections::BTreeSet;

use super::surroundings::{Surroundings, surround};
use super::{Desired, Error, Result, database, facts, scratch};
use crate::catalog::{self, Objects, Snapshot, TableKind, TableName};
use crate::change::Fault;
use crate::connection::{Client, Lacks, Limits};
use crate::journal::{Inventory, RunId};
use crate::migrations::{self, Advice, Pending, without_external_statements};
use crate::stack::Migration;

/// The result of a comparison.
#[derive(Debug)]
pub enum Comparison {
    /// The user stopped it before there was a result.
    Stopped,
    /// The history has all of the migrations already.
    Recorded,
    /// The history does not match the files.
    Faults(Vec<Fault>),
    /// The schema differs from what the migrations create.
    Differs {
        /// How many tables, views, functions and other objects differ.
        objects: usize,
        /// A diff from the expected to the real schema.
        diff: String,
    },
    /// The schemas match, so the migrations can be recorded.
    Same {
        /// The migrations that the history does not have.
        lacking: Vec<Migration>,
        /// The part of the real schema that the migrations create.
        schema: Snapshot,
    },
}

/// The migrations to adopt, and how.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// The last version.
    pub version: i64,
    /// Whether the bookkeeping has the schema that they left.
    pub is_recorded: bool,
    /// Whether to compare the schema with the one that they create.
    pub is_compared: bool,
}

/// Compares the database with what the migrations up to a version create, unless they are recorded already.
/// The scratch database is removed also when `stop` resolves first.
pub async fn compare(
    desired: &Desired,
    Until { version: to, is_recorded, is_compared }: Until,
    client: &Client,
    stop: impl Future<Output = ()>,
) -> Result<Comparison> {
    let until: Vec<&Migration> = desired.migrations().iter().filter(|file| file.version <= to).collect();
    if !until.iter().any(|file| file.version == to) {
        let known = desired.migrations().iter().map(|file| file.stem.clone()).collect();
        return Err(migrations::Error::NoSuchMigration { version: to, known }.into());
    }
    let live = client.database().await?;
    let is_migrated = facts::observe(&live).await?.has_history;
    let history = if is_migrated { migrations::observe(&live).await? } else { Vec::new() };
    let faults = migrations::faults(&desired.migrations, &history, &Inventory::default());
    if !faults.is_empty() {
        return Ok(Comparison::Faults(faults));
    }
    let is_applied = |file: &&&Migration| history.iter().any(|applied| applied.version == file.version);
    let lacking: Vec<Migration> = until.iter().filter(|file| !is_applied(file)).copied().cloned().collect();
    if lacking.is_empty() && is_recorded {
        return Ok(Comparison::Recorded);
    }
    if !is_compared {
        let schema = super::managed(desired, &*client.catalog().await?);
        return Ok(Comparison::Same { lacking, schema });
    }
    let expected = scratch::within(client, async |scratch: &Client| {
        tokio::select! {
            made = make(desired, &until, (client, scratch)) => made.map(Some).map_err(|error| unchecked(error, to)),
            () = stop => Ok(None),
        }
    });
    let Some((expected, wanted)) = expected.await? else { return Ok(Comparison::Stopped) };
    // Objects that no migration creates are not compared.
    let catalog = client.catalog().await?;
    let mut judged = Snapshot::clone(&catalog);
    judged.tables.retain(|name, _| expected.tables.contains_key(name));
    let there = catalog::objects(&live).await.map_err(Error::doing("reading the schema"))?;
    let lacking_objects = wanted.lacking(&there);
    let objects = catalog::diff(&expected, &judged).len() + lacking_objects.len();
    if objects > 0 {
        let diff = catalog::text_diff(&expected, &judged) + &lacking_objects.concat();
        return Ok(Comparison::Differs { objects, diff });
    }
    // All views are recorded, whoever created them, because they depend on the tables.
    let views = catalog
        .tables
        .iter()
        .filter(|(_, table)| matches!(table.kind, TableKind::View | TableKind::MaterializedView));
    judged.tables.extend(views.map(|(name, view)| (name.clone(), view.clone())));
    Ok(Comparison::Same { lacking, schema: judged })
}

/// Runs the migrations in a scratch database with copies of the surroundings, and returns its
/// schema.
async fn make(
    desired: &Desired,
    files: &[&Migration],
    (live, scratch): (&Client, &Client),
) -> Result<(Snapshot, Objects)> {
    let run = RunId::new();
    for name in &desired.extensions {
        database::create_extension(name, scratch).await?;
    }
    let mut surroundings = None;
    for file in files {
        let mut pending = pending(file, desired.migrations.limits());
        // Roles belong to the server: they exist already, and a trial must not create any.
        pending.migration.sql = without_external_statements(&file.sql, desired.dialect);
        let change = migrations::Change::Run(Box::new(pending));
        let mut made = migrations::apply(&change, scratch, &run).await;
        if surroundings.is_none()
            && made.as_ref().is_err_and(|error| error.lacks().is_some_and(Lacks::is_of_schema))
        {
            surroundings = Some(surround(desired, live, scratch).await?);
            made = migrations::apply(&change, scratch, &run).await;
        }
        made.map_err(|error| in_scratch(error.into(), surroundings.as_ref()))?;
    }
    let made = catalog::objects(&scratch.database().await?).await;
    let made = made.map_err(Error::doing("reading the schema of the scratch database"))?;
    let mut schema = Snapshot::clone(&*scratch.catalog().await?);
    if let Some(Surroundings { tables, .. }) = surroundings {
        schema.tables.retain(|name, _| !tables.contains(name));
    }
    Ok((schema, made))
}

/// Replaces the advice of a migration that failed in a scratch database.
fn in_scratch(mut error: Error, surroundings: Option<&Surroundings>) -> Error {
    if let Error::Migrations(migrations::Error::Migration { advice, .. }) = &mut error {
        let left = surroundings.map(|made| made.left(Lacks::Object)).unwrap_or_default();
        **advice = Advice::Scratch { left, baseline: None };
    }
    error
}

/// Adds to the advice how to record the migrations without comparing.
fn unchecked(mut error: Error, to: i64) -> Error {
    if let Error::Migrations(migrations::Error::Migration { advice, .. }) = &mut error
        && let Advice::Scratch { baseline, .. } = &mut **advice
    {
        *baseline = Some(to);
    }
    error
}

/// The tables and views that migrations create, determined in a scratch database.
pub async fn made_by(
    desired: &Desired,
    files: &[&Migration],
    client: &Client,
) -> Result<BTreeSet<TableName>> {
    let made =
        scratch::within(client, async |scratch: &Client| make(desired, files, (client, scratch)).await);
    let (schema, _) = made.await?;
    Ok(schema.tables.into_keys().collect())
}

/// Records migrations as applied, all or none.
pub async fn record(lacking: &[Migration], client: &Client, run: &RunId) -> Result<()> {
    let limits = Limits { lock: std::time::Duration::ZERO, statement: std::time::Duration::ZERO };
    let lacking: Vec<Pending> = lacking.iter().map(|file| pending(file, limits)).collect();
    Ok(migrations::record_only(&lacking, &[], client, run).await?)
}

fn pending(file: &Migration, limits: Limits) -> Pending {
    Pending { migration: file.clone(), limits }
}
