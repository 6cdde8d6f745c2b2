//! One run against one stack: looks, walks, and looks again until nothing of its own is left to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Clients, Execution, ObserveError, Walked, observe, schema, walk};
use crate::catalog::Snapshot;
use crate::change::{Address, Check, Status};
use crate::journal::{self, Bookkeeping, RunId};
use crate::plan::{self, Document, Failure, Options, Plan, Step};
use crate::spec::Stack;
use crate::system;
use crate::world::World;

/// Steps that become plannable while others are done give another round; more than three would
/// mean that the plan chases its own tail.
const MOST_ROUNDS: usize = 3;

/// What a run works on.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Its stores.
    pub clients: &'a Arc<Clients>,
    /// What of it.
    pub options: &'a Options,
}

/// A world, and the plan that follows from it.
#[derive(Debug)]
pub struct Seen {
    /// What was observed.
    pub world: World,
    /// What follows.
    pub plan: Plan,
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
        let files = schema::files(steps.done.iter().map(|(step, _)| step));
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
    /// How much is planned and may not run.
    pub blocked: usize,
    /// How much could not be planned.
    pub deferred: usize,
    /// What the last look has to say and the plan did not: rows that were to go and stay.
    pub notes: Vec<String>,
    /// Whether the last look found nothing at all to do: what is there is what the spec says.
    pub converged: bool,
    /// Why there was no last look, where there was none.
    pub blind: Option<Blind>,
}

/// Why what was done could not be looked at again.
#[derive(Debug)]
pub enum Blind {
    /// The stores could not be observed, or the run not be written down.
    Observe(ObserveError),
    /// What is there now does not fit the spec: there is no plan of it.
    Plan(Failure),
}

impl<E: Into<ObserveError>> From<E> for Blind {
    fn from(error: E) -> Self {
        Self::Observe(error.into())
    }
}

impl Verified {
    /// The end of a run that did not come to its last look.
    pub fn failed(walked: &Walked) -> Self {
        Self { walked: walked.clone(), ..Self::default() }
    }

    /// Whether everything was done and the world converged.
    pub fn is_whole(&self) -> bool {
        let Walked { done: _, failed, blocked, interrupted } = &self.walked;
        failed.is_empty()
            && blocked.is_empty()
            && !interrupted
            && self.left.is_empty()
            && self.failed_checks.is_empty()
            && self.blocked == 0
            && self.blind.is_none()
    }
}

impl Session<'_> {
    /// Observes and plans.
    pub async fn look(&self) -> Result<Result<Seen, Failure>, ObserveError> {
        let world = observe(self.stack, self.clients).await?;
        Ok(plan::plan(self.stack, &world, self.options).map(|plan| Seen { world, plan }))
    }

    /// Walks a single step of a plan.
    pub async fn walk_only(&self, plan: &Plan, address: &Address, execution: &mut Execution<'_>) -> Walked {
        let steps = plan.steps.iter().filter(|step| step.address == *address).cloned().collect();
        walk(steps, self.clients, execution).await
    }

    /// Walks the approved steps and looks again: what was done must be gone from the plan. What was
    /// deferred and is plannable now gives another round, unless only saved steps may run.
    pub async fn converge(
        &self,
        plan: Plan,
        schema: KnownSchema,
        approved: &BTreeSet<Address>,
        may_grow: bool,
        execution: &mut Execution<'_>,
    ) -> Verified {
        let needs_new_plan = if may_grow { BTreeSet::new() } else { deferred_of(&plan) };
        let said: BTreeSet<String> = plan.document.notes.iter().cloned().collect();
        let mut walked = Walked::default();
        let last = match self.rounds(plan, schema, approved, may_grow, execution, &mut walked).await {
            Ok(Some(last)) => last,
            Ok(None) => return Verified { walked, ..Verified::default() },
            Err(blind) => return Verified { walked, blind: Some(blind), ..Verified::default() },
        };
        let Document { changes, checks, blocked, deferred, notes, .. } = &last.document;
        let done: BTreeSet<&Address> = walked.done.iter().map(|(step, _)| &step.address).collect();
        let left = changes
            .iter()
            .map(|change| &change.address)
            .filter(|address| done.contains(address) && !needs_new_plan.contains(*address));
        let mut verified = Verified {
            left: left.cloned().collect(),
            failed_checks: checks.iter().filter(|check| check.status == Status::Fail).cloned().collect(),
            blocked: blocked.len(),
            deferred: deferred.len(),
            notes: notes.iter().filter(|note| !said.contains(*note)).cloned().collect(),
            walked,
            ..Verified::default()
        };
        verified.converged = verified.is_whole() && last.is_empty();
        verified
    }

    /// The rounds of a run. Gives the last plan; `None` when the run was interrupted.
    async fn rounds(
        &self,
        mut plan: Plan,
        mut schema: KnownSchema,
        approved: &BTreeSet<Address>,
        may_grow: bool,
        execution: &mut Execution<'_>,
        walked: &mut Walked,
    ) -> Result<Option<Plan>, Blind> {
        let mut attempted: BTreeSet<Address> = BTreeSet::new();
        // What the plan defers, and what the one before it did.
        let mut deferred = deferred_of(&plan);
        let mut before: BTreeSet<Address> = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            let may_run = |address: &Address| {
                // A step may be planned in part, and the rest of it known later.
                let is_rest = before.contains(address) && !walked.has_failed(address);
                let is_new = !attempted.contains(address);
                (is_new && approved.contains(address))
                    || (may_grow && !attempted.is_empty() && (is_new || is_rest))
            };
            let steps: Vec<Step> = plan.steps.iter().filter(|step| may_run(&step.address)).cloned().collect();
            if steps.is_empty() {
                break;
            }
            attempted.extend(steps.iter().map(|step| step.address.clone()));
            self.round(steps, execution, walked).await?;
            if walked.interrupted {
                return Ok(None);
            }
            let seen = tokio::select! {
                seen = self.look() => seen?.map_err(Blind::Plan)?,
                () = execution.cancel.asked(2) => {
                    walked.interrupted = true;
                    return Ok(None);
                }
            };
            schema = schema.after(self.stack, walked, &seen.world.system);
            if schema.is_adopted && !seen.plan.steps.iter().any(Step::is_migration) {
                self.record_unrecorded_schema(&seen, execution.recorder.run()).await?;
            } else if walked.done.iter().any(|(step, _)| step.is_migration()) {
                let (database, run) = (self.clients.system.database().await?, execution.recorder.run());
                journal::record_snapshot(&database, run, journal::SYSTEM_SCHEMA, &schema.recorded).await?;
            }
            plan = seen.plan;
            if deferred.is_empty() {
                break;
            }
            before = std::mem::replace(&mut deferred, deferred_of(&plan));
        }
        Ok(Some(plan))
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
        system::remember_elsewhere(&desired, &journal.inventory, &self.clients.system, run).await?;
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
            steps.into_iter().partition(|step| step.address.as_str() == "system.bookkeeping");
        if !first.is_empty() {
            walked.extend(walk(first, self.clients, execution).await);
            if !walked.failed.is_empty() {
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

fn deferred_of(plan: &Plan) -> BTreeSet<Address> {
    plan.document.deferred.iter().map(|held| held.address.clone()).collect()
}
