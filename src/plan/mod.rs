//! Computes a plan from the desired state and a world. A pure function: no I/O, no clock, equal inputs give
//! equal bytes. Data flow between components (a target's schema becomes documents of the vector
//! store) happens only here.

mod bookkeeping;
mod document;
mod drift;
mod graph;
mod mentions;
mod only;
mod owner;
mod policy;
mod protect;
mod saved;
mod takeback;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use document::{ChangeEntry, Document, FORMAT_VERSION, Summary, json_schema};
pub use drift::{Baseline, DriftReport, SchemaBaseline, find_drift};
pub use graph::Cycle;
pub use owner::ForeignDatabase;
pub use policy::Allow;
pub use saved::{Error as SavedError, ToRun, done_of, read, reconcile, write};

use crate::address::{Address, Kind};
use crate::change::{Action, Check, Diff, Fault, Held, Planned, Status};
use crate::desired::Desired;
use crate::digest::Digest;
use crate::journal::{self, Move};
use crate::stack::{self, Flags, Stack};
use crate::world::World;
use crate::{cache, migrations, system, target, vector};
use graph::Graph;
use owner::Applied;

/// Options of a plan.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--only`: a component or an address, with its dependencies.
    pub only: Option<String>,
    /// `--train`: train the vector store even if `auto_train_vector` is off.
    pub train: bool,
    /// `destroy`: the stack is an emptied one, and its objects are deleted.
    pub take_back: bool,
    /// Steps done by an interrupted run of the saved plan; what its migrations created still counts
    /// as new.
    pub done: BTreeSet<Address>,
    /// Steps done by this run before it planned again; the passwords they set are up to date.
    pub completed: BTreeSet<Address>,
}

/// A plan: the document to show and save, and the steps to execute.
#[derive(Debug)]
pub struct Plan {
    pub document: Document,
    /// In the same order as the changes of the document.
    pub steps: Vec<Step>,
    /// Changes denied by a policy or by protection.
    pub denied: Vec<Held>,
    /// Changes that need an `--allow` option.
    pub guarded: Vec<(Address, Allow)>,
    /// Renames to record in the bookkeeping before any step runs.
    pub moves: Vec<Move>,
}

/// An executable step.
#[derive(Debug, Clone)]
pub struct Step {
    pub address: Address,
    pub action: Action,
    /// Steps of this plan that must be done first.
    pub needs: Vec<Address>,
    pub work: Work,
}

impl Step {
    /// Returns the versioned migration that it runs, if any.
    pub fn migration(&self) -> Option<&stack::Migration> {
        match &self.work {
            Work::System(system::Change::Migration(migrations::Change::Run(pending))) => {
                Some(&pending.migration)
            }
            _ => None,
        }
    }

    /// Whether it runs a migration file.
    pub fn is_migration(&self) -> bool {
        matches!(self.work, Work::System(system::Change::Migration(_)))
    }
}

/// The work of a step.
#[derive(Debug, Clone)]
pub enum Work {
    /// Create the bookkeeping tables, and record what is protected.
    Bookkeeping {
        /// The stack of the bookkeeping.
        stack: String,
        protected: BTreeSet<Address>,
    },
    System(system::Change),
    Target(target::Change),
    Vector(vector::Change),
    Cache(cache::Change),
    /// Record the stack, its environment and its flags. Runs last, and only if no step failed.
    Flags {
        stack: String,
        environment: String,
        flags: Flags,
    },
}

/// Why planning failed.
#[derive(Debug)]
pub enum PlanError {
    /// The observed state makes the spec impossible.
    Faults(Vec<Fault>),
    /// Nothing matches `--only`.
    NothingSelected(String),
    /// The changes depend on each other, which is a defect of this tool.
    Cycle(Cycle),
}

impl Plan {
    /// Whether everything matches the spec: no change now or later, and no failed check.
    pub fn is_empty(&self) -> bool {
        let Document { changes, blocked, deferred, .. } = &self.document;
        changes.is_empty() && blocked.is_empty() && deferred.is_empty() && !self.has_failed_check()
    }

    /// Adds checks that were run after planning.
    pub fn add_checks(&mut self, checks: Vec<Check>) {
        self.document.checks.extend(checks);
        self.document.checks.sort_by(|a, b| a.address.cmp(&b.address));
        self.document.seal();
    }

    pub fn has_failed_check(&self) -> bool {
        self.document.checks.iter().any(|check| check.status == Status::Fail)
    }

