//! Drift: what differs though the spec did not change. Of the system's schema, against the schema
//! that this tool's own migrations left; of everything else, what a spec that was applied whole
//! would change again. Shown, never mended.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ChangeEntry, Document, Work};
use crate::catalog::{self, SchemaChange};
use crate::change::{Address, Check, Diff, Drift, Held, Planned, Status};
use crate::journal::{self, Bookkeeping};
use crate::spec::{SchemaDrift, Stack};
use crate::system;
use crate::world::World;

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
    let (before, mut now) =
        (system::managed(desired, recorded), system::managed(desired, &world.system.schema));
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
        let help = "undo it, write it as a migration, or record it with `trueup drift accept`";
        let message = format!("changed by hand: {summary}; {help}");
        diff.checks.push(Check::new("system.schema", Status::Fail, message));
    }
    let text = catalog::text_diff(&before, &now);
    let summary = format!("changed by hand: {summary}");
    diff.drift.push(Drift { address: Address::new("system.schema"), summary, diff: text });
    diff
}

/// Holds back what would run on a schema that fails its check, and all that needs it.
pub(super) fn hold_migrations(diff: &mut Diff<Work>) {
    let migrations = ["system.migration", "system.repeatable"];
    let is_migration = |address: &Address| migrations.iter().any(|prefix| address.is_selected_by(prefix));
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
            let reason = "failed check system.schema".to_owned();
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
    /// The stack.
    pub stack: String,
    /// The environment.
    pub environment: String,
    /// Whether `changes` could be told.
    pub baseline: Baseline,
    /// What the plan would change back.
    pub changes: Vec<ChangeEntry>,
    /// What differs and no change will mend.
    pub drift: Vec<Drift>,
    /// Changes that are not listed, because the spec changed too.
    pub untold: usize,
}

/// What of a plan is drift.
///
/// A run that applies a spec whole leaves nothing to do, and records the spec's digest. As long as
/// the spec is that one, every change of a plan has its cause in the world.
pub fn drifted(plan: &Document, journal: &journal::Observed) -> Drifted {
    let baseline = match &journal.spec_digest {
        None => Baseline::NeverApplied,
        Some(digest) if *digest == plan.spec_digest => Baseline::Same,
        Some(_) => Baseline::SpecChanged,
    };
    // A newer trueup that wants more tables is nobody's hand.
    let is_own = |change: &&ChangeEntry| {
        journal.bookkeeping == Bookkeeping::Outdated && change.address.as_str() == "system.bookkeeping"
    };
    let changes: Vec<ChangeEntry> = plan.changes.iter().filter(|change| !is_own(change)).cloned().collect();
    let (changes, untold) = match baseline {
        Baseline::Same => (changes, 0),
        Baseline::SpecChanged | Baseline::NeverApplied => (Vec::new(), changes.len()),
    };
    Drifted {
        stack: plan.stack.clone(),
        environment: plan.environment.clone(),
        baseline,
        changes,
        drift: plan.drift.clone(),
        untold,
    }
}
