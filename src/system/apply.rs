//! Executes one change. Each step checks the database again as it runs, so that it can run twice or be
//! resumed after a kill.

use super::{Change, Result, database};
use crate::change::Effect;
use crate::connection::Client;
use crate::journal::RunId;
use crate::{migrations, roles, rows};

/// Executes one change as part of a run.
pub async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<Effect> {
    match change {
        Change::Migration(change) => return Ok(migrations::apply(change, client, run).await?),
        Change::CreateDatabase => client.create_database().await?,
        Change::CreateExtension { name } => database::create_extension(name, client).await?,
        Change::Role(change) => roles::apply(change, client, run).await?,
        Change::Rows(change) => rows::apply(change, client, run).await?,
    }
    Ok(Effect::DONE)
}
