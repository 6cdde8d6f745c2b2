//! Checks before every write of a run that it still holds its lock. A process that was stopped, or a host
//! that slept, detects here that another run may have begun, and sends nothing.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Lock, Lost, file, postgres};

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
    use std::time::Duration;

    use super::*;
    use crate::journal::{RunId, lock};
    use crate::sql::{self, SqliteMode};
    use crate::stack::SystemUrl;

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
