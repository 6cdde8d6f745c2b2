//! Writes the journal of one run while it goes on: begun before its first step, kept up at most a
//! second behind, finished with its outcome.

use std::time::{Duration, Instant};

use super::{Cancel, Ended, Walked};
use crate::change::Action;
use crate::journal::{self, Move, Outcome, Run, RunId, RunStatus, StepRecord};
use crate::redact::redact_own;
use crate::sql::{Database, Dialect};

/// How far the journal may be behind.
const MOST_BEHIND: Duration = Duration::from_secs(1);
/// How long the walk stands still for the journal while a step holds the one connection to a file.
const ASIDE: Duration = Duration::from_millis(200);
/// How long a write to the journal may take: longer than it takes until a connection that went silent is given
/// up or a wait for a lock ends, whose errors say more than that it is late.
const DEADLINE: Duration = Duration::from_secs(45);
/// How long a run that must end at once tries to write down how it ended.
const HURRY: Duration = Duration::from_secs(1);

/// The recorder of one run. Without a database (before the bookkeeping exists) it only remembers.
#[derive(Debug)]
pub struct Recorder {
    run: Run,
    database: Option<Database>,
    waiting: Vec<StepRecord>,
    /// How many steps of a walk were taken over.
    seen: usize,
    position: i64,
    flushed: Instant,
    /// Whether the run must end at once.
    is_urgent: bool,
    /// The first failure to write. The run goes on; it is said at the end.
    trouble: Option<journal::Error>,
}

impl Recorder {
    /// A recorder of a run that has not begun.
    pub fn new(run: Run) -> Self {
        Self {
            run,
            database: None,
            waiting: Vec::new(),
            seen: 0,
            position: 0,
            flushed: Instant::now(),
            is_urgent: false,
            trouble: None,
        }
    }

    pub fn run(&self) -> &RunId {
        &self.run.id
    }

    /// Records that the run begins, once the bookkeeping is there.
    pub async fn begin(&mut self, database: Database) -> journal::Result<()> {
        journal::begin(&database, &self.run).await?;
        self.database = Some(database);
        self.flush().await;
        Ok(())
    }

    /// Takes down that things got new names.
    pub fn renamed(&mut self, moves: &[Move]) {
        for Move { from: _, to } in moves {
            self.push(to.to_string(), "move", Outcome::Done, None);
        }
    }

    /// Whether the run stands in the journal.
    pub fn has_begun(&self) -> bool {
        self.database.is_some()
    }

    /// Waits until something that ended has to be written; for ever when there is nothing.
    pub(super) async fn is_due(&self) {
        if self.database.is_none() || self.waiting.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(MOST_BEHIND.saturating_sub(self.flushed.elapsed())).await;
    }

    /// Takes over what a walk has settled, and writes it when the last write is a while ago.
    pub(super) async fn keep_up(&mut self, walked: &Walked) {
        self.take(walked);
        if self.flushed.elapsed() < MOST_BEHIND {
            return;
        }
        match self.database.as_ref().map(Database::dialect) {
            // What is not written now is written later: nothing is forgotten before it is.
            Some(Dialect::Sqlite) => drop(tokio::time::timeout(ASIDE, self.flush()).await),
            Some(Dialect::Postgres) | None => self.flush().await,
        }
        // Also where it was given up: the walk stands still for it once a second at most.
        self.flushed = Instant::now();
    }

    /// Takes over all of a walk that has ended, and writes it.
    pub(super) async fn catch_up(&mut self, walked: &Walked, is_urgent: bool) {
        self.take(walked);
        self.seen = 0;
        self.is_urgent |= is_urgent;
        self.flush().await;
    }

    /// Records how the run ended. Gives the first error that writing the journal met.
    pub async fn finish(mut self, status: RunStatus, summary: &str, cancel: &Cancel) -> journal::Result<()> {
        self.is_urgent |= cancel.is_urgent();
        let finishing = async {
            self.flush().await;
            if let Some(database) = &self.database {
                self.within(journal::finish(database, &self.run.id, status, summary)).await?;
            }
            self.trouble.take().map_or(Ok(()), Err)
        };
        tokio::select! {
            biased;
            finished = finishing => finished,
            () = late(cancel) => Err(journal::Error::Busy),
        }
    }

    /// Takes down a step that is no part of this run.
    pub fn left_out(&mut self, address: String, action: Action, outcome: Outcome) {
        self.push(address, action.as_str(), outcome, None);
    }

    fn take(&mut self, walked: &Walked) {
        for Ended { step, elapsed, outcome } in walked.ended.iter().skip(self.seen) {
            let redacted = |text: &String| redact_own(text).into_owned();
            let outcome = match outcome {
                Outcome::Done => Outcome::Done,
                Outcome::Warned(warnings) => Outcome::Warned(warnings.iter().map(redacted).collect()),
                Outcome::Unchanged => Outcome::Unchanged,
                Outcome::Skipped(reason) => Outcome::Skipped(redacted(reason)),
                Outcome::Failed(error) => Outcome::Failed(redacted(error)),
                Outcome::Blocked(reason) => Outcome::Blocked(redacted(reason)),
            };
            self.push(step.address.to_string(), step.action.as_str(), outcome, *elapsed);
        }
        self.seen = walked.ended.len();
    }

    fn push(&mut self, address: String, action: &str, outcome: Outcome, elapsed: Option<Duration>) {
        let elapsed = elapsed.unwrap_or_default();
        self.waiting.push(StepRecord {
            position: self.position,
            address,
            action: action.to_owned(),
            outcome,
            finished_at: journal::now(),
            milliseconds: i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
        });
        self.position += 1;
    }

    /// Writes, within a deadline. What is left out then can be observed in the store itself.
    async fn within(&self, writing: impl Future<Output = journal::Result<()>>) -> journal::Result<()> {
        // What could not be written in time once is not waited for again and again.
        let is_busy = matches!(self.trouble, Some(journal::Error::Busy));
        let deadline = if self.is_urgent || is_busy { HURRY } else { DEADLINE };
        tokio::time::timeout(deadline, writing).await.unwrap_or(Err(journal::Error::Busy))
    }

    async fn flush(&mut self) {
        let Some(database) = &self.database else { return };
        let written = self.within(journal::record_steps(database, &self.run.id, &self.waiting)).await;
        self.waiting.clear();
        self.flushed = Instant::now();
        if let Err(error) = written {
            self.trouble.get_or_insert(error);
        }
    }
}

/// Comes back a moment after a run was asked to stop at once.
async fn late(cancel: &Cancel) {
    cancel.asked(2).await;
    tokio::time::sleep(HURRY * 2).await;
}
