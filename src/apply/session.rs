//! One run against one stack: looks, walks, and looks again until nothing of its own is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Execution, Walked, schema, walk};
use crate::address::{Address, Kind};
use crate::catalog::Snapshot;
use crate::change::{Check, Held, Status};
use crate::journal::{self, Bookkeeping, Outcome, RunId};
use crate::migrations;
use crate::plan::{self, Allow, Document, Failure, Options, Plan, Step, Work};
use crate::stack::Stack;
use crate::stores::{Clients, ObserveError, observe_within};
use crate::system;
use crate::world::World;

/// Steps that become plannable while others are done give another round; more than three would
/// mean that the plan never ends.
const MOST_ROUNDS: usize = 3;

/// What a run works on.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    pub stack: &'a Stack,
    /// Its stores.
    pub clients: &'a Arc<Clients>,
    pub options: &'a Options,
    /// How long a look may take.
    pub patience: Duration,
}

/// A world, and the plan that follows from it.
#[derive(Debug)]
pub struct Seen {
    /// What was observed.
    pub world: World,
    /// What follows.
    pub plan: Plan,
}

/// Why there is no plan of what is there now.
#[derive(Debug)]
pub enum LookError {
    /// The stores could not be observed, or the run not be recorded.
    Observe(ObserveError),
    /// What is there does not fit the spec.
    Plan(Failure),
}

impl<E: Into<ObserveError>> From<E> for LookError {
    fn from(error: E) -> Self {
        Self::Observe(error.into())
    }
}

/// What of a plan may run.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// The changes that were shown and approved.
    pub addresses: &'a BTreeSet<Address>,
    /// Changes of a saved plan that cannot be planned now, because a store does not answer.
    pub held: &'a [Held],
    /// Whether later rounds may run what this plan could not have; false for a saved plan.
    pub may_grow: bool,
    /// What `--allow` permits.
    pub allowed: &'a [Allow],
}

/// The system's schema before some steps: what drift is measured from, and what is there.
#[derive(Debug)]
pub struct KnownSchema {
    recorded: Snapshot,
    there: Snapshot,
    /// Whether another tool made it, and nothing is recorded.
    is_adopted: bool,
}

impl KnownSchema {
    /// Of a world, which has no use for it any more.
    pub fn of(stack: &Stack, world: World) -> Self {
        let recorded = schema::recorded(stack, &world);
        let World { system, .. } = world;
        let is_migrated = system.migrations.as_ref().is_some_and(|history| !history.is_empty());
        Self {
            is_adopted: recorded.is_none() && is_migrated,
            recorded: recorded.unwrap_or_else(|| schema::declared(stack, &system)),
            there: system.schema,
        }
    }

    /// The same after steps that left this: drift is measured from what they did, and for all else
    /// from where it was measured before. What the migrations name is as they mean it, also where
    /// somebody had done it by hand.
    fn after(self, stack: &Stack, steps: &Walked, observed: &system::Observed) -> Self {
        let Self { recorded, there: before, is_adopted } = self;
        let there = observed.schema.clone();
        let recorded = recorded.after_steps(&before, &there);
        let files = schema::files(steps.done());
        let desired = system::Desired::new(stack, observed.dialect);
        Self { recorded: system::explained(&desired, &recorded, &there, &files), there, is_adopted }
    }
}

/// How a run ended, after the last look.
#[derive(Debug, Default)]
pub struct Verified {
    /// What was walked, all rounds together.
    pub walked: Walked,
    /// Addresses that were done and still differ.
    pub left: Vec<Address>,
    /// Checks that fail: what needs them is blocked.
    pub failed_checks: Vec<Check>,
    /// What is planned and may not run.
    pub blocked: usize,
    /// What could run and was not done in this run, with the reason.
    pub undone: Vec<Held>,
    /// How much could not be planned.
    pub deferred: usize,
    /// What the last look has to say and the plan did not: rows that were to go and stay.
    pub notes: Vec<String>,
    /// Whether the last look found nothing at all to do: what is there is what the spec says.
    pub converged: bool,
    /// Why there was no last look, where there was none.
    pub unverified: Option<LookError>,
}

