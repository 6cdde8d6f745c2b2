//! The session that runs migrations, and how long a run pauses before it tries a migration again.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

use super::{Error, Result};
use crate::connection::{Client, Failed, Limits, Session};
use crate::sql;

/// Retries after the first attempt when a lock is not available.
const MAX_RETRIES: usize = 5;

/// The pauses between retries. A waiting statement blocks the sessions queued behind it; a pause lets them
/// proceed.
pub(super) fn pauses(limits: Limits) -> impl Iterator<Item = Duration> {
    const LONGEST: Duration = Duration::from_secs(4);
    ExponentialBuilder::new()
        .with_min_delay((limits.lock / 20).min(LONGEST / 16))
        .with_max_delay(limits.lock.min(LONGEST))
        .with_max_times(MAX_RETRIES)
        .with_jitter()
        .build()
}

pub(super) async fn open(client: &Client) -> Result<Session> {
    if let Some(session) = client.take_migrator().await {
        return Ok(session);
    }
    let database = client.database().await?;
    Ok(Session::open(&database).await?)
}

/// Reuses the session for the next file only where it is clean; a failed one is in an undefined
/// state.
pub(super) async fn return_session(client: &Client, session: Session, is_clean: bool) {
    client.forget_catalog().await;
    if is_clean {
        client.keep_migrator(session).await;
    } else {
        session.close().await;
    }
}

/// Names what was being done when an error occurred.
pub(super) fn doing(what: &'static str) -> impl FnOnce(Failed) -> Error {
    move |error| Error::doing(what)(sql::Error::statement("", error))
}
