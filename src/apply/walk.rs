//! Executes steps in parallel: a step starts when its dependencies are done. Dependents of a failed
//! step are blocked and reported, and a step that would wait for a connection or a row lets others
//! start first. Consecutive migrations of SQLite run together. The flags come last.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use super::queue::{Lanes, Queue};
use super::record::Recorder;
use super::run::Run;
use super::step::{MOST_TOGETHER, StepEnd, can_share_transaction, perform_all};
use super::step_error::{StepError, describe};
use super::{Cancel, Event, Frontend, Note};
use crate::address::Address;
use crate::change::Effect;
use crate::connection::Waits;
use crate::journal::Outcome;
use crate::plan::Step;
use crate::progress;
use crate::sql;

/// A step that runs.
struct Started {
    step: Step,
    /// How many steps are tried in its transaction, with itself.
    together: usize,
    since: Instant,
}

impl Run<'_> {
    /// Executes the steps of a plan, emits events and records how each step ended.
    pub(super) async fn walk(&self, steps: Vec<Step>, recorder: &mut Recorder, frontend: &mut dyn Frontend) {
        let (clients, cancel) = (&self.clients, self.cancel);
        let mut migrations = steps.iter().filter(|step| step.is_migration()).count();
        let mut queue = Queue::new(steps);
        let mut most_together = MOST_TOGETHER;
        let mut waits = clients.system.waits();
        let (begins, mut begun) = mpsc::unbounded_channel();
        let (counts, mut counted) = mpsc::unbounded_channel();
        let mut announced = HashSet::new();
        let mut is_announced = false;
        let mut running: JoinSet<Vec<StepEnd>> = JoinSet::new();
        let mut started: HashMap<Id, Started> = HashMap::new();
        loop {
            while running.len() < self.request.parallelism.max(1) && !cancel.is_requested() {
                let lanes = Lanes::used_by(started.values().map(|started| &started.step));
                let Some(step) = queue.next(&lanes) else { break };
                announce(&step.address, &mut announced, frontend);
                let is_together = |step: &Step| can_share_transaction(step, clients.system.dialect());
                let followers = queue.successors(&step, most_together - 1, is_together);
                let together = 1 + followers.len();
                let work = perform_all(
                    step.clone(),
                    followers,
                    (Arc::clone(clients), self.id.clone()),
                    begins.clone(),
                );
                let work = sql::with_listener(clients.system.listener(step.address.clone()), work);
                let (address, counts) = (step.address.clone(), counts.clone());
                // Sending fails where the walk has ended, which nobody watches.
                let on_count = Arc::new(move |progress| drop(counts.send((address.clone(), progress))));
                let work = progress::with_listener(on_count, work);
                started.insert(running.spawn(work).id(), Started { step, together, since: Instant::now() });
            }
            let ended = loop {
                tokio::select! {
                    ended = running.join_next_with_id() => break ended,
                    Some(Waits { address, on }) = waits.recv() => frontend.event(&Event::Note(Note::Waiting { address, on })),
                    Some((address, progress)) = counted.recv() => frontend.event(&Event::Counted { address, progress }),
                    Some(address) = begun.recv() => announce(&address, &mut announced, frontend),
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
            let Some((Started { step, together, .. }, ends)) = ends_of(ended, &mut started) else { continue };
            if together > 1 {
                // After a transaction that was rolled back, the attempts begin with two steps.
                most_together = (2 * ends.len()).clamp(2, MOST_TOGETHER);
            }
            let mut first = Some(step);
            for StepEnd { address, elapsed, result } in ends {
                let Some(step) = first.take().or_else(|| queue.take(&address)) else { continue };
                announce(&address, &mut announced, frontend);
                if let Some(lost) = result.as_ref().err().and_then(StepError::lost_lock) {
                    cancel.stop(format!("the lock was lost: {}", lost.reason));
                }
                migrations -= usize::from(step.is_migration());
                if migrations == 0 {
                    clients.system.end_migrations().await;
                }
                record_end(step, elapsed, result, &mut queue, recorder, frontend);
            }
            keep_up(recorder, cancel).await;
        }
        recorder.is_interrupted |= cancel.is_requested();
        let why = match cancel.reason() {
            Some(reason) => reason,
            None if cancel.is_requested() => "interrupted",
            None => "a step before it failed",
        };
        let running = started.into_values().map(|started| started.step);
        let (stopped, waiting) =
            running.chain(queue.drain()).partition(|step| announced.contains(&step.address));
        recorder.block(stopped, "stopped while it ran", frontend);
        recorder.block(waiting, why, frontend);
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

/// Emits the event that a step starts, once.
fn announce(address: &Address, announced: &mut HashSet<Address>, frontend: &mut dyn Frontend) {
    if announced.insert(address.clone()) {
        frontend.event(&Event::Started { address: address.clone() });
    }
}

/// Returns the steps that a task executed, with how they ended.
fn ends_of(
    ended: Result<(Id, Vec<StepEnd>), JoinError>,
    started: &mut HashMap<Id, Started>,
) -> Option<(Started, Vec<StepEnd>)> {
    match ended {
        Ok((id, ends)) => Some((started.remove(&id)?, ends)),
        // A panic in a step is a defect; it fails the step instead of the process.
        Err(error) => {
            let first = started.remove(&error.id())?;
            let (address, elapsed) = (first.step.address.clone(), first.since.elapsed());
            let end = StepEnd { address, elapsed, result: Err(StepError::Lost(error.to_string())) };
            Some((first, vec![end]))
        }
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
