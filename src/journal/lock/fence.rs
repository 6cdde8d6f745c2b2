//! The question that precedes everything a run writes: does it still hold its lock? A process that
//! was stopped, or a host that slept, learns here that another run may have begun, and sends nothing.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use super::{Error, Lock, file, postgres};

/// How long an answer of the server counts: a batch asks it at most this often. A new holder takes
/// about as long to connect and to look at the stores before it writes anything.
const FRESH: Duration = Duration::from_millis(200);

/// A moment on two clocks: the monotonic one stands still while a machine sleeps, and the other one
/// can be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether both clocks say that it was a moment ago, so that the process did not sleep since.
    pub(super) fn is_fresh(&self) -> bool {
        self.monotonic.elapsed() < FRESH && self.wall.elapsed().is_ok_and(|elapsed| elapsed < FRESH)
    }
}

/// Why a run sends nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the lock was lost, so nothing more was sent: {reason}")]
#[diagnostic(
    code(trueup::lock::fenced),
    help("the same command goes on from here; `trueup lock status` shows who holds the lock now")
)]
pub struct Lost {
    /// What the server, or the file, says.
    pub reason: String,
}

impl From<Lost> for Error {
    fn from(Lost { reason }: Lost) -> Self {
        Self::Lost { reason }
    }
}

/// What keeps a run that lost its lock from writing: each batch that leaves the process passes here
/// first. Clones are one fence. It lets everything pass until a lock is set, because what comes
/// before the lock (making the database) has none.
#[derive(Debug, Clone, Default)]
pub struct Fence(Arc<Mutex<Option<Watched>>>);

/// The lock behind a fence; gone when it was released.
#[derive(Debug, Clone)]
enum Watched {
    Postgres(Weak<postgres::Holding>),
    Sqlite(Weak<file::Held>),
}

impl Fence {
    /// From now on only the holder of this lock passes. A run that lost its lock while a person thought may
    /// take it again, and set that one.
    pub fn set(&self, lock: &Lock) {
        let watched = match lock {
            Lock::Postgres(held) => Watched::Postgres(Arc::downgrade(held.holding())),
            Lock::Sqlite(held) => Watched::Sqlite(Arc::downgrade(held)),
        };
        *self.watched() = Some(watched);
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Option<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses when the lock is held no more. Asks the server, unless it said so a moment ago.
    pub async fn check(&self) -> Result<(), Lost> {
        let released = || Lost { reason: "this run has given it back".to_owned() };
        let watched = self.watched().clone();
        match watched {
            None => Ok(()),
            Some(Watched::Postgres(holding)) => check(holding.upgrade().ok_or_else(released)?).await,
            Some(Watched::Sqlite(held)) => held.upgrade().ok_or_else(released)?.check(),
        }
    }
}

/// Asks in a task of its own: a step that is stopped at once must not leave the lock's session in the
/// middle of an answer.
pub(super) async fn check(holding: Arc<postgres::Holding>) -> Result<(), Lost> {
    if holding.is_fresh() {
        return Ok(());
    }
    let asked = tokio::spawn(async move { holding.check().await }).await;
    asked.unwrap_or_else(|error| Err(Lost { reason: format!("nobody asked the server: {error}") }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{RunId, lock};
    use crate::sql::{self, SqliteMode};
    use crate::stack::SystemUrl;

    #[test]
    fn f03_an_answer_counts_only_while_no_clock_has_jumped() {
        let now = Moment::now();
        let (long, short) = (FRESH * 2, FRESH / 4);
        let before = |monotonic, wall: Duration| Moment {
            monotonic: now.monotonic.checked_sub(monotonic).unwrap(),
            wall: now.wall - wall,
        };

        assert!(before(short, short).is_fresh());
        assert!(!before(long, long).is_fresh(), "the process was stopped");
        assert!(!before(short, long).is_fresh(), "the machine slept");
        assert!(!Moment { wall: now.wall + long, ..now }.is_fresh(), "the clock was set back");
    }

    #[tokio::test]
    async fn f03_a_fence_lets_pass_without_a_lock_and_not_after_its_file_was_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("system.db");
        let (url, database) =
            (SystemUrl::Sqlite(path.clone()), sql::open_sqlite(&path, SqliteMode::Create).await.unwrap());
        let take = async || lock::acquire(&url, &database, "s", &RunId::new(), Duration::ZERO).await.unwrap();
        let fence = Fence::default();
        fence.check().await.unwrap();
        let first = take().await;
        fence.set(&first);
        fence.check().await.unwrap();

        std::fs::remove_file(lock::lock_file(&path)).unwrap();
        let _second = take().await;

        let lost = fence.check().await.unwrap_err();
        assert!(lost.reason.contains("trueup-lock"), "{lost}");
    }
}
