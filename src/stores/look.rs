//! Observes with a timeout. Reports lock waits meanwhile, and the stores that had not answered on a
//! timeout. Knows the stores by name only.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::observe::observe_tracking;
use super::unanswered::Unanswered;
use super::{Clients, ObserveError};
use crate::desired::Desired;
use crate::sql::{self, Wait};
use crate::world::World;

/// Observes all stores of the stack, and times out after `most`. Calls `report_wait` with the sessions that
/// it waits for.
pub async fn observe_within(
    desired: &Desired<'_>,
    clients: &Clients,
    most: Duration,
    report_wait: &mut (dyn FnMut(&str) + Send),
) -> Result<World, ObserveError> {
    let (sender, mut waits) = mpsc::unbounded_channel();
    let listener = Arc::new(move |wait: Wait<'_>| {
        let on = match wait {
            Wait::For(on) => Some(on.to_owned()),
            Wait::Over => None,
        };
        // The receiver is gone after a timeout.
        drop(sender.send(on));
    });
    let unanswered = Unanswered::default();
    let mut observing =
        Box::pin(sql::with_listener(listener, observe_tracking(desired, clients, &unanswered)));
    let mut over = std::pin::pin!(tokio::time::sleep(most));
    let mut on = None;
    loop {
        tokio::select! {
            biased;
            world = &mut observing => return world,
            Some(now) = waits.recv() => {
                if let Some(now) = &now {
                    report_wait(now);
                }
                on = now;
            }
            () = &mut over => return Err(ObserveError::TooLong { most, stores: unanswered.names(), on }),
        }
    }
}