    /// Returns what must still be allowed with `--allow` before this plan may run.
    pub fn refusals(&self, allowed: &[Allow]) -> Vec<(Address, Allow)> {
        let mut refused: Vec<_> =
            self.guarded.iter().filter(|(_, allow)| !allowed.contains(allow)).cloned().collect();
        if self.document.foreign_database().is_some() {
            refused.insert(0, (Kind::Flags.alone(), Allow::Environment));
        }
        refused.retain(|(_, allow)| !allowed.contains(allow));
        refused
    }
}

/// Returns the changes that make the world match the desired state.
pub fn plan(desired: &Desired<'_>, world: &World, options: &Options) -> Result<Plan, PlanError> {
    let moves = journal::pending_moves(&desired.stack.moved, &world.journal);
    if moves.is_empty() {
        return plan_as_named(desired, world, options);
    }
    let mut plan = plan_as_named(desired, &world.renamed(&moves), options)?;
    let note = |Move { from, to }: &Move| format!("{from} is now {to}: nothing is deleted and made again");
    plan.document.notes.splice(0..0, moves.iter().map(note));
    plan.document.world_digest = world.digest();
    plan.document.seal();
    plan.moves = moves;
    Ok(plan)
}

fn plan_as_named(desired: &Desired<'_>, world: &World, options: &Options) -> Result<Plan, PlanError> {
    let stack = desired.stack;
    let mut diff = differences(desired, world, options);
    if !diff.faults.is_empty() {
        return Err(PlanError::Faults(diff.faults));
    }
    match bookkeeping::flags(stack, &world.journal, options) {
        None => diff.unchanged += 1,
        Some(change) if diff.blocked.is_empty() => diff.changes.push(change),
        // The flags come last, so that applications do not use objects that do not exist yet.
        Some(change) => {
            let reason = "needs what is blocked".to_owned();
            diff.blocked.push(Held { address: change.address, reason });
        }
    }
    if options.take_back {
        takeback::explain(&mut diff, stack, world);
    }
    bookkeeping::link(&mut diff.changes);
    if let Some(only) = &options.only {
        only::select(&mut diff, only, stack)?;
    }
    assemble(stack, world, diff, options)
}

/// Combines the diffs of all components in order, because later ones use results of earlier ones.
fn differences(desired: &Desired<'_>, world: &World, options: &Options) -> Diff<Work> {
    let stack = desired.stack;
    let mut diff = Diff::default();
    diff.merge(bookkeeping::diff(stack, &world.journal, options));

    let recorded = world.journal.snapshots.get(journal::SYSTEM_SCHEMA);
    let system = desired
        .system
        .clone()
        .knowing(recorded)
        .established(world.journal.spec_digest.is_some())
        .going_on(&options.done)
        .after_steps(&options.completed);
    diff.merge(system::diff(&system, &world.system, &world.journal.inventory).map(Work::System));

    let drift = drift::system_schema_drift(stack, world, &system);
    let is_refused = drift.checks.iter().any(|check| check.status == Status::Fail);
    diff.merge(drift);
    if is_refused {
        drift::hold_migrations(&mut diff);
    }

    let mut schemas = BTreeMap::new();
    for (name, target) in &desired.targets {
        let (target, schema) = target_diff(target, world);
        diff.merge(target);
        schemas.insert(name.clone(), schema);
    }
    if let Some(vector) = vector::Desired::new(stack, &schemas, vector::Claimant::new(stack, &world.journal))
    {
        if options.train || stack.flags.auto_train_vector() {
            diff.notes.extend(mentions::notes(stack, world));
            diff.merge(vector_diff(&vector, world));
        } else {
            diff.notes
                .push("training is off (auto_train_vector: false); `--train` asks for it once".to_owned());
        }
    }
    if let Some(cache) = &stack.cache {
        // A copied system database has the claims of the environment that it was copied from.
        let is_moved = Applied::before(stack, &world.journal) != Applied::default();
        let claims = if is_moved { &journal::Inventory::default() } else { &world.journal.inventory };
        diff.merge(cache_diff(cache, world, claims));
    }
    diff
}

/// Returns a target's diff, and its schema for collections that use it. A target with a failed
/// check has neither, so its dependents are blocked.
fn target_diff(desired: &target::Desired, world: &World) -> (Diff<Work>, vector::Schema) {
    let name = &desired.name;
    let Some(observed) = world.targets.get(name) else {
        let why = format!("target {name} was not observed");
        let mut diff = Diff::default();
        diff.deferred
            .push(Held { address: Kind::TargetSchema.named(name), reason: "not observed".to_owned() });
        return (diff, vector::Schema::Unknown(why));
    };
    let recorded = world.journal.snapshots.get(&format!("target.{name}"));
    let mut diff = target::diff(desired, observed, recorded).map(Work::Target);
    let failed = diff.checks.iter().find(|check| check.status == Status::Fail).cloned();
    let schema = match (failed, observed) {
        (Some(Check { address, .. }), _) => {
            let reason = format!("failed check {address}");
            let held = |change: Planned<Work>| Held { address: change.address, reason: reason.clone() };
            diff.blocked.extend(diff.changes.drain(..).map(held));
            vector::Schema::Unknown(reason)
        }
        (None, target::Observed::Readable(seen)) => {
            vector::Schema::Known(target::filtered(desired, &seen.snapshot))
        }
        (None, target::Observed::Failed { .. }) => {
            vector::Schema::Unknown(format!("target {name} cannot be read"))
        }
    };
    (diff, schema)
}

