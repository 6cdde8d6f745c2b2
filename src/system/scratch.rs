//! A database to try things in: made beside the real one, on the same server or in a temporary
//! folder, and removed again however the trial ends. Holds no data of the real one.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Client, Error, Result};
use crate::journal::RunId;
use crate::spec::{RedactedUrl, SystemUrl};

/// How long connections may take to close: one that was given up may wait for its statement.
const CLOSING: Duration = Duration::from_secs(2);

/// Does work in a scratch database of the same kind as the client's, and removes it afterwards.
/// A process that is killed leaves a database named `trueup_scratch_…` on a server.
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
            // A folder that stays in the folder for temporary files harms nobody.
            drop(std::fs::remove_dir_all(&folder));
            result
        }
        SystemUrl::Postgres(url) => {
            let name = format!("trueup_scratch_{}", uuid::Uuid::new_v4().simple());
            let mut elsewhere = url.expose().clone();
            elsewhere.set_path(&utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string());
            let scratch = client.elsewhere(SystemUrl::Postgres(RedactedUrl::new(elsewhere)), &run);
            scratch.create_database().await.map_err(|error| match error {
                Error::CreateDatabase { database, source } => Error::Scratch { database, source },
                other => other,
            })?;
            let result = work(&scratch).await;
            close(&scratch).await;
            // The client itself may be one that only reads.
            let dropped = client.elsewhere(client.url().clone(), &run).drop_beside(&name).await;
            let result = result?;
            dropped.map(|()| result)
        }
    }
}

async fn close(scratch: &Client) {
    // Whatever is still open afterwards is ended by the server.
    drop(tokio::time::timeout(CLOSING, scratch.close()).await);
}

fn tempfolder() -> Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("trueup-scratch-{}", uuid::Uuid::new_v4().simple()));
    match std::fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(Error::ScratchFolder { path: folder, source }),
    }
}
