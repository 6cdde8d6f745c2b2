//! What becomes of a statement whose answer does not come. The server is asked on another connection: it
//! may work, wait for other sessions, or have nothing to do any more for a connection that went silent.
//! Decides how long a connection may be silent, not how long a statement may work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::unconstrained;

use super::pool::{Held, Shared};
use super::{Row, blocking, value};

/// How long a statement runs before the server is asked about it, and between two questions.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the answer to such a question may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the server may have nothing to do for a statement whose answer does not come: as long as a
/// lock's session has for an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// PostgreSQL: a lock was not to be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What a statement waits for, reported whenever it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait<'a> {
    /// Other sessions of the server, named for people.
    For(&'a str),
    /// Nothing any more.
    Over,
}

/// A function that is called with what the statements of a task wait for.
pub type Listener = Arc<dyn Fn(Wait<'_>) + Send + Sync>;

tokio::task_local! {
    static LISTENER: Listener;
}

/// Does work, and calls the listener with what its statements wait for.
pub fn telling<T>(listener: Listener, work: impl Future<Output = T>) -> impl Future<Output = T> {
    LISTENER.scope(listener, work)
}

/// The guard over the statements of one connection.
#[derive(Debug, Clone)]
pub struct Guard {
    shared: Arc<Shared>,
    pid: Option<i32>,
    /// Whether the listener is called.
    tells: bool,
    /// How long the server may have nothing to do.
    silence: Duration,
}

impl Guard {
    pub(super) fn of(held: &Held) -> Self {
        Self { shared: Arc::clone(held.shared()), pid: held.pid(), tells: true, silence: SILENCE }
    }

    /// The same for a connection whose owner asks by itself what it waits for.
    #[must_use]
    pub fn without_telling(self) -> Self {
        Self { tells: false, ..self }
    }

    /// The same for a statement of so many bytes: the server has nothing to do until all are there, and some
    /// links are slow.
    #[must_use]
    pub fn sending(self, bytes: usize) -> Self {
        const BYTES_IN_A_MILLISECOND: usize = 50;
        let milliseconds = u64::try_from(bytes / BYTES_IN_A_MILLISECOND).unwrap_or(u64::MAX);
        Self { silence: SILENCE + Duration::from_millis(milliseconds), ..self }
    }

    /// The answer to a statement of the connection; an error once it turns out that there will be none.
    pub async fn during<T>(&self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let mut waited = None;
        self.during_with(statement, &mut waited).await
    }

    /// As [`Self::during`], and says whom it waited for in vain.
    pub(super) async fn during_with<T>(
        &self,
        statement: impl Future<Output = sqlx::Result<T>>,
        waited: &mut Option<String>,
    ) -> sqlx::Result<T> {
        let mut statement = std::pin::pin!(statement);
        if let Ok(answer) = tokio::time::timeout(PAUSE, &mut statement).await {
            return answer;
        }
        let mut watch = Watch { guard: self, told: None, quiet: None };
        let answer = tokio::select! {
            biased;
            answer = &mut statement => answer,
            // A server that sends without end uses up what the task may do at one time; the watch goes on.
            () = Box::pin(unconstrained(watch.until_silent())) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        let told = watch.told.take();
        if told.is_some() {
            self.tell(Wait::Over);
        }
        let code = answer
            .as_ref()
            .err()
            .and_then(sqlx::Error::as_database_error)
            .and_then(sqlx::error::DatabaseError::code);
        if code.is_some_and(|code| code == LOCK_NOT_AVAILABLE) {
            *waited = told;
        }
        answer
    }

    fn tell(&self, wait: Wait<'_>) {
        if self.tells {
            // Nobody need listen.
            let _ = LISTENER.try_with(|listener| listener(wait));
        }
    }

    /// What the server does for the connection: a row for each session that it waits for, and at least one
    /// where it is there; `None` where it does not say.
    async fn ask(&self) -> Option<Vec<Row>> {
        let which = match self.pid {
            Some(pid) => format!("s.pid = {pid}"),
            // Through a pooler the process is another one with every statement.
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

/// The watch over one statement.
struct Watch<'a> {
    guard: &'a Guard,
    /// The sessions that the listener was last called with.
    told: Option<String>,
    /// Since when the server has nothing to do for it, and since when it says so.
    quiet: Option<(Instant, String)>,
}

impl Watch<'_> {
    /// Comes back when there will be no answer.
    async fn until_silent(&mut self) {
        loop {
            // Who cannot be asked knows nothing: the lock has a watch of its own, and so has a look.
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
        if on != self.told {
            self.guard.tell(on.as_deref().map_or(Wait::Over, Wait::For));
            self.told.clone_from(&on);
        }
        // Without the process it is not known which of several it is.
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

/// Since when the server waits for the client instead of the other way round; `None` while it works, or
/// where the server does not say.
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
