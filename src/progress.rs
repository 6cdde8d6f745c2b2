//! Reports how far a long step is to the code that runs the step, which may show it to a person. A step reports
//! without knowing its listener; without one, reports are dropped.

use std::sync::Arc;

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
    /// What is counted, such as `rows written`.
    pub unit: &'static str,
}

/// A callback that receives the reports of a task.
pub type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

tokio::task_local! {
    static LISTENER: Listener;
}

/// Runs work whose reports go to the listener. Work that is spawned has none.
pub fn with_listener<T>(listener: Listener, work: impl Future<Output = T>) -> impl Future<Output = T> {
    LISTENER.scope(listener, work)
}

/// Reports how far the current step is.
pub fn report(done: usize, total: usize, unit: &'static str) {
    // There may be no listener.
    let _ = LISTENER.try_with(|listener| listener(Progress { done, total, unit }));
}
