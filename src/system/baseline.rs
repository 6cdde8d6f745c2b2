//! Adopts a database that another tool migrated: makes what the migrations up to a version would
//! make in a scratch database, compares, and records them. Never runs one on the real database.

use std::collections::BTreeSet;

use super::surroundings::{Surroundings, surround};
use super::{Desired, Error, Result, database, scratch};
use crate::catalog::{self, Objects, Snapshot, TableKind, TableName};
use crate::change::Fault;
use crate::connection::{Client, Lacks, Limits};
use crate::journal::{Inventory, RunId};
use crate::migrations::{self, Advice, Pending, without_external_statements};
use crate::stack::Migration;

/// What comparing gave.
#[derive(Debug)]
pub enum Verdict {
    /// It was stopped before there was anything to compare.
    Stopped,
    /// The history has all of them already.
    Recorded,
    /// What the history has does not fit the files.
    Faults(Vec<Fault>),
    /// The schema is not what the migrations would make.
    Differs {
        /// How many tables, views, functions and the like differ.
        objects: usize,
        /// How, from what they would make to what is there.
        diff: String,
    },
    /// It is: these can be recorded.
    Same {
        /// Those that the history lacks.
        lacking: Vec<Migration>,
        /// What of the schema they would make.
        schema: Snapshot,
    },
}

/// Which migrations a database is said to have, and what is known of that.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// The last of them.
    pub version: i64,
    /// Whether the schema that they left is recorded.
    pub is_recorded: bool,
    /// Whether the schema is to be compared with what they would make.
    pub is_compared: bool,
}

/// Compares the database with what the migrations up to a version would make, unless the history has
/// them and the schema that they left is recorded. The scratch database is removed when `stop` comes
/// first, too.
pub async fn compare(
    desired: &Desired,
    Until { version: to, is_recorded, is_compared }: Until,
    client: &Client,
    stop: impl Future<Output = ()>,
) -> Result<Verdict> {
    let until: Vec<&Migration> = desired.migrations().iter().filter(|file| file.version <= to).collect();
    if !until.iter().any(|file| file.version == to) {
        let known = desired.migrations().iter().map(|file| file.stem.clone()).collect();
        return Err(migrations::Error::NoSuchMigration { version: to, known }.into());
    }
    let live = client.database().await?;
    let is_migrated = database::observe(&live).await?.has_history;
    let history = if is_migrated { migrations::observe(&live).await? } else { Vec::new() };
    let faults = migrations::faults(&desired.migrations, &history, &Inventory::default());
    if !faults.is_empty() {
        return Ok(Verdict::Faults(faults));
    }
    let is_applied = |file: &&&Migration| history.iter().any(|applied| applied.version == file.version);
    let lacking: Vec<Migration> = until.iter().filter(|file| !is_applied(file)).copied().cloned().collect();
    if lacking.is_empty() && is_recorded {
        return Ok(Verdict::Recorded);
    }
    if !is_compared {
        let schema = super::managed(desired, &*client.catalog().await?);
        return Ok(Verdict::Same { lacking, schema });
    }
    let expected = scratch::within(client, async |scratch: &Client| {
        tokio::select! {
            made = make(desired, &until, (client, scratch)) => made.map(Some).map_err(|error| unchecked(error, to)),
            () = stop => Ok(None),
        }
    });
    let Some((expected, wanted)) = expected.await? else { return Ok(Verdict::Stopped) };
    // What no migration makes is not theirs to judge.
    let catalog = client.catalog().await?;
    let mut judged = Snapshot::clone(&catalog);
    judged.tables.retain(|name, _| expected.tables.contains_key(name));
    let there = catalog::objects(&live).await.map_err(Error::doing("reading the schema"))?;
    let lacking_objects = wanted.lacking(&there);
    let objects = catalog::diff(&expected, &judged).len() + lacking_objects.len();
    if objects > 0 {
        let diff = catalog::text_diff(&expected, &judged) + &lacking_objects.concat();
        return Ok(Verdict::Differs { objects, diff });
    }
    // A view follows from its tables: every one is recorded, whoever made it.
    let views = catalog
        .tables
        .iter()
        .filter(|(_, table)| matches!(table.kind, TableKind::View | TableKind::MaterializedView));
    judged.tables.extend(views.map(|(name, view)| (name.clone(), view.clone())));
    Ok(Verdict::Same { lacking, schema: judged })
}

/// The schema that migrations make in a database that has nothing but what they find in the real one.
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
        // Roles are the server's: there already, and not to be made by a trial.
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

/// What to do about a migration that fails in a scratch database, and may not in the real one.
fn in_scratch(mut error: Error, surroundings: Option<&Surroundings>) -> Error {
    if let Error::Migrations(migrations::Error::Migration { advice, .. }) = &mut error {
        let left = surroundings.map(|made| made.left(Lacks::Object)).unwrap_or_default();
        **advice = Advice::Scratch { left, baseline: None };
    }
    error
}

/// The same, with the way to record the migrations all the same.
fn unchecked(mut error: Error, to: i64) -> Error {
    if let Error::Migrations(migrations::Error::Migration { advice, .. }) = &mut error
        && let Advice::Scratch { baseline, .. } = &mut **advice
    {
        *baseline = Some(to);
    }
    error
}

/// The tables and views that migrations make in a scratch database.
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
