//! Detects statements whose response never arrives. Another connection queries the server for the session's
//! state: active, waiting for other sessions, or idle, which means that the connection is broken. Limits
//! how long a connection may be silent, not how long a statement may run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::unconstrained;

use super::pool::{Held, Shared};
use super::{Row, blocking, value};

/// The interval between two queries for the state, and the delay before the first.
const PAUSE: Duration = Duration::from_secs(2);
/// The timeout of such a query.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the backend may be idle while its response is awaited. The same as the timeout of the
/// lock's session.
const SILENCE: Duration = Duration::from_secs(30);

/// PostgreSQL: a lock was not available in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// A lock-wait event, emitted at each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait<'a> {
    /// The statement waits for other sessions, described for display.
    For(&'a str),
    /// The statement no longer waits.
    Over,
}

/// A callback that receives the lock-wait events of a task.
pub type Listener = Arc<dyn Fn(Wait<'_>) + Send + Sync>;

tokio::task_local! {
    static LISTENER: Listener;
}

/// Runs work whose lock-wait events go to the listener.
pub fn with_listener<T>(listener: Listener, work: impl Future<Output = T>) -> impl Future<Output = T> {
    LISTENER.scope(listener, work)
}

/// Guards the statements of one connection.
#[derive(Debug, Clone)]
pub struct Guard {
    shared: Arc<Shared>,
    pid: Option<i32>,
    /// Whether lock-wait events are emitted.
    emits_events: bool,
    /// How long the backend may be idle.
    silence: Duration,
}

impl Guard {
    /// Guards the statements of a connection, also after it is detached.
    pub fn of(held: &Held) -> Self {
        Self { shared: Arc::clone(held.shared()), pid: held.pid(), emits_events: true, silence: SILENCE }
    }

    /// Disables lock-wait events, for a connection whose owner queries them itself.
    #[must_use]
    pub fn without_events(self) -> Self {
        Self { emits_events: false, ..self }
    }

    /// Extends the limit for a statement of so many bytes: the backend is idle until all are received,
    /// which takes time on slow networks.
    #[must_use]
    pub fn sending(self, bytes: usize) -> Self {
        const BYTES_IN_A_MILLISECOND: usize = 50;
        let milliseconds = u64::try_from(bytes / BYTES_IN_A_MILLISECOND).unwrap_or(u64::MAX);
        Self { silence: SILENCE + Duration::from_millis(milliseconds), ..self }
    }

    /// Returns the response to a statement, or an error once it is known that none will arrive.
    pub async fn during<T>(&self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let mut waited = None;
        self.during_with(statement, &mut waited).await
    }

    /// Like [`Self::during`], and also returns the sessions that the statement waited for until it
    /// timed out.
    pub(super) async fn during_with<T>(
        &self,
        statement: impl Future<Output = sqlx::Result<T>>,
        waited: &mut Option<String>,
    ) -> sqlx::Result<T> {
        let mut statement = std::pin::pin!(statement);
        if let Ok(answer) = tokio::time::timeout(PAUSE, &mut statement).await {
            return answer;
        }
        let mut watch = Watch { guard: self, last_emitted: None, quiet: None };
        let answer = tokio::select! {
            biased;
            answer = &mut statement => answer,
            // `unconstrained`, because a server that sends without end uses up the cooperative
            // budget of the task.
            () = Box::pin(unconstrained(watch.until_silent())) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        let last_emitted = watch.last_emitted.take();
        if last_emitted.is_some() {
            self.emit(Wait::Over);
        }
        let code = answer
            .as_ref()
            .err()
            .and_then(sqlx::Error::as_database_error)
            .and_then(sqlx::error::DatabaseError::code);
        if code.is_some_and(|code| code == LOCK_NOT_AVAILABLE) {
            *waited = last_emitted;
        }
        answer
    }

    fn emit(&self, wait: Wait<'_>) {
        if self.emits_events {
            // There may be no listener.
            let _ = LISTENER.try_with(|listener| listener(wait));
        }
    }

    /// Queries the backend's state: a row for each session that blocks it, at least one where it exists.
    /// `None` where the query fails.
    async fn ask(&self) -> Option<Vec<Row>> {
        let which = match self.pid {
            Some(pid) => format!("s.pid = {pid}"),
            // With a pooler, each statement may have another backend.
            None => "s.application_name = current_setting('application_name') AND s.pid <> pg_backend_pid() \
                     AND s.datname = current_database() AND s.wait_event_type = 'Lock'"
                .to_owned(),
        };
        let sql = format!(
            "SELECT s.state, s.wait_event, s.state_change::text, {}
             FROM pg_catalog.pg_stat_activity s
                  LEFT JOIN LATERAL (SELECT DISTINCT unnest(pg_blocking_pids(s.pid)) AS pid) b ON true
                  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
             WHERE {which} ORDER BY a.xact_start NULLS LAST, b.pid",
            blocking::COLUMNS
        );
        let rows = tokio::time::timeout(DEADLINE, self.shared.ask_beside(&sql)).await.ok()?.ok()?;
        rows.iter().map(value::read_postgres).collect::<super::Result<_>>().ok()
    }
}

/// The state while one statement is guarded.
struct Watch<'a> {
    guard: &'a Guard,
    /// The sessions of the last lock-wait event.
    last_emitted: Option<String>,
    /// Since when the server has nothing to do for it, and since when it says so.
    quiet: Option<(Instant, String)>,
}

impl Watch<'_> {
    /// Resolves when the backend is idle for too long.
    async fn until_silent(&mut self) {
        loop {
            // Without an answer nothing is decided: the lock and the observation have timeouts of
            // their own.
            if let Some(rows) = self.guard.ask().await
                && self.is_silent(&rows)
            {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn is_silent(&mut self, rows: &[Row]) -> bool {
        let on = blocking::named(rows, 3);
        if on != self.last_emitted {
            self.guard.emit(on.as_deref().map_or(Wait::Over, Wait::For));
            self.last_emitted.clone_from(&on);
        }
        // Without the process id, the session cannot be identified.
        let Some(_) = self.guard.pid else { return false };
        match has_nothing_to_do(rows.first()) {
            None => self.quiet = None,
            Some(since) => match &self.quiet {
                Some((first, same)) if *same == since => return first.elapsed() >= self.guard.silence,
                _ => self.quiet = Some((Instant::now(), since)),
            },
        }
        false
    }
}

/// The time since which the backend waits for the client; `None` while it is active, or where this
/// is unknown.
fn has_nothing_to_do(session: Option<&Row>) -> Option<String> {
    let Some(session) = session else { return Some("gone".to_owned()) };
    let (state, event) = (session.get(0).unwrap_or_default(), session.get(1).unwrap_or_default());
    let waits = state.starts_with("idle") || event == "ClientRead";
    waits.then(|| format!("{state} {}", session.get(2).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, event: &str) -> Row {
        let since = "2026-01-01 00:00:00+00";
        Row::from_json(vec![state.into(), event.into(), since.into()])
    }

    #[test]
    fn a_server_that_waits_for_its_client_has_nothing_to_do() {
        assert_eq!(has_nothing_to_do(Some(&row("active", ""))), None);
        assert_eq!(has_nothing_to_do(Some(&row("active", "relation"))), None);
        assert_eq!(has_nothing_to_do(Some(&row("disabled", ""))), None);
        assert!(has_nothing_to_do(Some(&row("active", "ClientRead"))).is_some());
        assert!(has_nothing_to_do(Some(&row("idle in transaction", "ClientRead"))).is_some());
        assert!(has_nothing_to_do(None).is_some());
    }
}
