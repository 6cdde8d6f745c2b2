//! Executes a run of `apply` or `destroy`: lock, decide, execute the steps, verify, record.

use super::decide::{Approved, Decision};
use super::record::{self, Recorder};
use super::run::Run;
use super::{Cancel, Command, End, Error, Event, Finished, Frontend, Note, Request, Totals, Verified};
use crate::address::Kind;
use crate::connection::Presence;
use crate::journal::{self, Move, RunStatus};
use crate::plan::Step;
use crate::stack::Stack;

/// Runs `apply` or `destroy`, from taking the lock to the final observation.
pub async fn run(
    stack: &Stack,
    request: &Request,
    cancel: &Cancel,
    frontend: &mut dyn Frontend,
) -> Result<End, Error> {
    let mut run = Run::new(stack, request, cancel)?;
    match cancel.unless_cancelled(run.open(frontend)).await {
        Some(opened) => opened?,
        None => return Ok(End::Interrupted),
    }
    if run.presence == Presence::Missing && request.command == Command::Destroy {
        return Ok(End::Idle { totals: Totals::default(), is_incomplete: false, bookkeeping: None });
    }
    let end = Box::pin(run.execute(frontend)).await;
    if let Some(lock) = run.lock.take() {
        lock.release().await;
    }
    end
}

impl Run<'_> {
    async fn execute(&mut self, frontend: &mut dyn Frontend) -> Result<End, Error> {
        let mut approved = match self.decide(frontend).await? {
            Decision::Apply(approved) => approved,
            Decision::End(end) => return Ok(end),
        };
        let mut recorder = self.begin(&approved, frontend);
        let renaming = self.rename(&approved.plan.moves, &mut recorder, frontend);
        match self.cancel.unless_urgent(renaming).await {
            Some(renamed) => renamed?,
            None => return Ok(End::StoppedAtOnce),
        }
        if self.presence == Presence::Missing {
            match self.make_database(approved, &mut recorder, frontend).await {
                Decision::Apply(again) => approved = again,
                Decision::End(end) => return Ok(end),
            }
        }
        if let Some(lock) = &self.lock {
            let (lost, cancel) = (lock.lost(), self.cancel.clone());
            tokio::spawn(async move { cancel.stop(format!("the lock was lost: {}", lost.await)) });
        }
        let is_spec_recorded = approved.is_spec_recorded;
        let verified = self.converge(*approved, &mut recorder, frontend).await;
        let mut failure = None;
        if verified.converged && !is_spec_recorded {
            match self.cancel.unless_urgent(self.record_spec()).await {
                Some(recorded) => failure = recorded.err(),
                None => recorder.is_interrupted = true,
            }
        }
        Ok(self.finish(&mut recorder, verified, failure).await)
    }

    /// A recorder for the approved plan, with the changes that an earlier run of a saved plan did.
    fn begin(&self, approved: &Approved, frontend: &mut dyn Frontend) -> Recorder {
        let Approved { plan, to_run, .. } = approved;
        let document = self.request.saved.as_ref().unwrap_or(&plan.document);
        let digests = (&document.spec_digest, &document.plan_digest);
        let run = record::beginning(self.request.command.name(), &self.id, self.desired.stack, digests);
        let mut recorder = Recorder::new(run, plan.document.summary.unchanged);
        frontend.event(&Event::Begun { steps: to_run.addresses.len() });
        for change in document.changes.iter().filter(|change| to_run.skipped.contains(&change.address)) {
            recorder.skip(change, frontend);
        }
        recorder
    }

    /// Records new names of the spec in the bookkeeping, before a step looks there for what it owns.
    async fn rename(
        &self,
        moves: &[Move],
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Result<(), Error> {
        if moves.is_empty() {
            return Ok(());
        }
        let database = self.clients.system.database().await?;
        journal::rename(&database, &self.desired.stack.name, moves).await?;
        recorder.renamed(moves);
        recorder.begin(database).await.map_err(Error::Unrecorded)?;
        for renamed in moves {
            frontend.event(&Event::Note(Note::Renamed(renamed.clone())));
        }
        Ok(())
    }

    /// Creates the database, without which there is no lock; then takes the lock and looks again.
    async fn make_database(
        &mut self,
        approved: Box<Approved>,
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Decision {
        let Approved { plan, to_run, .. } = *approved;
        let (first, mut rest): (Vec<Step>, Vec<Step>) =
            plan.steps.into_iter().partition(|step| step.address.kind() == Kind::Database);
        rest.retain(|step| to_run.addresses.contains(&step.address));
        self.walk(first, recorder, frontend).await;
        let (why, failure) = if recorder.totals.failed > 0 {
            (format!("needs {}", Kind::Database.alone()), None)
        } else {
            self.presence = Presence::Present;
            self.has_made_database = true;
            self.approved_before = Some(plan.document);
            match self.decide(frontend).await {
                Ok(Decision::End(End::Interrupted)) => {
                    recorder.is_interrupted = true;
                    ("interrupted".to_owned(), None)
                }
                Ok(decision) => return decision,
                Err(error) => ("the run ended before it".to_owned(), Some(error)),
            }
        };
        recorder.block(rest, &why, frontend);
        Decision::End(self.finish(recorder, Verified::default(), failure).await)
    }

    /// Determines how the run ended and records it.
    async fn finish(&self, recorder: &mut Recorder, verified: Verified, failure: Option<Error>) -> End {
        let mut totals = recorder.totals;
        totals.blocked += verified.blocked + verified.undone.len();
        totals.deferred = verified.deferred;
        let stopped = self.cancel.reason().map(str::to_owned);
        let status = if stopped.is_some() {
            RunStatus::Failed
        } else if recorder.is_interrupted {
            RunStatus::Interrupted
        } else if failure.is_none() && recorder.is_complete() && verified.is_complete() {
            RunStatus::Succeeded
        } else {
            RunStatus::Failed
        };
        let unrecorded = recorder.finish(status, &totals.to_string(), self.cancel).await.err();
        let has_changed = recorder.has_renamed || totals.has_changed();
        let run = self.id.clone();
        End::Finished(Box::new(Finished {
            run,
            status,
            totals,
            verified,
            has_changed,
            stopped,
            failure,
            unrecorded,
        }))
    }
}
