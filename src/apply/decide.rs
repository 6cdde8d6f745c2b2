//! What of a plan may run: what a saved plan still has, what is denied, and what a person says.

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;

use super::run::{Run, Seen};
use super::schema::KnownSchema;
use super::{End, Error, Event, Note, Totals};
use crate::address::{Address, Kind};
use crate::connection::Presence;
use crate::journal::{self, Bookkeeping, RunStatus, lock};
use crate::plan::{self, Allow, ChangeEntry, Document, Options, Plan, ToRun};

/// Who is shown a plan, asked, and told what happens.
pub trait Frontend: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// A look gave a plan. What of it is guarded does not run unless it is allowed by name; what is denied, no
    /// option allows.
    fn show(&mut self, plan: &Plan, to_run: &ToRun, shown: Shown, guarded: &[(Address, Allow)]);
    /// Asks whether the plan that was shown may run.
    fn ask(&mut self) -> LocalBoxFuture<'_, Answer>;
}

/// What a person says to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Approved,
    Declined,
    /// There is nobody to ask.
    NoTerminal,
}

/// Whether a plan is known to who approved the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It is the first plan of the run.
    First,
    /// Something in it was not in the plan that was approved.
    Changed,
    /// All of it was approved.
    Again,
}

/// What a look leads to.
pub(super) enum Decision {
    /// The plan is to be applied.
    Apply(Box<Approved>),
    /// The run ends here.
    End(End),
}

/// What was shown, and what of it may run.
pub(super) struct Approved {
    pub plan: Plan,
    pub to_run: ToRun,
    /// Whether the bookkeeping has this spec as the one last applied.
    pub knows_spec: bool,
    pub schema: KnownSchema,
}