impl Verified {
    /// The end of a run that did not come to its last look.
    pub fn failed(walked: &Walked) -> Self {
        Self { walked: walked.clone(), ..Self::default() }
    }

    /// Whether everything was done and the world converged.
    pub fn is_whole(&self) -> bool {
        self.walked.not_done().next().is_none()
            && !self.walked.interrupted
            && self.left.is_empty()
            && self.failed_checks.is_empty()
            && self.blocked == 0
            && self.undone.is_empty()
            && self.unverified.is_none()
    }

    /// Judges a run by its last look.
    fn judge(walked: Walked, first: &Document, last: &Plan, approval: Approval<'_>) -> Self {
        let Document { changes, checks, blocked, deferred, notes, .. } = &last.document;
        let done: BTreeSet<&Address> = walked.done().map(|step| &step.address).collect();
        let counted: BTreeSet<&Address> = walked.not_done().map(|step| &step.address).collect();
        // The rest of a saved change that was planned in part needs a new plan.
        let needs_new_plan = if approval.may_grow { BTreeSet::new() } else { deferred_of(first) };
        let left = changes
            .iter()
            .map(|change| &change.address)
            .filter(|address| done.contains(address) && !needs_new_plan.contains(*address));
        let is_expected = |address: &Address| {
            approval.may_grow || approval.held.iter().any(|held| held.address == *address)
        };
        let refusals = refusals_of(last, approval.allowed);
        let undone = changes
            .iter()
            .map(|change| &change.address)
            .filter(|address| !done.contains(address) && !counted.contains(address) && is_expected(address))
            .map(|address| Held { address: address.clone(), reason: why_undone(address, first, &refusals) })
            .collect();
        let blocked = blocked
            .iter()
            .map(|held| &held.address)
            .filter(|address| !counted.contains(address) && !refusals.contains_key(*address))
            .collect::<BTreeSet<_>>();
        let failed_checks = checks.iter().filter(|check| check.status == Status::Fail);
        let mut verified = Self {
            left: left.cloned().collect(),
            failed_checks: failed_checks.cloned().collect(),
            blocked: blocked.len(),
            undone,
            deferred: deferred.len(),
            notes: notes.iter().filter(|note| !first.notes.contains(note)).cloned().collect(),
            ..Self::default()
        };
        verified.walked = walked;
        verified.converged = verified.is_whole() && last.is_empty();
        verified
    }
}

/// What of a plan may not run, with the reason: a policy or protection denies it, or it was not allowed
/// by name.
fn refusals_of(plan: &Plan, allowed: &[Allow]) -> BTreeMap<Address, String> {
    let guarded = plan.refusals(allowed).into_iter().map(|(address, allow)| {
        let reason = format!("runs only with `--allow {}`", allow.as_str());
        (address, reason)
    });
    let denied = plan.denied.iter().map(|held| (held.address.clone(), held.reason.clone()));
    guarded.chain(denied).collect()
}

/// Why a change of the last look was not done.
fn why_undone(address: &Address, first: &Document, refusals: &BTreeMap<Address, String>) -> String {
    if let Some(reason) = refusals.get(address) {
        return reason.clone();
    }
    let was_held = first.blocked.iter().chain(&first.deferred).find(|held| held.address == *address);
    match was_held {
        Some(held) => format!("it was blocked when this run began: {}", held.reason),
        None => "it could be planned only at the end of this run".to_owned(),
    }
}

