//! Decides what of a plan may run: the rest of a saved plan, without what is denied, after approval.

use std::collections::BTreeMap;

use super::run::{Observation, Run};
use super::schema::KnownSchema;
use super::{Answer, End, Error, Event, Frontend, Note, Revision, TextChanges, Totals, text_changes};
use crate::address::{Address, Kind};
use crate::connection::Presence;
use crate::journal::{self, Bookkeeping, RunStatus, lock};
use crate::plan::{self, Allow, ChangeEntry, Document, Options, Plan, ToRun};

/// The result of a look.
pub(super) enum Decision {
    /// The plan may be applied.
    Apply(Box<Approved>),
    /// The run ends.
    End(End),
}

/// A plan, and what of it may run.
pub(super) struct Approved {
    pub plan: Plan,
    pub to_run: ToRun,
    /// Whether the bookkeeping has this spec as the last applied one.
    pub is_spec_recorded: bool,
    pub schema: KnownSchema,
}

impl Run<'_> {
    /// Observes, plans, shows, refuses and asks. Ends when it is interrupted.
    pub(super) async fn decide(&mut self, frontend: &mut dyn Frontend) -> Result<Decision, Error> {
        let cancel = self.cancel;
        let deciding = cancel.unless_cancelled(self.plan_and_ask(frontend)).await;
        deciding.unwrap_or(Ok(Decision::End(End::Interrupted)))
    }

    /// Does not ask again for what was approved before: another run may have done some of it while this one
    /// waited for the lock. If the lock was lost while the question was open, takes it again and looks again,
    /// since nothing was done yet: a server or a firewall may close a connection before a person answers.
    async fn plan_and_ask(&mut self, frontend: &mut dyn Frontend) -> Result<Decision, Error> {
        loop {
            if self.presence == Presence::Present && self.lock.is_none() {
                self.take_lock().await?;
            }
            let mut observation = self.observe_and_plan(&self.options, frontend).await?;
            let to_run = self.to_run(&mut observation).await?;
            let revision = match &self.approved_before {
                None => Revision::First,
                Some(before) if is_covered_by(&observation.plan.document, before) => Revision::Again,
                Some(_) => Revision::Changed,
            };
            let mut guarded = observation.plan.refusals(&self.request.allowed);
            guarded.retain(|(address, allow)| {
                *allow == Allow::Environment || to_run.addresses.contains(address)
            });
            let mut texts = TextChanges::new();
            if frontend.shows_changes(revision) {
                let mut report = |note| frontend.event(&Event::Note(note));
                texts = text_changes(&observation.plan, &self.clients, &mut report).await;
            }
            frontend.show((&observation.plan, &texts), &to_run, revision, &guarded);
            if !observation.plan.denied.is_empty() || !guarded.is_empty() {
                let has_made_database = self.has_made_database;
                return Ok(Decision::End(End::Refused { has_made_database }));
            }
            let has_steps = !to_run.addresses.is_empty();
            let is_approved = self.request.auto_approve || self.request.saved.is_some();
            let asks = has_steps && !is_approved && revision != Revision::Again;
            if asks {
                self.ask(frontend).await?;
            }
            if let Some(lock) = &self.lock {
                // The question may have been open for an hour.
                match lock.check().await {
                    Err(lock::Error::Lost { reason }) if asks => {
                        frontend.event(&Event::Note(Note::LockLost { reason }));
                        self.lock = None;
                        self.approved_before = Some(observation.plan.document);
                        continue;
                    }
                    checked => checked.map_err(Error::LockLost)?,
                }
                self.record_unrecorded_schema(&observation).await?;
            }
            if !has_steps && observation.plan.moves.is_empty() {
                return self.end_idle(&observation, &to_run).await;
            }
            if revision == Revision::First && observation.world.journal.bookkeeping != Bookkeeping::Missing {
                self.note_crashed_run(frontend).await?;
            }
            let is_spec_recorded = self.is_spec_recorded(&observation);
            let Observation { world, plan } = observation;
            let schema = KnownSchema::from_world(&self.desired.system, world);
            return Ok(Decision::Apply(Box::new(Approved { plan, to_run, is_spec_recorded, schema })));
        }
    }

    /// What of a plan is to run: all of it, or the rest of a saved plan. If an earlier run began the saved plan,
    /// plans again, so that what that run did counts as done.
    async fn to_run(&self, observation: &mut Observation) -> Result<ToRun, Error> {
        let Some(saved) = &self.request.saved else { return Ok(ToRun::all_of(&observation.plan.document)) };
        let earlier = match observation.world.journal.bookkeeping {
            Bookkeeping::Missing => None,
            Bookkeeping::Outdated | Bookkeeping::Present => {
                let database = self.clients.system.database().await?;
                journal::runs_of_plan(&database, &saved.plan_digest).await?.pop()
            }
        };
        if earlier.is_some() {
            let done = plan::done_of(saved, &observation.plan.document);
            let going_on = Options { done, ..self.options.clone() };
            observation.plan =
                plan::plan(&self.desired, &observation.world, &going_on).map_err(Error::Plan)?;
        }
        let run = earlier.as_ref().map(|run| run.id.as_str());
        match plan::reconcile(saved, &observation.plan.document, run) {
            Ok(mut to_run) => {
                if self.has_made_database {
                    // This run created the database, not an earlier one.
                    to_run.skipped.remove(&Kind::Database.alone());
                }
                Ok(to_run)
            }
            Err(error) => {
                if earlier.is_some() && observation.plan.is_empty() {
                    self.record_used_up_plan(saved, observation).await?;
                }
                Err(Error::Saved(error))
            }
        }
    }

    async fn ask(&self, frontend: &mut dyn Frontend) -> Result<(), Error> {
        match frontend.ask().await {
            Answer::Approved => Ok(()),
            Answer::Declined => Err(Error::NotApproved { has_made_database: self.has_made_database }),
            Answer::NoTerminal => Err(Error::NoTerminal),
        }
    }

    /// Records what a run of a saved plan could not record because it was killed after its last step. The plan
    /// is used up, so no later run of it would do so.
    async fn record_used_up_plan(&self, saved: &Document, observation: &Observation) -> Result<(), Error> {
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.check().await.map_err(Error::LockLost)?;
        self.record_unrecorded_schema(observation).await?;
        if !self.is_spec_recorded(observation) && saved.spec_digest == self.desired.stack.digest {
            self.record_spec().await?;
        }
        Ok(())
    }

    /// Ends a run that has nothing to do.
    async fn end_idle(&self, observation: &Observation, to_run: &ToRun) -> Result<Decision, Error> {
        if observation.plan.is_empty() && !self.is_spec_recorded(observation) {
            // Another spec with the same meaning: only its digest has to be recorded.
            self.record_spec().await?;
        }
        let Document { summary, blocked, deferred, .. } = &observation.plan.document;
        let (unchanged, blocked, deferred) = (summary.unchanged, blocked.len(), deferred.len());
        Ok(Decision::End(End::Idle {
            totals: Totals { unchanged, blocked, deferred, ..Totals::default() },
            is_incomplete: observation.plan.has_failed_check() || blocked > 0 || !to_run.held.is_empty(),
            bookkeeping: Some(observation.world.journal.bookkeeping),
        }))
    }

    fn is_spec_recorded(&self, observation: &Observation) -> bool {
        observation.world.journal.spec_digest.as_ref() == Some(&self.desired.stack.digest)
    }

    /// Reports the last run if it was killed before its end.
    async fn note_crashed_run(&self, frontend: &mut dyn Frontend) -> Result<(), Error> {
        let mut last = journal::history(&self.clients.system.database().await?, 1).await?;
        if let Some(run) = last.pop().map(|run| run.with_crash_detected(None))
            && run.status == RunStatus::Died
        {
            frontend.event(&Event::Note(Note::Crashed(Box::new(run))));
        }
        Ok(())
    }
}

/// Whether every change of a plan was in an earlier one, with the same effect and risk.
fn is_covered_by(plan: &Document, before: &Document) -> bool {
    let earlier: BTreeMap<&Address, &ChangeEntry> =
        before.changes.iter().map(|change| (&change.address, change)).collect();
    plan.changes.iter().all(|change| {
        earlier.get(&change.address).is_some_and(|earlier| {
            (earlier.action, &earlier.after) == (change.action, &change.after)
                && change.risks().are_within(earlier.risks())
        })
    })
}
