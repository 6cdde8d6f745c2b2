//! The walk: a step starts when all that it needs is done; what needs a failed step is blocked and
//! named, and what would only wait for a connection or a row lets others pass. The flags come last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinError, JoinSet};

use super::queue::{Lanes, Queue};
use super::step::{StepError, describe, perform};
use super::{Cancel, Event, Recorder, Walked};
use crate::change::Effect;
use crate::connection::Waits;
use crate::journal::Outcome;
use crate::plan::Step;
use crate::sql;
use crate::stores::Clients;

/// What a run walks under.
pub struct Execution<'a> {
    /// Steps that run at one time.
    pub parallelism: usize,
    /// What stops it.
    pub cancel: &'a Cancel,
    /// What takes down how each step ended.
    pub recorder: &'a mut Recorder,
    /// Who is told what happens.
    pub on_event: &'a mut (dyn FnMut(&Event) + Send),
}

/// Walks the steps of a plan, telling what happens and recording how each step ended.
pub async fn walk(steps: Vec<Step>, clients: &Arc<Clients>, execution: &mut Execution<'_>) -> Walked {
    let Execution { parallelism, cancel, recorder, on_event } = execution;
    let mut migrations = steps.iter().filter(|step| step.is_migration()).count();
    let mut queue = Queue::new(steps);
    let mut walked = Walked::default();
    let mut waits = clients.system.waits();
    let mut is_told = false;
    let mut running: JoinSet<Result<Effect, StepError>> = JoinSet::new();
    let mut started: HashMap<Id, (Step, Instant)> = HashMap::new();
    loop {
        while running.len() < (*parallelism).max(1) && !cancel.is_asked() {
            let lanes = Lanes::of(started.values().map(|(step, _)| step));
            let Some(step) = queue.next(&lanes) else { break };
            on_event(&Event::Started { address: step.address.clone() });
            let work = perform(step.work.clone(), Arc::clone(clients), recorder.run().clone());
            let work = sql::telling(clients.system.listener(step.address.clone()), work);
            started.insert(running.spawn(work).id(), (step, Instant::now()));
        }
        let ended = loop {
            tokio::select! {
                ended = running.join_next_with_id() => break ended,
                Some(Waits { address, on }) = waits.recv() => on_event(&Event::Waiting { address, on }),
                // While a long step runs, no other need end.
                () = recorder.is_due() => keep_up(recorder, &walked, cancel).await,
                () = cancel.asked(1), if !is_told => {
                    is_told = true;
                    if !cancel.is_urgent() && !started.is_empty() {
                        on_event(&Event::Stopping);
                    }
                    // What waits for others does not end by itself.
                    clients.stop_waiting();
                }
                () = cancel.asked(2) => {
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
            settle(step, began.elapsed(), result, &mut queue, &mut walked, on_event);
            keep_up(recorder, &walked, cancel).await;
        }
    }
    walked.interrupted = cancel.is_asked();
    let why = match cancel.reason() {
        Some(reason) => reason,
        None if walked.interrupted => "interrupted",
        None => "a step before it failed",
    };
    let stopped = started.into_values().map(|(step, _)| (step, "stopped while it ran".to_owned()));
    for (step, reason) in stopped.chain(queue.drain(why)) {
        walked.end(step, None, Outcome::Blocked(reason), on_event);
    }
    if !cancel.is_urgent() {
        clients.system.end_migrations().await;
    }
    recorder.catch_up(&walked, cancel.is_urgent()).await;
    walked
}

/// Lets the journal catch up. What is not written when the run must stop is written at its end.
async fn keep_up(recorder: &mut Recorder, walked: &Walked, cancel: &Cancel) {
    tokio::select! {
        () = recorder.keep_up(walked) => {}
        () = cancel.asked(2) => {}
    }
}

/// A panic in a step is a defect; it fails the step instead of ending the process.
fn result_of(ended: Result<(Id, Result<Effect, StepError>), JoinError>) -> (Id, Result<Effect, StepError>) {
    match ended {
        Ok((id, result)) => (id, result),
        Err(error) => (error.id(), Err(StepError::Lost(error.to_string()))),
    }
}

fn settle(
    step: Step,
    elapsed: Duration,
    result: Result<Effect, StepError>,
    queue: &mut Queue,
    walked: &mut Walked,
    on_event: &mut (dyn FnMut(&Event) + Send),
) {
    match result {
        Ok(effect) => {
            queue.done(&step.address);
            let outcome = match effect {
                Effect::Done { warnings } if warnings.is_empty() => Outcome::Done,
                Effect::Done { warnings } => Outcome::Warned(warnings),
                Effect::Unchanged => Outcome::Unchanged,
            };
            walked.end(step, Some(elapsed), outcome, on_event);
        }
        Err(error) => {
            walked.failed_idly += usize::from(error.has_changed_nothing());
            let error = describe(&step.address, &error);
            let waiting = queue.failed(&step.address);
            walked.end(step, Some(elapsed), Outcome::Failed(error), on_event);
            for (blocked, reason) in waiting {
                walked.end(blocked, None, Outcome::Blocked(reason), on_event);
            }
        }
    }
}
