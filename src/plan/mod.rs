//! The plan room: a stack and a world give a plan. A pure function: no I/O, no clock, equal inputs
//! give equal bytes. What crosses between components (a target's schema on its way to the vector
//! store) crosses here.

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
pub use drift::{Baseline, Drifted, SchemaBaseline, drifted};
pub use graph::Cycle;
pub use owner::Anothers;
pub use policy::Allow;
pub use saved::{Error as SavedError, ToRun, done_of, read, reconcile, write};

use crate::address::{Address, Kind};
use crate::change::{Action, Check, Diff, Fault, Held, Planned, Status};
use crate::digest::Digest;
use crate::journal::{self, Move};
use crate::stack::{self, Flags, Stack};
use crate::world::World;
use crate::{cache, migrations, system, target, vector};
use graph::Graph;
use owner::Applied;

/// What of the spec a plan is to cover.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--only`: a component or an address, with what it needs.
    pub only: Option<String>,
    /// `--train`: train the vector store though `auto_train_vector` is off.
    pub train: bool,
    /// `destroy`: the stack is an emptied one, and what is there is taken back.
    pub take_back: bool,
    /// What an earlier run of the saved plan did that goes on: what its migrations made is as new as it was.
    pub done: BTreeSet<Address>,
    /// What this run did before it looked again: a password that one of these steps set is the spec's.
    pub completed: BTreeSet<Address>,
}

/// A plan: the document that is shown and saved, and the steps that apply executes.
#[derive(Debug)]
pub struct Plan {
    /// As shown and saved.
    pub document: Document,
    /// In the order of the document.
    pub steps: Vec<Step>,
    /// What a policy or a protection denies.
    pub denied: Vec<Held>,
    /// What must be allowed by name.
    pub guarded: Vec<(Address, Allow)>,
    /// Names that the bookkeeping learns before anything else is done.
    pub moves: Vec<Move>,
}

/// One step, as apply executes it.
#[derive(Debug, Clone)]
pub struct Step {
    pub address: Address,
    pub action: Action,
    /// Steps of this plan that come first.
    pub needs: Vec<Address>,
    pub work: Work,
}

impl Step {
    /// The file that it runs, where that is a numbered one.
    pub fn migration(&self) -> Option<&stack::Migration> {
        match &self.work {
            Work::System(system::Change::Migration(migrations::Change::Run(pending))) => {
                Some(&pending.migration)
            }
            _ => None,
        }
    }

    /// Whether it runs a file of migrations.
    pub fn is_migration(&self) -> bool {
        matches!(self.work, Work::System(system::Change::Migration(_)))
    }
}

/// What a step executes.
#[derive(Debug, Clone)]
pub enum Work {
    /// Make the bookkeeping's tables, and record what is protected.
    Bookkeeping {
        /// The stack that it is made for.
        stack: String,
        protected: BTreeSet<Address>,
    },
    System(system::Change),
    /// A change that a target gives rise to.
    Target(target::Change),
    Vector(vector::Change),
    Cache(cache::Change),
    /// Record the stack, its environment and its flags; comes last, and only when nothing failed.
    Flags {
        stack: String,
        environment: String,
        flags: Flags,
    },
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Failure {
    /// The spec asks for what the world shows to be impossible.
    Faults(Vec<Fault>),
    /// Nothing has the address or component of `--only`.
    NothingSelected(String),
    /// A defect of this tool.
    Cycle(Cycle),
}

impl Plan {
    /// Whether what is there is what the spec says: nothing to do, now or later, and no check failed.
    pub fn is_empty(&self) -> bool {
        let Document { changes, blocked, deferred, .. } = &self.document;
        changes.is_empty() && blocked.is_empty() && deferred.is_empty() && !self.has_failed_check()
    }

    /// Adds what was checked after planning.
    pub fn add_checks(&mut self, checks: Vec<Check>) {
        self.document.checks.extend(checks);
        self.document.checks.sort_by(|a, b| a.address.cmp(&b.address));
        self.document.seal();
    }

    /// Whether a check failed.
    pub fn has_failed_check(&self) -> bool {
        self.document.checks.iter().any(|check| check.status == Status::Fail)
    }

