//! Drift: differences although the spec did not change. The schema of the system database is
//! compared with the schema recorded after the last migration; everything else with the last fully
//! applied spec. Drift is reported and not repaired.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ChangeEntry, Document, Work};
use crate::address::{Address, Kind};
use crate::catalog::{self, SchemaChange, Snapshot};
use crate::change::{Action, Check, Diff, Drift, Held, Planned, Status};
use crate::desired::Desired;
use crate::journal::{self, Bookkeeping};
use crate::stack::{Migration, SchemaDrift, Stack};
use crate::world::World;
use crate::{migrations, system};

/// Compares the schema with the one recorded after the last migration. There is no drift in a
/// database that this tool never migrated.
pub(super) fn system_schema_drift(stack: &Stack, world: &World, desired: &system::Desired) -> Diff<Work> {
    let mut diff = Diff::default();
    let Some(recorded) = world.journal.snapshots.get(journal::SYSTEM_SCHEMA) else { return diff };
    let is_judged = match stack.system.schema_drift {
        SchemaDrift::Ignore => false,
        SchemaDrift::Warn | SchemaDrift::Fail => true,
    };
    if !is_judged {
        return diff;
    }
    let there = &world.system.schema;
    let elsewhere = run_elsewhere(world, desired);
    if !elsewhere.is_empty() {
        let names = elsewhere.iter().map(|file| file.stem.as_str()).collect::<Vec<_>>().join(", ");
        diff.notes.push(format!("another tool ran {names}; its schema changes are not drift"));
    }
    let before = system::explained(desired, recorded, there, &elsewhere);
    let mut now = there.clone();
    now.tables
        .retain(|name, table| before.tables.contains_key(name) || system::is_managed(desired, name, table));
    if now.take_words_of(&before) > 0 {
        diff.notes.push(
            "the schema was recorded on another version of PostgreSQL, which writes views in other words: they are \
             compared by their columns until `trueup drift accept`"
                .to_owned(),
        );
    }
    let changes = catalog::diff(&before, &now);
    let summary = match changes.as_slice() {
        [] => return diff,
        [change] => describe_change(change),
        _ => {
            let names: Vec<String> = changes.iter().map(describe_change).collect();
            format!("{} tables: {}", names.len(), names.join(", "))
        }
    };
    if stack.system.schema_drift == SchemaDrift::Fail {
        diff.checks.push(check(world, desired, (&before, &now), &summary));
    }
    let text = catalog::text_diff(&before, &now);
    let summary = format!("changed by hand: {summary}");
    diff.drift.push(Drift { address: Kind::Schema.alone(), summary, diff: text });
    diff
}

/// Builds the check that fails on drift, unless pending migrations explain it because they mention
/// every changed object.
fn check(
    world: &World,
    desired: &system::Desired,
    (before, now): (&Snapshot, &Snapshot),
    summary: &str,
) -> Check {
    let history = world.system.migrations.as_deref().unwrap_or_default();
    let is_applied = |file: &&Migration| history.iter().any(|applied| applied.version == file.version);
    let pending: Vec<&Migration> = desired.migrations().iter().filter(|file| !is_applied(file)).collect();
    let after = system::explained(desired, before, now, &pending);
    if !pending.is_empty() && catalog::diff(&after, now).is_empty() {
        let message =
            format!("changed by hand: {summary}; the pending migrations name all of it and may run");
        return Check::new(Kind::Schema, Status::Warn, message);
    }
    let help = "undo it, write it as a migration, or record it with `trueup drift accept`";
    Check::new(Kind::Schema, Status::Fail, format!("changed by hand: {summary}; {help}"))
}

/// Returns the migrations that another tool ran since the schema was recorded.
fn run_elsewhere<'d>(world: &World, desired: &'d system::Desired) -> Vec<&'d Migration> {
    let history = world.system.migrations.as_deref().unwrap_or_default();
    migrations::applied_by_another_tool(&desired.migrations, history, &world.journal.inventory)
}

/// The baseline for drift of the system's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SchemaBaseline {
    /// The spec has no migrations, or ignores drift.
    Ignored,
    Recorded {
        /// Migrations that another tool ran since, which explain some of the differences.
        run_elsewhere: Vec<String>,
    },
    /// No schema is recorded.
    NotRecorded,
}

