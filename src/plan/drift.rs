//! Drift: what differs though the spec did not change. Of the system's schema, against the schema
//! that this tool's own migrations left; of everything else, what a spec that was applied whole
//! would change again. Shown, never mended.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ChangeEntry, Document, Work};
use crate::address::{Address, Kind};
use crate::catalog::{self, SchemaChange, Snapshot};
use crate::change::{Action, Check, Diff, Drift, Held, Planned, Status};
use crate::journal::{self, Bookkeeping};
use crate::stack::{Migration, SchemaDrift, Stack};
use crate::world::World;
use crate::{migrations, system};

/// Compares the schema with the one recorded after the last migration. Nothing is known of a
/// database that this tool never migrated.
pub(super) fn of_system(stack: &Stack, world: &World, desired: &system::Desired) -> Diff<Work> {
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
        [change] => said(change),
        _ => {
            let names: Vec<String> = changes.iter().map(said).collect();
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

/// The check that fails on drift, unless pending migrations are what is to be done about it: they name all
/// that was changed.
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

/// The migrations that another tool ran since the schema was recorded.
fn run_elsewhere<'d>(world: &World, desired: &'d system::Desired) -> Vec<&'d Migration> {
    let history = world.system.migrations.as_deref().unwrap_or_default();
    migrations::applied_by_another_tool(&desired.migrations, history, &world.journal.inventory)
}

/// What the system's schema is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SchemaBaseline {
    /// The spec has no migrations, or wants no comparison.
    Ignored,
    Recorded {
        /// Migrations that another tool ran since, which explain a part of what differs.
        run_elsewhere: Vec<String>,
    },
    /// None is recorded: there is nothing to compare with.
    NotRecorded,
}

impl SchemaBaseline {
    /// Of a stack and what was observed of it.
    pub fn of(stack: &Stack, world: &World) -> Self {
        let desired = system::Desired::new(stack, world.system.dialect);
        if stack.system.schema_drift == SchemaDrift::Ignore || desired.migrations().is_empty() {
            return Self::Ignored;
        }
        if !world.journal.snapshots.contains_key(journal::SYSTEM_SCHEMA) {
            return Self::NotRecorded;
        }
        let files = run_elsewhere(world, &desired);
        Self::Recorded { run_elsewhere: files.iter().map(|file| file.stem.clone()).collect() }
    }
}

/// Holds back what would run on a schema that fails its check, and all that needs it.
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

/// What happened to one table.
fn said(change: &SchemaChange) -> String {
    match change {
        SchemaChange::AddTable { name, .. } => format!("{name} is new"),
        SchemaChange::DropTable { name, .. } => format!("{name} is gone"),
        SchemaChange::RenameTable { from, to } => format!("{from} is now {to}"),
        SchemaChange::ModifyTable { name, changes: _ } => name.to_string(),
    }
}

/// How the spec stands to the one that was last applied whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// It is the same: whatever the plan would change was changed behind its back.
    Same,
    /// It is another one: what it would change cannot be told from drift.
    SpecChanged,
    /// No spec was applied whole yet.
    NeverApplied,
}

/// What `drift` says.
#[derive(Debug, Clone, Serialize)]
pub struct Drifted {
    pub stack: String,
    pub environment: String,
    /// Whether `changes` could be told.
    pub baseline: Baseline,
    /// What the plan would change back.
    pub changes: Vec<ChangeEntry>,
    /// What differs and no change will mend.
    pub drift: Vec<Drift>,
    /// Changes that are not listed, because the spec changed too.
    pub untold: usize,
    /// What the system's schema was compared with.
    pub schema: SchemaBaseline,
}

/// Whether an earlier run put something at an address, as far as the bookkeeping tells.
fn was_put(journal: &journal::Observed, address: &Address) -> bool {
    journal.trained.contains(address)
        || journal.inventory.at(address).is_some_and(|entries| !entries.is_empty())
}

/// What of a plan is drift.
///
/// A run that applies a spec whole leaves nothing to do, and records the spec's digest. As long as
/// the spec is that one, every change of a plan has its cause in the world.
pub fn drifted(plan: &Document, journal: &journal::Observed, schema: SchemaBaseline) -> Drifted {
    let baseline = match &journal.spec_digest {
        None => Baseline::NeverApplied,
        Some(digest) if *digest == plan.spec_digest => Baseline::Same,
        Some(_) => Baseline::SpecChanged,
    };
    // A newer trueup that wants more tables is nobody's hand.
    let is_own = |change: &&ChangeEntry| {
        journal.bookkeeping == Bookkeeping::Outdated && change.address.kind() == Kind::Bookkeeping
    };
    let changes: Vec<ChangeEntry> = plan.changes.iter().filter(|change| !is_own(change)).cloned().collect();
    // Whatever the spec says now, what this tool put there and what is missing was taken away.
    let is_gone = |change: &ChangeEntry| change.action == Action::Create && was_put(journal, &change.address);
    let (changes, untold): (Vec<ChangeEntry>, Vec<ChangeEntry>) = match baseline {
        Baseline::Same => (changes, Vec::new()),
        Baseline::SpecChanged => changes.into_iter().partition(is_gone),
        Baseline::NeverApplied => (Vec::new(), changes),
    };
    let untold = untold.len();
    Drifted {
        stack: plan.stack.clone(),
        environment: plan.environment.clone(),
        baseline,
        changes,
        drift: plan.drift.clone(),
        untold,
        schema,
    }
}
