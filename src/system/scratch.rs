//! Temporary databases for trials, on the same server or in a temporary folder. They are removed after the
//! trial, also when it fails. They contain no data of the real database.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Error, Result};
use crate::connection::{self, Client};
use crate::journal::RunId;
use crate::stack::{RedactedUrl, SystemUrl};

/// How long to wait for connections to close: a cancelled one may still wait for its statement.
const CLOSING: Duration = Duration::from_secs(2);

/// The prefix of scratch databases; the rest is a UUID of version 7, which contains the time of
/// creation.
const PREFIX: &str = "trueup_scratch_";
/// The age from which an unused scratch database counts as abandoned: a new one has no connection
/// yet.
const LEFT_OVER: Duration = Duration::from_mins(10);

/// Runs work in a scratch database of the same kind as the client's, then removes it. A killed process
/// leaves its database on the server; a later call removes it.
pub async fn within<T>(client: &Client, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
    let run = RunId::new();
    match client.url() {
        SystemUrl::Sqlite(_) => {
            let folder = tempfolder()?;
            let scratch = client.elsewhere(SystemUrl::Sqlite(folder.join("scratch.db")), &run);
            let result = async {
                scratch.create_database().await?;
                work(&scratch).await
            };
            let result = result.await;
            close(&scratch).await;
            // A folder that cannot be removed stays in the system's temporary folder, where it is
            // harmless.
            drop(std::fs::remove_dir_all(&folder));
            result
        }
        SystemUrl::Postgres(url) => {
            let id = uuid::Uuid::now_v7();
            let name = format!("{PREFIX}{}", id.simple());
            let mut elsewhere = url.expose().clone();
            elsewhere.set_path(&utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string());
            let scratch = client.elsewhere(SystemUrl::Postgres(RedactedUrl::new(elsewhere)), &run);
            scratch.create_database().await.map_err(|error| match error {
                connection::Error::CreateDatabase { database, source, progress: _ } => {
                    Error::Scratch { database, source }
                }
                other => other.into(),
            })?;
            let result = work(&scratch).await;
            close(&scratch).await;
            // The client itself may be read-only.
            let beside = client.elsewhere(client.url().clone(), &run);
            let dropped = beside.drop_beside(&name).await;
            // Removing abandoned databases is best effort.
            if let Err(error) = beside.drop_unused_beside(PREFIX, |name| is_left_over(name, id)).await {
                tracing::warn!(%error, "scratch databases that were left over stay");
            }
            let result = result?;
            dropped?;
            Ok(result)
        }
    }
}

/// Whether a scratch database is old enough to be abandoned.
fn is_left_over(name: &str, now: uuid::Uuid) -> bool {
    let made = |id: uuid::Uuid| id.get_timestamp().map(|at| Duration::new(at.to_unix().0, 0));
    let other = name.strip_prefix(PREFIX).and_then(|id| uuid::Uuid::try_parse(id).ok());
    match (other.filter(|id| id.get_version_num() == 7).and_then(made), made(now)) {
        (Some(other), Some(now)) => other + LEFT_OVER < now,
        // The name has no valid UUID, so another program may have created it.
        _ => false,
    }
}

async fn close(scratch: &Client) {
    // Connections that are still open are ended by the server.
    drop(tokio::time::timeout(CLOSING, scratch.close()).await);
}

fn tempfolder() -> Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("trueup-scratch-{}", uuid::Uuid::new_v4().simple()));
    match std::fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(Error::ScratchFolder { path: folder, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_scratch_database_of_this_tool_is_left_over() {
        let now = uuid::Uuid::now_v7();
        let old = "01890a5dac96774bbcceb302099a8057";
        assert!(is_left_over(&format!("trueup_scratch_{old}"), now));
        for name in [
            format!("trueup_scratch_{}", now.simple()),
            format!("trueup_scratch_{}", uuid::Uuid::new_v4().simple()),
            "trueup_scratch_mine".to_owned(),
            old.to_owned(),
        ] {
            assert!(!is_left_over(&name, now), "{name}");
        }
    }
}
