//! The rounds of a run: each walks steps and looks again, until no step is left.

use std::collections::BTreeSet;

use super::decide::Approved;
use super::record::Recorder;
use super::run::Run;
use super::schema::KnownSchema;
use super::verified::{deferred_of, refusals_of};
use super::{Error, Event, Frontend, Verified};
use crate::address::{Address, Kind};
use crate::change::Held;
use crate::journal::{self, Outcome};
use crate::plan::{Allow, Options, Plan, Step, Work};
use crate::stores::ObserveError;

/// Steps that become plannable during a run start another round; more than three would mean that
/// the plan does not converge.
const MOST_ROUNDS: usize = 3;

impl Run<'_> {
    /// Executes the approved steps and observes again: their changes must no longer be planned.
    /// Changes that could not be planned before (deferred, or the store did not answer) and can be
    /// planned now start another round, unless the run is restricted to a saved plan.
    pub(super) async fn converge(
        &self,
        approved: Approved,
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Verified {
        let Approved { plan, to_run, schema, is_spec_recorded: _ } = approved;
        let first = plan.document.clone();
        match self.rounds(plan, schema, &to_run.addresses, recorder, frontend).await {
            Ok(Some(last)) => {
                let verified = Verified::judge(recorder, &first, &last, &to_run, self.request);
                for Held { address, reason } in &verified.undone {
                    let (address, outcome) = (address.clone(), Outcome::Blocked(reason.clone()));
                    frontend.event(&Event::Ended { address, elapsed: None, outcome });
                }
                verified
            }
            Ok(None) => {
                recorder.is_interrupted = true;
                Verified::default()
            }
            Err(error) => Verified { unverified: Some(error), ..Verified::default() },
        }
    }

    /// Executes the rounds. Returns the last plan; `None` if the run was interrupted.
    async fn rounds(
        &self,
        mut plan: Plan,
        mut schema: KnownSchema,
        approved: &BTreeSet<Address>,
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Result<Option<Plan>, Error> {
        let is_approved = |step: &&Step| approved.contains(&step.address);
        let mut steps: Vec<Step> = plan.steps.iter().filter(is_approved).cloned().collect();
        let mut attempted: BTreeSet<Address> = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            if steps.is_empty() {
                break;
            }
            attempted.extend(steps.iter().map(|step| step.address.clone()));
            self.round(steps, recorder, frontend).await?;
            if recorder.is_interrupted {
                return Ok(None);
            }
            let looking = self.observe_after(&recorder.done, schema, frontend);
            let Some(looked) = self.cancel.unless_urgent(looking).await else { return Ok(None) };
            // A step may be planned in part, and the rest become known later.
            let partial = deferred_of(&plan.document);
            (plan, schema) = looked?;
            steps = if self.request.may_grow() {
                let is_open = |address: &Address| {
                    !attempted.contains(address)
                        || partial.contains(address) && !recorder.not_done.contains(address)
                };
                steps_of_a_later_round(&plan, &self.request.allowed, is_open)
            } else {
                Vec::new()
            };
        }
        Ok(Some(plan))
    }

    /// Observes after some steps, and records the schema that they produced.
    async fn observe_after(
        &self,
        done: &[Step],
        schema: KnownSchema,
        frontend: &mut dyn Frontend,
    ) -> Result<(Plan, KnownSchema), Error> {
        let completed = done.iter().map(|step| step.address.clone()).collect();
        let options = Options { completed, ..self.options.clone() };
        let observation = self.observe_and_plan(&options, frontend).await?;
        let schema = schema.after(&self.desired.system, done, &observation.world.system);
        self.clients.system.fence().check().await?;
        self.record_schema(&observation, &schema, done).await?;
        Ok((observation.plan, schema))
    }

    /// Executes one round. The journal is started as soon as its tables exist.
    async fn round(
        &self,
        steps: Vec<Step>,
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Result<(), ObserveError> {
        let (first, rest): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| step.address.kind() == Kind::Bookkeeping);
        if !first.is_empty() {
            self.walk(first, recorder, frontend).await;
            if recorder.totals.failed > 0 {
                recorder.block(rest, "needs system.bookkeeping", frontend);
                return Ok(());
            }
        }
        if !recorder.has_begun() {
            let database = self.clients.system.database().await?;
            if journal::exists(&database).await? {
                recorder.begin(database).await?;
            }
        }
        if rest.iter().any(Step::is_migration) && recorder.has_begun() {
            let database = self.clients.system.database().await?;
            journal::expect_schema_change(&database, &self.id).await?;
        }
        self.walk(rest, recorder, frontend).await;
        Ok(())
    }
}

/// Returns the steps of a plan that were not shown before: those that are open and not refused,
/// with their dependencies.
fn steps_of_a_later_round(plan: &Plan, allowed: &[Allow], is_open: impl Fn(&Address) -> bool) -> Vec<Step> {
    let refusals = refusals_of(plan, allowed);
    let mut not_run: BTreeSet<&Address> = BTreeSet::new();
    let mut steps = Vec::new();
    for step in &plan.steps {
        // The flags are recorded only after everything else was done.
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