impl Run<'_> {
    /// Looks, shows, refuses, asks, until it is interrupted.
    pub(super) async fn decide(&mut self, frontend: &mut dyn Frontend) -> Result<Decision, Error> {
        let cancel = self.cancel;
        let deciding = cancel.unless_asked(self.look_and_ask(frontend)).await;
        deciding.unwrap_or(Ok(Decision::End(End::Interrupted)))
    }

    /// What was approved before and comes again is not asked for again: another run may have done some of it
    /// while this one waited for the lock. Where the lock was lost while it asked, it looks once more, since
    /// nothing of the plan was done yet: a person may think for longer than a server or a firewall keeps a
    /// connection.
    async fn look_and_ask(&mut self, frontend: &mut dyn Frontend) -> Result<Decision, Error> {
        loop {
            if self.presence == Presence::Present && self.lock.is_none() {
                self.take_lock().await?;
            }
            let mut seen = self.look(&self.options, frontend).await?;
            let to_run = self.to_run(&mut seen).await?;
            let shown = match &self.approved_before {
                None => Shown::First,
                Some(before) if comes_again(&seen.plan.document, before) => Shown::Again,
                Some(_) => Shown::Changed,
            };
            let mut guarded = seen.plan.refusals(&self.request.allowed);
            guarded.retain(|(address, allow)| {
                *allow == Allow::Environment || to_run.addresses.contains(address)
            });
            frontend.show(&seen.plan, &to_run, shown, &guarded);
            if !seen.plan.denied.is_empty() || !guarded.is_empty() {
                let has_made_database = self.has_made_database;
                return Ok(Decision::End(End::Refused { has_made_database }));
            }
            let has_steps = !to_run.addresses.is_empty();
            let is_approved = self.request.auto_approve || self.request.saved.is_some();
            let asks = has_steps && !is_approved && shown != Shown::Again;
            if asks {
                self.ask(frontend).await?;
            }
            if let Some(lock) = &self.lock {
                // A person may have thought for an hour.
                match lock.check().await {
                    Err(lock::Error::Lost { reason }) if asks => {
                        frontend.event(&Event::Note(Note::LockLost { reason }));
                        self.lock = None;
                        self.approved_before = Some(seen.plan.document);
                        continue;
                    }
                    checked => checked.map_err(Error::LockLost)?,
                }
                self.record_unrecorded_schema(&seen).await?;
            }
            if !has_steps && seen.plan.moves.is_empty() {
                return self.end_idle(&seen, &to_run).await;
            }
            if shown == Shown::First && seen.world.journal.bookkeeping != Bookkeeping::Missing {
                self.note_crashed_run(frontend).await?;
            }
            let knows_spec = self.knows_spec(&seen);
            let Seen { world, plan } = seen;
            let schema = KnownSchema::of(self.stack, world);
            return Ok(Decision::Apply(Box::new(Approved { plan, to_run, knows_spec, schema })));
        }
    }

    /// What of a plan is to run: all of it, or what a saved plan still has. Where an earlier run began that
    /// one, the plan is made anew as that run would go on.
    async fn to_run(&self, seen: &mut Seen) -> Result<ToRun, Error> {
        let Some(saved) = &self.request.saved else { return Ok(ToRun::all_of(&seen.plan.document)) };
        let earlier = match seen.world.journal.bookkeeping {
            Bookkeeping::Missing => None,
            Bookkeeping::Outdated | Bookkeeping::Present => {
                let database = self.clients.system.database().await?;
                journal::runs_of_plan(&database, &saved.plan_digest).await?.pop()
            }
        };
        if earlier.is_some() {
            let done = plan::done_of(saved, &seen.plan.document);
            let going_on = Options { done, ..self.options.clone() };
            seen.plan = plan::plan(self.stack, &seen.world, &going_on).map_err(Error::Plan)?;
        }
        let run = earlier.as_ref().map(|run| run.id.as_str());
        match plan::reconcile(saved, &seen.plan.document, run) {
            Ok(mut to_run) => {
                if self.has_made_database {
                    // This run did it, no earlier one.
                    to_run.skipped.remove(&Kind::Database.alone());
                }
                Ok(to_run)
            }
            Err(error) => {
                if earlier.is_some() && seen.plan.is_empty() {
                    self.record_used_up_plan(saved, seen).await?;
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

    /// Records what a run of a saved plan left unsaid that was killed after its last step: the plan is used
    /// up, and no later run of it comes to its end.
    async fn record_used_up_plan(&self, saved: &Document, seen: &Seen) -> Result<(), Error> {
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.check().await.map_err(Error::LockLost)?;
        self.record_unrecorded_schema(seen).await?;
        if !self.knows_spec(seen) && saved.spec_digest == self.stack.digest {
            self.record_spec().await?;
        }
        Ok(())
    }

    /// The end of a run that finds nothing to do.
    async fn end_idle(&self, seen: &Seen, to_run: &ToRun) -> Result<Decision, Error> {
        if seen.plan.is_empty() && !self.knows_spec(seen) {
            // Another spec that wants the same: the one thing that has to be taken down.
            self.record_spec().await?;
        }
        let Document { summary, blocked, deferred, .. } = &seen.plan.document;
        let (unchanged, blocked, deferred) = (summary.unchanged, blocked.len(), deferred.len());
        Ok(Decision::End(End::Idle {
            totals: Totals { unchanged, blocked, deferred, ..Totals::default() },
            is_incomplete: seen.plan.has_failed_check() || blocked > 0 || !to_run.held.is_empty(),
            bookkeeping: Some(seen.world.journal.bookkeeping),
        }))
    }

    fn knows_spec(&self, seen: &Seen) -> bool {
        seen.world.journal.spec_digest.as_ref() == Some(&self.stack.digest)
    }

    /// Names the run that left off in the middle, where the last one did.
    async fn note_crashed_run(&self, frontend: &mut dyn Frontend) -> Result<(), Error> {
        let mut last = journal::history(&self.clients.system.database().await?, 1).await?;
        if let Some(run) = last.pop().map(|run| run.judged(None))
            && run.status == RunStatus::Died
        {
            frontend.event(&Event::Note(Note::Died(Box::new(run))));
        }
        Ok(())
    }
}

/// Whether every change of a plan was in an earlier one, with the same meaning and risk.
fn comes_again(plan: &Document, before: &Document) -> bool {
    let earlier: BTreeMap<&Address, &ChangeEntry> =
        before.changes.iter().map(|change| (&change.address, change)).collect();
    plan.changes.iter().all(|change| {
        earlier.get(&change.address).is_some_and(|earlier| {
            (earlier.action, &earlier.after) == (change.action, &change.after)
                && change.risks().are_within(earlier.risks())
        })
    })
}
