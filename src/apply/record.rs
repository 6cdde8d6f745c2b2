//! Writes the journal of one run: started before the first step, at most a second behind while it
//! runs, finished with its outcome.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Cancel, Event, Frontend, Totals};
use crate::address::Address;
use crate::digest::Digest;
use crate::journal::{self, Move, Outcome, Run, RunId, RunStatus, StepRecord, lock};
use crate::plan::{ChangeEntry, Step};
use crate::redact::redact_own;
use crate::sql::{Database, Dialect};
use crate::stack::Stack;

/// Maximum delay of the journal.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// How long the walk pauses for the journal while a step may hold the only connection to a SQLite
/// file.
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// Timeout of a write to the journal: longer than it takes to detect a dead connection or to time
/// out on a lock, because those errors are more specific.
const DEADLINE: Duration = Duration::from_secs(45);
/// Timeout for recording the outcome of a run that must end at once.
const URGENT_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the journal record of a run that starts now.
pub(super) fn beginning(
    command: &str,
    id: &RunId,
    stack: &Stack,
    (spec_digest, plan_digest): (&Digest, &Digest),
) -> Run {
    Run {
        id: id.clone(),
        command: command.to_owned(),
        stack: stack.name.clone(),
        environment: stack.environment.clone(),
        status: RunStatus::Running,
        started_at: journal::now(),
        finished_at: None,
        who: lock::who(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: git_commit(&stack.file),
        spec_digest: spec_digest.to_string(),
        plan_digest: plan_digest.to_string(),
        summary: None,
    }
}

/// Returns the journal record of a step that ended now.
pub(super) fn step(
    position: i64,
    address: String,
    action: &str,
    outcome: Outcome,
    elapsed: Duration,
) -> StepRecord {
    StepRecord {
        position,
        address,
        action: action.to_owned(),
        outcome,
        finished_at: journal::now(),
        milliseconds: i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
    }
}

/// Returns the git commit of the spec; `None` outside of a git checkout, or without git.
fn git_commit(spec: &Path) -> Option<String> {
    let folder = spec.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Running git outside of a checkout takes as long as two migrations, so this is checked first.
    let is_checkout = std::env::var_os("GIT_DIR").is_some()
        || std::path::absolute(folder).ok()?.ancestors().any(|folder| folder.join(".git").exists());
    if !is_checkout {
        return None;
    }
    let git = Command::new("git").arg("-C").arg(folder).args(["rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(git.stdout).ok()?.trim().to_owned();
    (git.status.success() && !commit.is_empty()).then_some(commit)
}

/// What a run did so far. Nothing is written until there is a bookkeeping to write to.
#[derive(Debug)]
pub(super) struct Recorder {
    run: Run,
    pub totals: Totals,
    /// Steps that succeeded, also those that found nothing to do.
    pub done: Vec<Step>,
    /// Addresses of steps that failed or did not start.
    pub not_done: BTreeSet<Address>,
    /// Whether the run was stopped before its end.
    pub is_interrupted: bool,
    /// Whether new names were recorded.
    pub has_renamed: bool,
    database: Option<Database>,
    waiting: Vec<StepRecord>,
    position: i64,
    flushed: Instant,
    /// Whether the run must end at once.
    is_urgent: bool,
    /// The first failure to write. The run continues; the failure is reported at its end.
    first_error: Option<journal::Error>,
}

impl Recorder {
    /// A recorder of a run that has not begun. So many addresses need no change.
    pub(super) fn new(run: Run, unchanged: usize) -> Self {
        Self {
            run,
            totals: Totals { unchanged, ..Totals::default() },
            done: Vec::new(),
            not_done: BTreeSet::new(),
            is_interrupted: false,
            has_renamed: false,
            database: None,
            waiting: Vec::new(),
            position: 0,
            flushed: Instant::now(),
            is_urgent: false,
            first_error: None,
        }
    }

    /// Records the start of the run, once the bookkeeping exists.
    pub(super) async fn begin(&mut self, database: Database) -> journal::Result<()> {
        journal::begin(&database, &self.run).await?;
        self.database = Some(database);
        self.flush().await;
        Ok(())
    }

    /// Records new names as steps.
    pub(super) fn renamed(&mut self, moves: &[Move]) {
        self.has_renamed = true;
        for Move { from: _, to } in moves {
            self.push(to.to_string(), "move", Outcome::Done, None);
        }
    }

    /// Whether the run is in the journal.
    pub(super) fn has_begun(&self) -> bool {
        self.database.is_some()
    }

    /// Waits until an ended step has to be written; forever when there is none.
    pub(super) async fn is_due(&self) {
        if self.database.is_none() || self.waiting.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(MAX_DELAY.saturating_sub(self.flushed.elapsed())).await;
    }

    /// Writes the steps that ended, unless the last write is recent.
    pub(super) async fn keep_up(&mut self) {
        // Written before the delay is over, because a step that runs then may hold the only lock of a SQLite
        // file.
        if self.flushed.elapsed() < MAX_DELAY / 2 {
            return;
        }
        match self.database.as_ref().map(Database::dialect) {
            // On a timeout the records are kept and written later.
            Some(Dialect::Sqlite) => drop(tokio::time::timeout(MAX_PAUSE, self.flush()).await),
            Some(Dialect::Postgres) | None => self.flush().await,
        }
        // Set after a timeout as well, so that the walk pauses at most once a second.
        self.flushed = Instant::now();
    }

    /// Writes all steps of a finished walk.
    pub(super) async fn catch_up(&mut self, is_urgent: bool) {
        self.is_urgent |= is_urgent;
        self.flush().await;
    }

    /// Records how the run ended. Returns the first error of writing the journal.
    pub(super) async fn finish(
        &mut self,
        status: RunStatus,
        summary: &str,
        cancel: &Cancel,
    ) -> journal::Result<()> {
        self.is_urgent |= cancel.is_urgent();
        let finishing = async {
            self.flush().await;
            if let Some(database) = &self.database {
                self.within(journal::finish(database, &self.run.id, status, summary)).await?;
            }
            self.first_error.take().map_or(Ok(()), Err)
        };
        tokio::select! {
            biased;
            finished = finishing => finished,
            () = late(cancel) => Err(journal::Error::Busy),
        }
    }

    /// Whether every step succeeded and the run was not stopped.
    pub(super) fn is_complete(&self) -> bool {
        self.not_done.is_empty() && !self.is_interrupted
    }

    /// Records a change as done by an earlier run.
    pub(super) fn skip(&mut self, change: &ChangeEntry, frontend: &mut dyn Frontend) {
        let outcome = Outcome::Skipped("an earlier run of this plan did it".to_owned());
        self.totals.count(&outcome);
        self.push(change.address.to_string(), change.action.as_str(), outcome.clone(), None);
        frontend.event(&Event::Ended { address: change.address.clone(), elapsed: None, outcome });
    }

    /// Records steps that were not started.
    pub(super) fn block(&mut self, steps: Vec<Step>, why: &str, frontend: &mut dyn Frontend) {
        for step in steps {
            self.end(step, None, Outcome::Blocked(why.to_owned()), frontend);
        }
    }

    /// Records how a step ended and emits the event.
    pub(super) fn end(
        &mut self,
        step: Step,
        elapsed: Option<Duration>,
        outcome: Outcome,
        frontend: &mut dyn Frontend,
    ) {
        let redacted = |text: &String| redact_own(text).into_owned();
        let recorded = match &outcome {
            Outcome::Done => Outcome::Done,
            Outcome::Warned(warnings) => Outcome::Warned(warnings.iter().map(redacted).collect()),
            Outcome::Unchanged => Outcome::Unchanged,
            Outcome::Skipped(reason) => Outcome::Skipped(redacted(reason)),
            Outcome::Failed(error) => Outcome::Failed(redacted(error)),
            Outcome::Blocked(reason) => Outcome::Blocked(redacted(reason)),
        };
        self.push(step.address.to_string(), step.action.as_str(), recorded, elapsed);
        self.totals.count(&outcome);
        let is_done = !matches!(outcome, Outcome::Failed(_) | Outcome::Blocked(_));
        frontend.event(&Event::Ended { address: step.address.clone(), elapsed, outcome });
        if is_done {
            self.done.push(step);
        } else {
            self.not_done.insert(step.address);
        }
    }

    fn push(&mut self, address: String, action: &str, outcome: Outcome, elapsed: Option<Duration>) {
        self.waiting.push(step(self.position, address, action, outcome, elapsed.unwrap_or_default()));
        self.position += 1;
    }

    /// Writes with a timeout. Lost records are tolerable, because the stores themselves can be
    /// observed.
    async fn within(&self, writing: impl Future<Output = journal::Result<()>>) -> journal::Result<()> {
        // After one timeout, further writes are not attempted.
        let is_busy = matches!(self.first_error, Some(journal::Error::Busy));
        let deadline = if self.is_urgent || is_busy { URGENT_TIMEOUT } else { DEADLINE };
        tokio::time::timeout(deadline, writing).await.unwrap_or(Err(journal::Error::Busy))
    }

    async fn flush(&mut self) {
        let Some(database) = &self.database else { return };
        let written = self.within(journal::record_steps(database, &self.run.id, &self.waiting)).await;
        self.waiting.clear();
        self.flushed = Instant::now();
        if let Err(error) = written {
            self.first_error.get_or_insert(error);
        }
    }
}

/// Returns a moment after the run was asked to stop at once.
async fn late(cancel: &Cancel) {
    cancel.requested(2).await;
    tokio::time::sleep(URGENT_TIMEOUT * 2).await;
}
