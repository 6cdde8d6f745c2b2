//! Checks before every write of a run that it still holds its lock. A process that was stopped, or a host
//! that slept, detects here that another run may have begun, and sends nothing.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use super::{Error, Lock, file, postgres};

/// How long a positive answer is valid, so that a batch causes few queries. A new holder needs about as
/// long to connect and observe before its first write.
const FRESH: Duration = Duration::from_millis(200);

/// A moment on two clocks. The monotonic clock stops while the machine sleeps, and the wall clock can be
/// changed, so both have to agree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether the moment is recent by both clocks, so that the machine did not sleep since.
    pub(super) fn is_fresh(&self) -> bool {
        self.monotonic.elapsed() < FRESH && self.wall.elapsed().is_ok_and(|elapsed| elapsed < FRESH)
    }
}

/// The error of a run that lost its lock and therefore sends nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the lock was lost, so nothing more was sent: {reason}")]
#[diagnostic(
    code(trueup::lock::fenced),
    help("the same command goes on from here; `trueup lock status` shows who holds the lock now")
)]
pub struct Lost {
    /// The message of the server or about the file.
    pub reason: String,
}

impl From<Lost> for Error {
    fn from(Lost { reason }: Lost) -> Self {
        Self::Lost { reason }
    }
}

/// Prevents writes after the lock was lost: each batch is checked before it is sent. Clones share their
/// state. Without a lock everything passes, because the database is created before a lock can exist.
#[derive(Debug, Clone, Default)]
pub struct Fence(Arc<Mutex<Option<Watched>>>);

/// The lock that is checked; a weak reference that ends with its release.
#[derive(Debug, Clone)]
enum Watched {
    Postgres(Weak<postgres::Holding>),
    Sqlite(Weak<file::Held>),
}

impl Fence {
    /// Requires this lock from now on. A run that lost its lock during a prompt may take it again and set
    /// the new one.
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

    /// Returns an error when the lock is lost. Queries the server, unless a recent answer is valid.
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

/// Runs in its own task, because a cancelled step must not leave the lock's session in the middle of a
/// response.
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