impl Session<'_> {
    /// Observes and plans. `say` is told whom the look waits for.
    pub async fn look(&self, say: &mut (dyn FnMut(&str) + Send)) -> Result<Seen, LookError> {
        self.look_with(self.options, say).await
    }

    async fn look_with(
        &self,
        options: &Options,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Seen, LookError> {
        let world = observe_within(self.stack, self.clients, self.patience, say).await?;
        let plan = plan::plan(self.stack, &world, options).map_err(LookError::Plan)?;
        Ok(Seen { world, plan })
    }

    /// Walks a single step of a plan.
    pub async fn walk_only(&self, plan: &Plan, address: &Address, execution: &mut Execution<'_>) -> Walked {
        let steps = plan.steps.iter().filter(|step| step.address == *address).cloned().collect();
        walk(steps, self.clients, execution).await
    }

    /// Walks the approved steps and looks again: what was done must be gone from the plan. What could
    /// not be planned before (it was deferred, or its store did not answer) and can be now gives
    /// another round, unless only saved steps may run.
    pub async fn converge(
        &self,
        plan: Plan,
        schema: KnownSchema,
        approval: Approval<'_>,
        execution: &mut Execution<'_>,
    ) -> Verified {
        let first = plan.document.clone();
        let mut walked = Walked::default();
        match self.rounds(plan, schema, approval, execution, &mut walked).await {
            Ok(Some(last)) => {
                let verified = Verified::judge(walked, &first, &last, approval);
                for Held { address, reason } in &verified.undone {
                    let (address, reason) = (address.clone(), reason.clone());
                    let outcome = Outcome::Blocked(reason);
                    (execution.on_event)(&Event::Ended { address, elapsed: None, outcome });
                }
                verified
            }
            Ok(None) => Verified { walked, ..Verified::default() },
            Err(error) => Verified { walked, unverified: Some(error), ..Verified::default() },
        }
    }

    /// The rounds of a run. Gives the last plan; `None` when the run was interrupted.
    async fn rounds(
        &self,
        mut plan: Plan,
        mut schema: KnownSchema,
        approval: Approval<'_>,
        execution: &mut Execution<'_>,
        walked: &mut Walked,
    ) -> Result<Option<Plan>, LookError> {
        let is_approved = |step: &&Step| approval.addresses.contains(&step.address);
        let mut steps: Vec<Step> = plan.steps.iter().filter(is_approved).cloned().collect();
        let mut attempted: BTreeSet<Address> = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            if steps.is_empty() {
                break;
            }
            attempted.extend(steps.iter().map(|step| step.address.clone()));
            self.round(steps, execution, walked).await?;
            if walked.interrupted {
                return Ok(None);
            }
            let completed = walked.done().map(|step| step.address.clone()).collect();
            let options = Options { completed, ..self.options.clone() };
            let on_event = &mut *execution.on_event;
            let mut say = |on: &str| {
                on_event(&Event::Waiting { address: Kind::System.alone(), on: on.to_owned() });
            };
            let Some(seen) = execution.cancel.unless_urgent(self.look_with(&options, &mut say)).await else {
                walked.interrupted = true;
                return Ok(None);
            };
            let seen = seen?;
            schema = schema.after(self.stack, walked, &seen.world.system);
            self.clients.system.fence().check().await?;
            let recording = self.record_schema(&seen, &schema, walked, execution.recorder.run());
            let Some(recorded) = execution.cancel.unless_urgent(recording).await else {
                walked.interrupted = true;
                return Ok(None);
            };
            recorded?;
            // A step may be planned in part, and the rest of it known later.
            let partial = deferred_of(&plan.document);
            plan = seen.plan;
            steps = if approval.may_grow {
                let is_open = |address: &Address| {
                    !attempted.contains(address) || partial.contains(address) && !walked.has_failed(address)
                };
                steps_of_a_later_round(&plan, approval.allowed, is_open)
            } else {
                Vec::new()
            };
        }
        Ok(Some(plan))
    }

    /// Records the schema that the migrations of this run left, or that of a database which another tool
    /// migrated.
    async fn record_schema(
        &self,
        seen: &Seen,
        schema: &KnownSchema,
        walked: &Walked,
        run: &RunId,
    ) -> Result<(), ObserveError> {
        if schema.is_adopted && !seen.plan.steps.iter().any(Step::is_migration) {
            self.record_unrecorded_schema(seen, run).await?;
        } else if walked.done().any(Step::is_migration) {
            let database = self.clients.system.database().await?;
            journal::record_snapshot(&database, run, journal::SYSTEM_SCHEMA, &schema.recorded).await?;
        }
        Ok(())
    }

    /// Records the schema where it is not known: that of a database which another tool migrated, or which
    /// a run left that was killed before it could record it. While migrations are pending, their end
    /// records it. Files that another tool ran since the schema was recorded move it on.
    pub async fn record_unrecorded_schema(&self, seen: &Seen, run: &RunId) -> Result<(), ObserveError> {
        let Seen { world, plan } = seen;
        let World { system, journal, .. } = world;
        let history = system.migrations.as_deref().unwrap_or_default();
        if journal.bookkeeping != Bookkeeping::Present || history.is_empty() {
            return Ok(());
        }
        let is_elsewhere =
            schema::is_migrated_elsewhere(self.stack, system.dialect, history, &journal.inventory);
        let schema = match schema::recorded(self.stack, world) {
            Some(_) if !is_elsewhere => return Ok(()),
            Some(recorded) => recorded,
            None if plan.steps.iter().any(Step::is_migration) => return Ok(()),
            None if is_elsewhere => Box::pin(schema::adopted(self.stack, &system.schema, self.clients)).await,
            None => schema::declared(self.stack, system),
        };
        let database = self.clients.system.database().await?;
        journal::record_snapshot(&database, run, journal::SYSTEM_SCHEMA, &schema).await?;
        let desired = system::Desired::new(self.stack, system.dialect);
        migrations::remember_elsewhere(&desired.migrations, &journal.inventory, &self.clients.system, run)
            .await?;
        Ok(())
    }

    /// One walk, with the journal begun as soon as there is one to write to.
    async fn round(
        &self,
        steps: Vec<Step>,
        execution: &mut Execution<'_>,
        walked: &mut Walked,
    ) -> Result<(), ObserveError> {
        let (first, rest): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| step.address.kind() == Kind::Bookkeeping);
        if !first.is_empty() {
            walked.extend(walk(first, self.clients, execution).await);
            if walked.has_failure() {
                walked.block(rest, "needs system.bookkeeping", execution.on_event);
                return Ok(());
            }
        }
        if !execution.recorder.has_begun() {
            let database = self.clients.system.database().await?;
            if journal::exists(&database).await? {
                execution.recorder.begin(database).await?;
            }
        }
        if rest.iter().any(Step::is_migration) && execution.recorder.has_begun() {
            let database = self.clients.system.database().await?;
            journal::expect_schema_change(&database, execution.recorder.run()).await?;
        }
        walked.extend(walk(rest, self.clients, execution).await);
        Ok(())
    }
}

fn deferred_of(plan: &Document) -> BTreeSet<Address> {
    plan.deferred.iter().map(|held| held.address.clone()).collect()
}

/// The steps of a plan that nobody was shown before: those that are open and that nothing refuses, with
/// all that they need.
fn steps_of_a_later_round(plan: &Plan, allowed: &[Allow], is_open: impl Fn(&Address) -> bool) -> Vec<Step> {
    let refusals = refusals_of(plan, allowed);
    let mut not_run: BTreeSet<&Address> = BTreeSet::new();
    let mut steps = Vec::new();
    for step in &plan.steps {
        // The flags say that all before them was done.
        let is_ready = !matches!(step.work, Work::Flags { .. }) || not_run.is_empty();
        let may_run = is_ready
            && is_open(&step.address)
            && !refusals.contains_key(&step.address)
            && !step.needs.iter().any(|need| not_run.contains(need));
        if may_run {
            steps.push(step.clone());
        } else {
            not_run.insert(&step.address);
        }
    }
    steps
}
