//! Executes one change. Each looks at the database again as it acts, so that running it twice, or
//! again after being killed in the middle, ends the same.

use super::{Result, database};
use crate::change::Effect;
use crate::connection::Client;
use crate::journal::RunId;
use crate::roles::RoleChange;
use crate::{migrations, roles, rows};

/// One step on the system database, with all that it needs.
#[derive(Debug, Clone)]
pub enum Change {
    CreateDatabase,
    CreateExtension {
        name: String,
    },
    Migration(migrations::Change),
    /// Makes or mends a role of the server.
    Role(Box<RoleChange>),
    /// Writes rows and accounts, and takes rows back.
    Rows(rows::Change),
}

/// Executes one change in the name of a run.
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
