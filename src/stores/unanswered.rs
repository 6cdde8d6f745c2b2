//! The stores that have not answered yet, by name.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The stores that have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<BTreeSet<String>>);

impl Unanswered {
    /// Tracks a store as unanswered while a request is running.
    pub(super) async fn during<T>(&self, store: &str, asking: impl Future<Output = T>) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(store.to_owned());
        let answer = asking.await;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(store);
        answer
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
