//! The walk: a step starts when all that it needs is done; what needs a failed step is blocked and
//! named, and what would only wait for a connection or a row lets others pass. The flags come last.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinError, JoinSet};

use super::groups;
use super::queue::{Lanes, Queue};
use super::{Cancel, Clients, Event, Recorder};
use crate::address::Address;
use crate::connection::{self, Waits};
use crate::journal::{self, RunId, lock};
use crate::neutral::one_line;
use crate::plan::{Plan, Step, Work};
use crate::sql;
use crate::system;
use crate::{cache, vector};

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

/// How a walk ended.
#[derive(Debug, Clone, Default)]
pub struct Walked {
    /// Steps that were done, in the order in which they ended, with the time that each took.
    pub done: Vec<(Step, Duration)>,
    /// Steps that failed, with the error.
    pub failed: Vec<(Step, Duration, String)>,
    /// How many of the failed steps have certainly changed nothing.
    pub failed_idly: usize,
    /// Steps that were not started, with the reason.
    pub blocked: Vec<(Step, String)>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Walked {
    /// Adds a later walk of the same run.
    pub(super) fn extend(&mut self, later: Self) {
        let Self { done, failed, failed_idly, blocked, interrupted } = later;
        self.done.extend(done);
        self.failed.extend(failed);
        self.failed_idly += failed_idly;
        self.blocked.extend(blocked);
        self.interrupted |= interrupted;
    }

    /// Whether a step about an address failed or was not started.
    pub(super) fn has_failed(&self, address: &Address) -> bool {
        self.failed.iter().any(|(step, ..)| step.address == *address)
            || self.blocked.iter().any(|(step, _)| step.address == *address)
    }

    /// Adds the approved steps of a plan that were not walked at all.
    pub fn block_rest(
        &mut self,
        plan: &Plan,
        approved: &BTreeSet<Address>,
        why: &str,
        on_event: &mut (dyn FnMut(&Event) + Send),
    ) {
        let steps = plan.steps.iter().filter(|step| approved.contains(&step.address));
        let walked: BTreeSet<&Address> = self.addresses().collect();
        let rest: Vec<Step> = steps.filter(|step| !walked.contains(&step.address)).cloned().collect();
        self.block(rest, why, on_event);
    }

    fn addresses(&self) -> impl Iterator<Item = &Address> {
        let done = self.done.iter().map(|(step, _)| step);
        let failed = self.failed.iter().map(|(step, ..)| step);
        let blocked = self.blocked.iter().map(|(step, _)| step);
        done.chain(failed).chain(blocked).map(|step| &step.address)
    }

    /// Adds steps that are not started at all.
    pub(super) fn block(&mut self, steps: Vec<Step>, why: &str, on_event: &mut (dyn FnMut(&Event) + Send)) {
        for step in steps {
            on_event(&Event::Blocked { address: step.address.clone(), reason: why.to_owned() });
            self.blocked.push((step, why.to_owned()));
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum StepError {
    /// The run holds its lock no more.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] lock::Lost),
    /// In the system database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    System(#[from] system::Error),
    /// In the bookkeeping.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] journal::Error),
    /// In the vector store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Vector(#[from] vector::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] cache::Error),
    /// The step needs a store that the spec does not have: a defect of this tool.
    #[error("there is no {0} to apply this to")]
    #[diagnostic(code(trueup::apply::no_store))]
    NoStore(&'static str),
    /// The task that ran the step ended without an answer.
    #[error("the step stopped without an answer: {0}")]
    #[diagnostic(code(trueup::apply::lost))]
    Lost(String),
}

impl From<connection::Error> for StepError {
    fn from(error: connection::Error) -> Self {
        Self::System(error.into())
    }
}

impl StepError {
    /// Whether the step has certainly changed nothing.
    fn has_changed_nothing(&self) -> bool {
        matches!(self, Self::System(error) if error.has_changed_nothing())
    }

    /// Why the lock is held no more, where that is the error.
    fn lost_lock(&self) -> Option<&lock::Lost> {
        match self {
            Self::LockLost(lost)
            | Self::System(system::Error::Connection(connection::Error::LockLost(lost)))
            | Self::Vector(vector::Error::LockLost(lost))
            | Self::Cache(cache::Error::LockLost(lost)) => Some(lost),
            _ => None,
        }
    }
}

/// Walks the steps of a plan, telling what happens and recording how each step ended.
pub async fn walk(steps: Vec<Step>, clients: &Arc<Clients>, execution: &mut Execution<'_>) -> Walked {
    let Execution { parallelism, cancel, recorder, on_event } = execution;
    let mut migrations = steps.iter().filter(|step| step.is_migration()).count();
    let mut queue = Queue::new(steps);
    let mut walked = Walked::default();
    let mut waits = clients.system.waits();
    let mut is_told = false;
    let mut running: JoinSet<Result<(), StepError>> = JoinSet::new();
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
                    clients.system.stop_waiting();
                }
                () = cancel.asked(2) => {
                    running.abort_all();
                    clients.system.interrupt().await;
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
        on_event(&Event::Blocked { address: step.address.clone(), reason: reason.clone() });
        walked.blocked.push((step, reason));
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
fn result_of(ended: Result<(Id, Result<(), StepError>), JoinError>) -> (Id, Result<(), StepError>) {
    match ended {
        Ok((id, result)) => (id, result),
        Err(error) => (error.id(), Err(StepError::Lost(error.to_string()))),
    }
}

async fn perform(work: Work, clients: Arc<Clients>, run: RunId) -> Result<(), StepError> {
    clients.system.fence().check().await?;
    match &work {
        Work::Bookkeeping { stack, protected } => {
            Ok(journal::ensure(&clients.system.database().await?, stack, protected).await?)
        }
        Work::System(change) => Ok(system::apply(change, &clients.system, &run).await?),
        Work::Target(crate::target::Change::RecordSchema { target, snapshot }) => {
            let database = clients.system.database().await?;
            Ok(journal::record_snapshot(&database, &run, &format!("target.{target}"), snapshot).await?)
        }
        Work::Vector(change) => {
            let client = clients.vector.as_ref().ok_or(StepError::NoStore("vector store"))?;
            let identity = match &change.owner.identity {
                Some(identity) => identity.clone(),
                // The bookkeeping was made or brought up to date by a step before this one.
                None => journal::identity(&clients.system.database().await?).await?.ok_or_else(|| {
                    journal::Error::Unreadable { what: "it has no identity in the table meta".to_owned() }
                })?,
            };
            Ok(vector::apply(change, client, identity, &run).await?)
        }
        Work::Cache(change) => {
            let client = clients.cache.as_ref().ok_or(StepError::NoStore("cache"))?;
            groups::apply(change, client, &clients.system, &run).await
        }
        Work::Flags { stack, environment, flags } => {
            let database = clients.system.database().await?;
            Ok(journal::record_flags(&database, stack, environment, flags).await?)
        }
    }
}

fn settle(
    step: Step,
    elapsed: Duration,
    result: Result<(), StepError>,
    queue: &mut Queue,
    walked: &mut Walked,
    on_event: &mut (dyn FnMut(&Event) + Send),
) {
    match result {
        Ok(()) => {
            on_event(&Event::Finished { address: step.address.clone(), elapsed });
            queue.done(&step.address);
            walked.done.push((step, elapsed));
        }
        Err(error) => {
            let text = describe(&step.address, &error);
            walked.failed_idly += usize::from(error.has_changed_nothing());
            on_event(&Event::Failed { address: step.address.clone(), elapsed, error: text.clone() });
            for (blocked, reason) in queue.failed(&step.address) {
                on_event(&Event::Blocked { address: blocked.address.clone(), reason: reason.clone() });
                walked.blocked.push((blocked, reason));
            }
            walked.failed.push((step, elapsed, text));
        }
    }
}

/// The error of a step with every cause that says something new, and its help. Who shows it names
/// the step.
fn describe(address: &Address, error: &StepError) -> String {
    use miette::Diagnostic as _;
    let text = causes(error);
    let text = text.strip_prefix(&format!("{address}: ")).unwrap_or(&text);
    let text = one_line(text);
    match error.help() {
        Some(help) => format!("{text}\n    help: {}", one_line(&help.to_string())),
        None => text.into_owned(),
    }
}

/// The error with every cause that says something new, on one line where they are.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
