//! One run against one stack: looks, walks, and looks again until nothing of its own is left to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Clients, Execution, ObserveError, Walked, observe, walk};
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
}

impl KnownSchema {
    /// Of a world, which has no use for it any more.
    pub fn of(stack: &Stack, world: World) -> Self {
        let World { system, mut journal, .. } = world;
        let recorded = journal.snapshots.remove(journal::SYSTEM_SCHEMA);
        Self { recorded: recorded.unwrap_or_else(|| declared(stack, &system)), there: system.schema }
    }

    /// The same after steps that left this: drift is measured from what they did, and for all else
    /// from where it was measured before.
    fn after(self, there: Snapshot) -> Self {
        let Self { recorded, there: before } = self;
        Self { recorded: recorded.after_steps(&before, &there), there }
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
        let mut walked = Walked::default();
        let last = match self.rounds(plan, schema, approved, may_grow, execution, &mut walked).await {
            Ok(Some(last)) => last,
            Ok(None) => return Verified { walked, ..Verified::default() },
            Err(blind) => return Verified { walked, blind: Some(blind), ..Verified::default() },
        };
        let Document { changes, checks, blocked, deferred, .. } = &last.document;
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
            schema = schema.after(seen.world.system.schema);
            if walked.done.iter().any(|(step, _)| step.is_migration()) {
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

    /// Records the schema that a run left which was killed before it could: without it, what its
    /// migrations did would be taken for somebody's hand. While some are pending, their end records it.
    pub async fn record_unrecorded_schema(&self, seen: &Seen, run: &RunId) -> Result<(), ObserveError> {
        let Seen { world, plan } = seen;
        let is_recorded = world.journal.snapshots.contains_key(journal::SYSTEM_SCHEMA);
        let is_migrated = world.system.migrations.as_ref().is_some_and(|history| !history.is_empty());
        let is_pending = plan.steps.iter().any(Step::is_migration);
        if world.journal.bookkeeping == Bookkeeping::Present && is_migrated && !is_recorded && !is_pending {
            let database = self.clients.system.database().await?;
            let schema = declared(self.stack, &world.system);
            journal::record_snapshot(&database, run, journal::SYSTEM_SCHEMA, &schema).await?;
        }
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

/// The part of a schema that is the stack's by its texts, where nothing was recorded yet.
fn declared(stack: &Stack, observed: &system::Observed) -> Snapshot {
    system::managed(&system::Desired::new(stack, observed.dialect), &observed.schema)
}

fn deferred_of(plan: &Plan) -> BTreeSet<Address> {
    plan.document.deferred.iter().map(|held| held.address.clone()).collect()
}
