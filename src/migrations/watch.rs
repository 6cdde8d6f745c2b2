//! Watches a running statement from another connection: emits an event when it waits for another session,
//! and cancels it when the run is asked to stop. Retries are decided elsewhere.

use std::time::Duration;

use super::Job;
use crate::address::Address;
use crate::connection::{Client, Limits};
use crate::sql::{self, Value};

/// The interval between queries for blocking sessions.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches the statements of one file.
pub(super) struct Watch<'a> {
    client: &'a Client,
    address: &'a Address,
    /// The delay before the first query.
    first: Duration,
    /// The sessions that blocked the statement at the last query.
    blockers: Option<String>,
    gave_up: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(job: &'a Job<'_>, client: &'a Client) -> Self {
        let Limits { lock, .. } = job.limits;
        // With a short lock timeout the wait would end before the first regular query.
        let first = if lock.is_zero() { PAUSE } else { PAUSE.min(lock / 2) };
        Self { client, address: &job.address, first, blockers: None, gave_up: false }
    }

    /// The sessions that last blocked the statement, where known.
    pub(super) fn blockers(&self) -> Option<&str> {
        self.blockers.as_deref()
    }

    /// Whether the run was asked to stop while a statement waited, or between two attempts.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Runs statements of a session while watching for blocking sessions.
    pub(super) async fn run<T>(&mut self, pid: Option<i32>, work: impl Future<Output = T>) -> T {
        let Some(pid) = pid else { return work.await };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.cancel_when_stopped(pid) => {}
        }
        // Returns the error of the cancelled statement.
        work.await
    }

    /// Sleeps before a retry; returns false when the run is asked to stop.
    pub(super) async fn sleep(&mut self, pause: Duration) -> bool {
        let board = self.client.board();
        tokio::select! {
            biased;
            () = board.stopped() => self.gave_up = true,
            () = tokio::time::sleep(pause) => {}
        }
        !self.gave_up
    }

    /// Returns when the statement was cancelled.
    async fn cancel_when_stopped(&mut self, pid: i32) {
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
            // Without an answer, the statement waits until its own timeout.
            let Ok(Some(on)) = self.blocking(pid).await else { continue };
            if self.blockers.as_ref() != Some(&on) {
                board.emit(self.address, &on);
                self.blockers = Some(on);
            }
            // Set before cancelling: the statement may fail before the response to the cancel
            // arrives.
            self.gave_up = board.is_stopped();
            if self.gave_up && self.cancel(pid).await {
                return;
            }
            self.gave_up = false;
        }
    }

    /// Describes the sessions that block this one; `None` where none does.
    async fn blocking(&self, pid: i32) -> sql::Result<Option<String>> {
        // Returns one row for each blocking session.
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
