//! Passes lock-wait events from the steps of a run to its caller, and the caller's stop request to
//! the steps.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::address::Address;
use crate::sql::{Listener, Wait};

/// A lock-wait event: a step waits for other sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    pub address: Address,
    /// The sessions that hold the lock.
    pub on: String,
}

/// The channels of one client.
#[derive(Debug, Default)]
pub(crate) struct Board {
    sender: Arc<Mutex<Option<mpsc::UnboundedSender<Waits>>>>,
    stop: watch::Sender<bool>,
}

impl Board {
    /// Subscribes to lock-wait events.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Waits> {
        let (sender, waits) = mpsc::unbounded_channel();
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        waits
    }

    /// Requests that no step waits for another session any more.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when that was requested.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as `self`.
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    /// A callback that emits lock-wait events for the statements of a step.
    pub(crate) fn listener(&self, address: Address) -> Listener {
        let sender = Arc::clone(&self.sender);
        Arc::new(move |wait| {
            if let Wait::For(on) = wait {
                send(&sender, &address, on);
            }
        })
    }

    pub(crate) fn emit(&self, address: &Address, on: &str) {
        send(&self.sender, address, on);
    }
}

fn send(sender: &Mutex<Option<mpsc::UnboundedSender<Waits>>>, address: &Address, on: &str) {
    if let Some(sender) = &*sender.lock().unwrap_or_else(PoisonError::into_inner) {
        // The receiver may be dropped already.
        drop(sender.send(Waits { address: address.clone(), on: on.to_owned() }));
    }
}