    /// What must still be allowed by name before this plan may run.
    pub fn refusals(&self, allowed: &[Allow]) -> Vec<(Address, Allow)> {
        let mut refused: Vec<_> =
            self.guarded.iter().filter(|(_, allow)| !allowed.contains(allow)).cloned().collect();
        if self.document.is_anothers().is_some() {
            refused.insert(0, (Kind::Flags.alone(), Allow::Environment));
        }
        refused.retain(|(_, allow)| !allowed.contains(allow));
        refused
    }
}

/// Plans: what must be done so that the world is as the stack says.
pub fn plan(stack: &Stack, world: &World, options: &Options) -> Result<Plan, Failure> {
    let moves = journal::pending_moves(&stack.moved, &world.journal);
    if moves.is_empty() {
        return plan_as_named(stack, world, options);
    }
    let mut plan = plan_as_named(stack, &world.renamed(&moves), options)?;
    let note = |Move { from, to }: &Move| format!("{from} is now {to}: nothing is deleted and made again");
    plan.document.notes.splice(0..0, moves.iter().map(note));
    plan.document.world_digest = world.digest();
    plan.document.seal();
    plan.moves = moves;
    Ok(plan)
}

fn plan_as_named(stack: &Stack, world: &World, options: &Options) -> Result<Plan, Failure> {
    let mut diff = differences(stack, world, options);
    if !diff.faults.is_empty() {
        return Err(Failure::Faults(diff.faults));
    }
    match bookkeeping::flags(stack, &world.journal, options) {
        None => diff.unchanged += 1,
        Some(change) if diff.blocked.is_empty() => diff.changes.push(change),
        // An application that reads the flags must not be told of what is not there yet.
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

/// The diffs of the components, one after the other: what one gives, the next may need.
fn differences(stack: &Stack, world: &World, options: &Options) -> Diff<Work> {
    let mut diff = Diff::default();
    diff.merge(bookkeeping::diff(stack, &world.journal, options));

    let recorded = world.journal.snapshots.get(journal::SYSTEM_SCHEMA);
    let system = system::Desired::new(stack, world.system.dialect)
        .knowing(recorded)
        .established(world.journal.spec_digest.is_some())
        .going_on(&options.done)
        .after_steps(&options.completed);
    diff.merge(system::diff(&system, &world.system, &world.journal.inventory).map(Work::System));

    let drift = drift::of_system(stack, world, &system);
    let is_refused = drift.checks.iter().any(|check| check.status == Status::Fail);
    diff.merge(drift);
    if is_refused {
        drift::hold_migrations(&mut diff);
    }

    let mut schemas = BTreeMap::new();
    for (name, spec) in stack.targets.iter().filter(|(_, target)| target.on) {
        let (target, schema) = target_diff(name, spec, world);
        diff.merge(target);
        schemas.insert(name.clone(), schema);
    }
    if let Some(desired) = vector::Desired::new(stack, &schemas, vector::Claimant::new(stack, &world.journal))
    {
        if options.train || stack.flags.auto_train_vector() {
            diff.notes.extend(mentions::notes(stack, world));
            diff.merge(vector_diff(&desired, world));
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

/// A target's own diff, and its schema for those that train from it. A target that fails a check
/// gives neither: what needs it is blocked.
fn target_diff(name: &str, spec: &stack::Target, world: &World) -> (Diff<Work>, vector::Schema) {
    let desired = target::Desired::new(name, spec);
    let Some(observed) = world.targets.get(name) else {
        let why = format!("target {name} was not observed");
        let mut diff = Diff::default();
        diff.deferred
            .push(Held { address: Kind::TargetSchema.named(name), reason: "not observed".to_owned() });
        return (diff, vector::Schema::Unknown(why));
    };
    let recorded = world.journal.snapshots.get(&format!("target.{name}"));
    let mut diff = target::diff(&desired, observed, recorded).map(Work::Target);
    let failed = diff.checks.iter().find(|check| check.status == Status::Fail).cloned();
    let schema = match (failed, observed) {
        (Some(Check { address, .. }), _) => {
            let reason = format!("failed check {address}");
            let held = |change: Planned<Work>| Held { address: change.address, reason: reason.clone() };
            diff.blocked.extend(diff.changes.drain(..).map(held));
            vector::Schema::Unknown(reason)
        }
        (None, target::Observed::Readable(seen)) => {
            vector::Schema::Known(target::filtered(&desired, &seen.snapshot))
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

/// Orders, counts, applies the policies and seals the document.
fn assemble(stack: &Stack, world: &World, diff: Diff<Work>, options: &Options) -> Result<Plan, Failure> {
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
    let order = graph.order(options.take_back).map_err(Failure::Cycle)?;
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

/// The two halves of a change: what is shown, and what is executed.
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
