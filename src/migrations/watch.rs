//! What a statement waits for: asked on another connection while it runs, told to whoever shows
//! the run, and given up when the run is asked to stop. Decides nothing about trying again.

use std::time::Duration;

use super::Job;
use crate::address::Address;
use crate::connection::{Client, Limits};
use crate::sql::{self, Value};

/// How long a statement runs before it is asked for what it waits, at most, and between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// The watch over the statements of one file.
pub(super) struct Watch<'a> {
    client: &'a Client,
    address: &'a Address,
    /// How long a statement runs before it is asked for what it waits.
    first: Duration,
    /// The sessions that were last waited for.
    seen: Option<String>,
    gave_up: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(job: &'a Job<'_>, client: &'a Client) -> Self {
        let Limits { lock, .. } = job.limits;
        // A short wait is over before it is long enough to be asked about.
        let first = if lock.is_zero() { PAUSE } else { PAUSE.min(lock / 2) };
        Self { client, address: &job.address, first, seen: None, gave_up: false }
    }

    /// The sessions that were last waited for, where they are known.
    pub(super) fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    /// Whether the run was asked to stop while a statement waited, or before the next try.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Runs statements of a session, and looks meanwhile whether they wait for another one.
    pub(super) async fn during<T>(&mut self, pid: Option<i32>, work: impl Future<Output = T>) -> T {
        let Some(pid) = pid else { return work.await };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.look_after(pid) => {}
        }
        // It was cancelled, and says so.
        work.await
    }

    /// Sleeps between two tries; false when there shall be no other.
    pub(super) async fn sleep(&mut self, pause: Duration) -> bool {
        let board = self.client.board();
        tokio::select! {
            biased;
            () = board.stopped() => self.gave_up = true,
            () = tokio::time::sleep(pause) => {}
        }
        !self.gave_up
    }

    /// Comes back when the statement was cancelled.
    async fn look_after(&mut self, pid: i32) {
        let board = self.client.board();
        let mut pause = self.first;
        loop {
            if board.is_stopped() {
                tokio::time::sleep(pause).await;
            } else {
                tokio::select! {
                    () = board.stopped() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
            pause = PAUSE;
            // Who cannot be asked is not named, and waits as long as it may.
            let Ok(Some(on)) = self.blocking(pid).await else { continue };
            if self.seen.as_ref() != Some(&on) {
                board.tell(self.address, &on);
                self.seen = Some(on);
            }
            // Before it is cancelled: it may say so sooner than the server answers here.
            self.gave_up = board.is_stopped();
            if self.gave_up && self.cancel(pid).await {
                return;
            }
            self.gave_up = false;
        }
    }

    /// Who has what the session waits for; `None` while it waits for nobody.
    async fn blocking(&self, pid: i32) -> sql::Result<Option<String>> {
        // A row for each session in the way.
        let sql = format!(
            "SELECT {}
             FROM (SELECT DISTINCT unnest(pg_blocking_pids($1::int)) AS pid) b
                  LEFT JOIN pg_stat_activity a ON a.pid = b.pid
             ORDER BY a.xact_start NULLS LAST, b.pid",
            sql::COLUMNS_OF_SESSIONS
        );
        let database = self.client.database().await.map_err(|_| sql::Error::Empty(0))?;
        let rows = database.query(&sql, &[Value::from(pid.to_string())]).await?;
        Ok(sql::named_sessions(&rows, 0))
    }

    async fn cancel(&self, pid: i32) -> bool {
        const CANCEL: &str = "SELECT pg_cancel_backend($1::int)";
        let Ok(database) = self.client.database().await else { return false };
        let cancelled = database.query(CANCEL, &[Value::from(pid.to_string())]).await;
        cancelled.is_ok_and(|rows| rows.first().is_some_and(|row| row.bool(0).unwrap_or(false)))
    }
}
