//! Executes steps in parallel: a step starts when its dependencies are done. Dependents of a failed
//! step are blocked and reported, and a step that would wait for a connection or a row lets others
//! start first. The flags come last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinError, JoinSet};

use super::queue::{Lanes, Queue};
use super::record::Recorder;
use super::run::Run;
use super::step::{StepError, describe, perform};
use super::{Cancel, Event, Frontend, Note};
use crate::change::Effect;
use crate::connection::Waits;
use crate::journal::Outcome;
use crate::plan::Step;
use crate::sql;

impl Run<'_> {
    /// Executes the steps of a plan, emits events and records how each step ended.
    pub(super) async fn walk(&self, steps: Vec<Step>, recorder: &mut Recorder, frontend: &mut dyn Frontend) {
        let (clients, cancel) = (&self.clients, self.cancel);
        let mut migrations = steps.iter().filter(|step| step.is_migration()).count();
        let mut queue = Queue::new(steps);
        let mut waits = clients.system.waits();
        let mut is_announced = false;
        let mut running: JoinSet<Result<Effect, StepError>> = JoinSet::new();
        let mut started: HashMap<Id, (Step, Instant)> = HashMap::new();
        loop {
            while running.len() < self.request.parallelism.max(1) && !cancel.is_requested() {
                let lanes = Lanes::used_by(started.values().map(|(step, _)| step));
                let Some(step) = queue.next(&lanes) else { break };
                frontend.event(&Event::Started { address: step.address.clone() });
                let work = perform(step.work.clone(), Arc::clone(clients), self.id.clone());
                let work = sql::with_listener(clients.system.listener(step.address.clone()), work);
                started.insert(running.spawn(work).id(), (step, Instant::now()));
            }
            let ended = loop {
                tokio::select! {
                    ended = running.join_next_with_id() => break ended,
                    Some(Waits { address, on }) = waits.recv() => frontend.event(&Event::Note(Note::Waiting { address, on })),
                    // While a long step runs, no other event may occur, so the journal is written
                    // on a timer.
                    () = recorder.is_due() => keep_up(recorder, cancel).await,
                    () = cancel.requested(1), if !is_announced => {
                        is_announced = true;
                        if !cancel.is_urgent() && !started.is_empty() {
                            frontend.event(&Event::Note(Note::Stopping));
                        }
                        // A step that waits for a lock may never end by itself.
                        clients.stop_waiting();
                    }
                    () = cancel.requested(2) => {
                        running.abort_all();
                        clients.interrupt().await;
                        break None;
                    }
                }
            };
            let Some(ended) = ended else { break };
            let (id, result) = result_of(ended);
            if let Some(lost) = result.as_ref().err().and_then(StepError::lost_lock) {
                cancel.stop(format!("the lock was lost: {}", lost.reason));
            }
            if let Some((step, began)) = started.remove(&id) {
                migrations -= usize::from(step.is_migration());
                if migrations == 0 {
                    clients.system.end_migrations().await;
                }
                record_end(step, began.elapsed(), result, &mut queue, recorder, frontend);
                keep_up(recorder, cancel).await;
            }
        }
        recorder.is_interrupted |= cancel.is_requested();
        let why = match cancel.reason() {
            Some(reason) => reason,
            None if cancel.is_requested() => "interrupted",
            None => "a step before it failed",
        };
        let stopped = started.into_values().map(|(step, _)| step).collect();
        recorder.block(stopped, "stopped while it ran", frontend);
        recorder.block(queue.drain(), why, frontend);
        if !cancel.is_urgent() {
            clients.system.end_migrations().await;
        }
        recorder.catch_up(cancel.is_urgent()).await;
    }
}

/// Lets the journal catch up. If the run must stop, the rest is written at its end.
async fn keep_up(recorder: &mut Recorder, cancel: &Cancel) {
    tokio::select! {
        () = recorder.keep_up() => {}
        () = cancel.requested(2) => {}
    }
}

/// A panic in a step is a defect; it fails the step instead of the process.
fn result_of(ended: Result<(Id, Result<Effect, StepError>), JoinError>) -> (Id, Result<Effect, StepError>) {
    match ended {
        Ok((id, result)) => (id, result),
        Err(error) => (error.id(), Err(StepError::Lost(error.to_string()))),
    }
}

fn record_end(
    step: Step,
    elapsed: Duration,
    result: Result<Effect, StepError>,
    queue: &mut Queue,
    recorder: &mut Recorder,
    frontend: &mut dyn Frontend,
) {
    match result {
        Ok(effect) => {
            queue.done(&step.address);
            let outcome = match effect {
                Effect::Done { warnings } if warnings.is_empty() => Outcome::Done,
                Effect::Done { warnings } => Outcome::Warned(warnings),
                Effect::Unchanged => Outcome::Unchanged,
            };
            recorder.end(step, Some(elapsed), outcome, frontend);
        }
        Err(error) => {
            recorder.totals.failed_idly += usize::from(error.has_changed_nothing());
            let error = describe(&step.address, &error);
            let waiting = queue.failed(&step.address);
            recorder.end(step, Some(elapsed), Outcome::Failed(error), frontend);
            for (blocked, reason) in waiting {
                recorder.end(blocked, None, Outcome::Blocked(reason), frontend);
            }
        }
    }
}
