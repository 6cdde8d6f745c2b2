//! Between the steps of a run and who shows it: what each waits for, and that none may wait any more.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::address::Address;
use crate::sql::{Listener, Wait};

/// A step waits for other sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    pub address: Address,
    /// The sessions that hold what it needs.
    pub on: String,
}

/// Between the steps of a client and who walks them.
#[derive(Debug, Default)]
pub(crate) struct Board {
    tell: Arc<Mutex<Option<mpsc::UnboundedSender<Waits>>>>,
    stop: watch::Sender<bool>,
}

impl Board {
    /// What steps wait for from now on.
    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<Waits> {
        let (tell, waits) = mpsc::unbounded_channel();
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
        waits
    }

    /// No step may wait for another session any more.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Comes back when no step may wait any more.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as this does.
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    /// Who is told what the statements of a step wait for.
    pub(crate) fn listener(&self, address: Address) -> Listener {
        let tell = Arc::clone(&self.tell);
        Arc::new(move |wait| {
            if let Wait::For(on) = wait {
                send(&tell, &address, on);
            }
        })
    }

    pub(crate) fn tell(&self, address: &Address, on: &str) {
        send(&self.tell, address, on);
    }
}

fn send(tell: &Mutex<Option<mpsc::UnboundedSender<Waits>>>, address: &Address, on: &str) {
    if let Some(tell) = &*tell.lock().unwrap_or_else(PoisonError::into_inner) {
        // Nobody may listen any more.
        drop(tell.send(Waits { address: address.clone(), on: on.to_owned() }));
    }
}