impl SchemaBaseline {
    pub fn of(desired: &Desired<'_>, world: &World) -> Self {
        let Desired { stack, system, .. } = desired;
        if stack.system.schema_drift == SchemaDrift::Ignore || system.migrations().is_empty() {
            return Self::Ignored;
        }
        if !world.journal.snapshots.contains_key(journal::SYSTEM_SCHEMA) {
            return Self::NotRecorded;
        }
        let files = run_elsewhere(world, system);
        Self::Recorded { run_elsewhere: files.iter().map(|file| file.stem.clone()).collect() }
    }
}

/// Blocks changes that would run on a schema that fails its check, and everything that depends on
/// them.
pub(super) fn hold_migrations(diff: &mut Diff<Work>) {
    let is_migration = |address: &Address| matches!(address.kind(), Kind::Migration | Kind::Repeatable);
    let mut held: BTreeSet<Address> = BTreeSet::new();
    loop {
        let needs_held = |change: &Planned<Work>| change.needs.iter().any(|need| held.contains(need));
        let is_held = |change: &Planned<Work>| is_migration(&change.address) || needs_held(change);
        let (more, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut diff.changes).into_iter().partition(is_held);
        diff.changes = kept;
        if more.is_empty() {
            return;
        }
        for change in more {
            let reason = format!("failed check {}", Kind::Schema.alone());
            diff.blocked.push(Held { address: change.address.clone(), reason });
            held.insert(change.address);
        }
    }
}

/// Describes the change of one table.
fn describe_change(change: &SchemaChange) -> String {
    match change {
        SchemaChange::AddTable { name, .. } => format!("{name} is new"),
        SchemaChange::DropTable { name, .. } => format!("{name} is gone"),
        SchemaChange::RenameTable { from, to } => format!("{from} is now {to}"),
        SchemaChange::ModifyTable { name, changes: _ } => name.to_string(),
    }
}

/// How the spec relates to the last fully applied one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The spec is the same, so every planned change is drift.
    Same,
    /// The spec is different, so changes and drift cannot be distinguished.
    SpecChanged,
    /// No spec was fully applied yet.
    NeverApplied,
}

/// The result of `drift`.
#[derive(Debug, Clone, Serialize)]
pub struct DriftReport {
    pub stack: String,
    pub environment: String,
    /// Whether `changes` could be determined.
    pub baseline: Baseline,
    /// Objects that the plan would change back.
    pub changes: Vec<ChangeEntry>,
    /// Differences that no change removes.
    pub drift: Vec<Drift>,
    /// Number of changes that are not listed, because the spec changed too.
    pub unlisted: usize,
    /// The baseline for the system's schema.
    pub schema: SchemaBaseline,
    /// Checks that failed. Drift of what they are about was not looked for.
    pub failed_checks: Vec<Check>,
}

/// Whether an earlier run created the object, according to the bookkeeping.
fn was_created(journal: &journal::Observed, address: &Address) -> bool {
    journal.trained.contains(address)
        || journal.inventory.at(address).is_some_and(|entries| !entries.is_empty())
}

/// Selects the drift from a plan.
///
/// A run that applies a spec fully leaves no change and records the spec's digest. As long as the
/// digest is the same, every planned change was caused outside of trueup.
pub fn find_drift(plan: &Document, journal: &journal::Observed, schema: SchemaBaseline) -> DriftReport {
    let baseline = match &journal.spec_digest {
        None => Baseline::NeverApplied,
        Some(digest) if *digest == plan.spec_digest => Baseline::Same,
        Some(_) => Baseline::SpecChanged,
    };
    // New bookkeeping tables of a newer trueup are not drift.
    let is_own = |change: &&ChangeEntry| {
        journal.bookkeeping == Bookkeeping::Outdated && change.address.kind() == Kind::Bookkeeping
    };
    let changes: Vec<ChangeEntry> = plan.changes.iter().filter(|change| !is_own(change)).cloned().collect();
    // An object that this tool created and that is missing now was deleted, whatever the spec says
    // now.
    let is_gone =
        |change: &ChangeEntry| change.action == Action::Create && was_created(journal, &change.address);
    let (changes, unlisted): (Vec<ChangeEntry>, Vec<ChangeEntry>) = match baseline {
        Baseline::Same => (changes, Vec::new()),
        Baseline::SpecChanged => changes.into_iter().partition(is_gone),
        Baseline::NeverApplied => (Vec::new(), changes),
    };
    let unlisted = unlisted.len();
    DriftReport {
        stack: plan.stack.clone(),
        environment: plan.environment.clone(),
        baseline,
        changes,
        drift: plan.drift.clone(),
        unlisted,
        schema,
        failed_checks: plan.checks.iter().filter(|check| check.status == Status::Fail).cloned().collect(),
    }
}
