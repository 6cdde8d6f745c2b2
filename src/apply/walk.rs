//! The walk: a step starts when all that it needs is done; what needs a failed step is blocked and
//! named. The flags come last, and only when nothing failed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinError, JoinSet};

use super::{Cancel, Clients, Event, Recorder};
use crate::change::Address;
use crate::journal::{self, RunId};
use crate::plan::{Step, Work};
use crate::{cache, system, vector};

/// The bounds of a walk.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Steps that run at one time.
    pub parallelism: usize,
}

/// How a walk ended.
#[derive(Debug, Clone, Default)]
pub struct Walked {
    /// Steps that were done, in the order in which they ended, with the time that each took.
    pub done: Vec<(Step, Duration)>,
    /// Steps that failed, with the error.
    pub failed: Vec<(Step, Duration, String)>,
    /// Steps that were not started, with the reason.
    pub blocked: Vec<(Step, String)>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Walked {
    /// Adds a later walk of the same run.
    pub(super) fn extend(&mut self, later: Self) {
        let Self { done, failed, blocked, interrupted } = later;
        self.done.extend(done);
        self.failed.extend(failed);
        self.blocked.extend(blocked);
        self.interrupted |= interrupted;
    }

    /// Whether a step about an address failed or was not started.
    pub(super) fn has_failed(&self, address: &Address) -> bool {
        self.failed.iter().any(|(step, ..)| step.address == *address)
            || self.blocked.iter().any(|(step, _)| step.address == *address)
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
    /// In the cache.
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

/// Walks the steps of a plan, telling `on_event` what happens and recording how each step ended.
pub async fn walk(
    steps: Vec<Step>,
    clients: &Arc<Clients>,
    limits: Limits,
    cancel: &Cancel,
    recorder: &mut Recorder,
    on_event: &mut (dyn FnMut(&Event) + Send),
) -> Walked {
    let mut queue = Queue::new(steps);
    let mut walked = Walked::default();
    let mut running: JoinSet<Result<(), StepError>> = JoinSet::new();
    let mut started: HashMap<Id, (Step, Instant)> = HashMap::new();
    loop {
        while running.len() < limits.parallelism.max(1) && !cancel.is_asked() {
            let Some(step) = queue.next(running.is_empty()) else { break };
            on_event(&Event::Started { address: step.address.clone() });
            let work = perform(step.work.clone(), Arc::clone(clients), recorder.run().clone());
            started.insert(running.spawn(work).id(), (step, Instant::now()));
        }
        let ended = tokio::select! {
            ended = running.join_next_with_id() => ended,
            () = cancel.asked(2) => {
                running.abort_all();
                clients.system.interrupt().await;
                break;
            }
        };
        let Some(ended) = ended else { break };
        let (id, result) = result_of(ended);
        if let Some((step, began)) = started.remove(&id) {
            settle(step, began.elapsed(), result, &mut queue, &mut walked, on_event);
            recorder.keep_up(&walked).await;
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
    recorder.catch_up(&walked, cancel.is_urgent()).await;
    walked
}

/// A panic in a step is a defect; it fails the step instead of ending the process.
fn result_of(ended: Result<(Id, Result<(), StepError>), JoinError>) -> (Id, Result<(), StepError>) {
    match ended {
        Ok((id, result)) => (id, result),
        Err(error) => (error.id(), Err(StepError::Lost(error.to_string()))),
    }
}

async fn perform(work: Work, clients: Arc<Clients>, run: RunId) -> Result<(), StepError> {
    match &work {
        Work::Bookkeeping { protected } => {
            Ok(journal::ensure(&clients.system.database().await?, protected).await?)
        }
        Work::System(change) => Ok(system::apply(change, &clients.system, &run).await?),
        Work::Target(crate::target::Change::RecordSchema { target, snapshot }) => {
            let database = clients.system.database().await?;
            Ok(journal::record_snapshot(&database, &run, &format!("target.{target}"), snapshot).await?)
        }
        Work::Vector(change) => {
            let client = clients.vector.as_ref().ok_or(StepError::NoStore("vector store"))?;
            Ok(vector::apply(change, client).await?)
        }
        Work::Cache(change) => {
            let client = clients.cache.as_ref().ok_or(StepError::NoStore("cache"))?;
            Ok(cache::apply(change, client).await?)
        }
        Work::Flags { environment, flags } => {
            Ok(journal::record_flags(&clients.system.database().await?, environment, flags).await?)
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
            let error = describe(&error);
            on_event(&Event::Failed { address: step.address.clone(), elapsed, error: error.clone() });
            for (blocked, reason) in queue.failed(&step.address) {
                on_event(&Event::Blocked { address: blocked.address.clone(), reason: reason.clone() });
                walked.blocked.push((blocked, reason));
            }
            walked.failed.push((step, elapsed, error));
        }
    }
}

/// The error with every cause that says something new, and its help.
fn describe(error: &StepError) -> String {
    use miette::Diagnostic as _;
    let text = causes(error);
    match error.help() {
        Some(help) => format!("{text}\n    help: {help}"),
        None => text,
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

/// The steps that are not started, by what they wait for.
struct Queue {
    ready: VecDeque<Step>,
    waiting: BTreeMap<Address, Waiting>,
    /// Who waits for an address.
    followers: BTreeMap<Address, Vec<Address>>,
    /// The step that comes last, and only when nothing failed.
    last: Option<Step>,
    is_clean: bool,
}

struct Waiting {
    step: Step,
    missing: BTreeSet<Address>,
}

impl Queue {
    fn new(steps: Vec<Step>) -> Self {
        let planned: BTreeSet<Address> = steps.iter().map(|step| step.address.clone()).collect();
        let mut queue = Self {
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            followers: BTreeMap::new(),
            last: None,
            is_clean: true,
        };
        for step in steps {
            if matches!(step.work, Work::Flags { .. }) {
                queue.last = Some(step);
                continue;
            }
            let missing: BTreeSet<Address> =
                step.needs.iter().filter(|need| planned.contains(need)).cloned().collect();
            if missing.is_empty() {
                queue.ready.push_back(step);
                continue;
            }
            for need in &missing {
                queue.followers.entry(need.clone()).or_default().push(step.address.clone());
            }
            queue.waiting.insert(step.address.clone(), Waiting { step, missing });
        }
        queue
    }

    /// The next step that may start; the last one only when nothing runs or waits.
    fn next(&mut self, is_idle: bool) -> Option<Step> {
        if let Some(step) = self.ready.pop_front() {
            return Some(step);
        }
        if is_idle && self.waiting.is_empty() && self.is_clean { self.last.take() } else { None }
    }

    fn done(&mut self, address: &Address) {
        for follower in self.followers.remove(address).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&follower) else { continue };
            waiting.missing.remove(address);
            if waiting.missing.is_empty()
                && let Some(waiting) = self.waiting.remove(&follower)
            {
                self.ready.push_back(waiting.step);
            }
        }
    }

    /// Takes out everything that needs a step that failed, directly or not.
    fn failed(&mut self, address: &Address) -> Vec<(Step, String)> {
        self.is_clean = false;
        let mut blocked = Vec::new();
        let mut open = VecDeque::from([address.clone()]);
        while let Some(cause) = open.pop_front() {
            for follower in self.followers.remove(&cause).unwrap_or_default() {
                if let Some(waiting) = self.waiting.remove(&follower) {
                    blocked.push((waiting.step, format!("needs {cause}")));
                    open.push_back(follower);
                }
            }
        }
        blocked
    }

    /// Takes out everything that is left.
    fn drain(&mut self, why: &str) -> Vec<(Step, String)> {
        let ready = std::mem::take(&mut self.ready).into_iter();
        let waiting = std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.step);
        ready.chain(waiting).chain(self.last.take()).map(|step| (step, why.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Action;

    fn step(address: &str, needs: &[&str]) -> Step {
        Step {
            address: Address::new(address),
            action: Action::Run,
            needs: needs.iter().map(|need| Address::new(*need)).collect(),
            work: Work::Bookkeeping { protected: BTreeSet::new() },
        }
    }

    fn names(steps: &[(Step, String)]) -> Vec<String> {
        steps.iter().map(|(step, why)| format!("{}: {why}", step.address)).collect()
    }

    #[test]
    fn a_failed_step_blocks_what_needs_it_and_nothing_else() {
        let mut queue =
            Queue::new(vec![step("a", &[]), step("b", &["a"]), step("c", &["b"]), step("d", &[])]);
        assert_eq!(queue.next(true).unwrap().address.as_str(), "a");
        assert_eq!(names(&queue.failed(&Address::new("a"))), ["b: needs a", "c: needs b"]);
        assert_eq!(queue.next(true).unwrap().address.as_str(), "d");
        assert!(queue.next(true).is_none());
    }

    #[test]
    fn a_step_waits_for_all_that_it_needs() {
        let mut queue = Queue::new(vec![step("a", &[]), step("b", &[]), step("c", &["a", "b"])]);
        queue.next(true);
        queue.next(false);
        queue.done(&Address::new("a"));
        assert!(queue.next(false).is_none());
        queue.done(&Address::new("b"));
        assert_eq!(queue.next(true).unwrap().address.as_str(), "c");
    }

    #[test]
    fn the_flags_come_last_and_only_when_nothing_failed() {
        let flags = || {
            let flags = crate::spec::Flags(BTreeMap::new());
            Step { work: Work::Flags { environment: "dev".to_owned(), flags }, ..step("flags", &[]) }
        };
        let mut queue = Queue::new(vec![flags(), step("a", &[])]);
        assert_eq!(queue.next(true).unwrap().address.as_str(), "a");
        assert!(queue.next(false).is_none(), "while another step runs");
        queue.done(&Address::new("a"));
        assert_eq!(queue.next(true).unwrap().address.as_str(), "flags");

        let mut queue = Queue::new(vec![flags(), step("a", &[])]);
        queue.next(true);
        queue.failed(&Address::new("a"));
        assert!(queue.next(true).is_none());
        assert_eq!(names(&queue.drain("a step before it failed")), ["flags: a step before it failed"]);
    }
}
