//! Ctrl-C: the first lets running steps finish and starts no new ones, the second stops at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// Whether the run was asked to stop. Cloned handles are one.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: AtomicU8,
    changed: Notify,
}

impl Cancel {
    /// A run that nobody asked to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks once more to stop.
    pub fn ask(&self) {
        // Saturates: a third time is a second one.
        let _ = self.0.asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_add(1)));
        self.0.changed.notify_waiters();
    }

    /// Whether no new step may start.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst) > 0
    }

    /// Waits until it was asked `times` times.
    pub async fn asked(&self, times: u8) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.asked.load(Ordering::SeqCst) >= times {
                return;
            }
            changed.await;
        }
    }

    /// Listens for Ctrl-C and for a polite kill until the process ends.
    pub fn listen(&self) {
        let cancel = self.clone();
        tokio::spawn(async move {
            loop {
                if interrupted().await.is_err() {
                    return;
                }
                cancel.ask();
            }
        });
    }
}

#[cfg(unix)]
async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