fn vector_diff(desired: &vector::Desired, world: &World) -> Diff<Work> {
    match &world.vector {
        Some(observed) => vector::diff(desired, observed).map(Work::Vector),
        None => not_observed(Kind::Vector),
    }
}

fn cache_diff(desired: &cache::Desired, world: &World, claims: &journal::Inventory) -> Diff<Work> {
    match &world.cache {
        Some(observed) => cache::diff(desired, observed, claims).map(Work::Cache),
        None => not_observed(Kind::Cache),
    }
}

fn not_observed(component: Kind) -> Diff<Work> {
    let mut diff = Diff::default();
    diff.deferred.push(Held { address: component.alone(), reason: "not observed".to_owned() });
    diff
}

/// Sorts and counts the changes, applies the policies and seals the document.
fn assemble(stack: &Stack, world: &World, diff: Diff<Work>, options: &Options) -> Result<Plan, PlanError> {
    let Diff {
        changes,
        unchanged,
        mut checks,
        mut drift,
        mut deferred,
        mut blocked,
        unmanaged,
        notes,
        faults: _,
    } = diff;
    let graph = Graph::new(&changes);
    let order = graph.order(options.take_back).map_err(PlanError::Cycle)?;
    let mut denied = policy::denied(stack, &changes);
    denied.extend(protect::denied(stack, &world.journal, &changes, options));
    let guarded = policy::guarded(&changes);

    let mut summary = Summary { unchanged, ..Summary::default() };
    let mut by_address: BTreeMap<Address, Planned<Work>> =
        changes.into_iter().map(|change| (change.address.clone(), change)).collect();
    let (mut entries, mut steps) = (Vec::with_capacity(order.len()), Vec::with_capacity(order.len()));
    for address in order {
        let Some(change) = by_address.remove(&address) else { continue };
        summary.count(change.action);
        let depends_on = graph.depends_on(&address);
        let (entry, step) = split(change, depends_on);
        entries.push(entry);
        steps.push(step);
    }

    blocked.extend(denied.iter().cloned());
    checks.sort_by(|a, b| a.address.cmp(&b.address));
    drift.sort_by(|a, b| a.address.cmp(&b.address));
    deferred.sort_by(|a, b| a.address.cmp(&b.address));
    blocked.sort_by(|a, b| a.address.cmp(&b.address));
    let unmanaged: BTreeSet<Address> = unmanaged.into_iter().collect();
    let Applied { stack: stack_before, environment: environment_before } =
        Applied::before(stack, &world.journal);
    let mut document = Document {
        format_version: FORMAT_VERSION,
        trueup_version: env!("CARGO_PKG_VERSION").to_owned(),
        stack: stack.name.clone(),
        stack_before,
        environment: stack.environment.clone(),
        environment_before,
        complete: deferred.is_empty(),
        spec_digest: stack.digest.clone(),
        world_digest: world.digest(),
        plan_digest: Digest::of(""),
        summary,
        notes,
        changes: entries,
        checks,
        drift,
        blocked,
        deferred,
        unmanaged: unmanaged.into_iter().collect(),
    };
    document.seal();
    Ok(Plan { document, steps, denied, guarded, moves: Vec::new() })
}

/// Splits a change into the part that is shown and the part that is executed.
fn split(change: Planned<Work>, depends_on: Vec<Address>) -> (ChangeEntry, Step) {
    let Planned {
        address,
        action,
        risks,
        reason,
        needs: _,
        summary,
        before,
        after,
        diff,
        seen,
        guard: _,
        at: _,
        change: work,
    } = change;
    let step = Step { address: address.clone(), action, needs: depends_on.clone(), work };
    let entry = ChangeEntry {
        address,
        action,
        risk: risks.worst(),
        risks: if risks == risks.worst().into() { Vec::new() } else { risks.into() },
        reason,
        depends_on,
        summary,
        before,
        after,
        diff,
        seen,
    };
    (entry, step)
}
