//! Executes one change. Each looks at the database again as it acts, so that running it twice, or
//! again after being killed in the middle, ends the same.

use super::{Result, database};
use crate::connection::Client;
use crate::journal::RunId;
use crate::roles::RoleChange;
use crate::{migrations, roles, rows};

/// One step on the system database, with all that it needs.
#[derive(Debug, Clone)]
pub enum Change {
    /// Makes the database or file.
    CreateDatabase,
    /// Installs an extension.
    CreateExtension { name: String },
    /// Runs a file of migrations.
    Migration(migrations::Change),
    /// Makes or mends a role of the server.
    Role(Box<RoleChange>),
    /// Writes rows and accounts, and takes rows back.
    Rows(rows::Change),
}

/// Executes one change in the name of a run.
pub async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<()> {
    match change {
        Change::CreateDatabase => Ok(client.create_database().await?),
        Change::CreateExtension { name } => database::create_extension(name, client).await,
        Change::Migration(change) => Ok(migrations::apply(change, client, run).await?),
        Change::Role(change) => Ok(roles::apply(change, client, run).await?),
        Change::Rows(change) => Ok(rows::apply(change, client, run).await?),
    }
}
