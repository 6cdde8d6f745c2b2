//! Executes one change. Each looks at the database again as it acts, so that running it twice, or
//! again after being killed in the middle, ends the same.

use super::{
    Client, Pending, Repeating, Result, RoleChange, RowsChange, UserChange, database, migrations, roles,
    rows, users,
};
use std::sync::Arc;

use crate::catalog::TableName;
use crate::journal::RunId;

/// One step on the system database, with all that it needs.
#[derive(Debug, Clone)]
pub enum Change {
    /// Makes the database or file.
    CreateDatabase,
    /// Installs an extension.
    CreateExtension { name: String },
    /// Runs a migration.
    Migrate(Box<Pending>),
    /// Runs a repeatable migration.
    Repeat(Box<Repeating>),
    /// Makes or mends a role of the server.
    Role(Box<RoleChange>),
    /// Makes or mends an account.
    User(Box<UserChange>),
    /// Writes rows and takes rows back.
    Rows(Arc<RowsChange>),
}

impl Change {
    /// The table that the change writes rows to.
    pub(super) fn writes(&self) -> Option<TableName> {
        match self {
            Self::CreateDatabase
            | Self::CreateExtension { .. }
            | Self::Migrate(_)
            | Self::Repeat(_)
            | Self::Role(_) => None,
            Self::User(change) => Some(change.table()),
            Self::Rows(change) => change.writes().cloned(),
        }
    }
}

/// Executes one change in the name of a run.
pub async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<()> {
    match change {
        Change::CreateDatabase => client.create_database().await,
        Change::CreateExtension { name } => database::create_extension(name, client).await,
        Change::Migrate(pending) => migrations::apply(pending, client, run).await,
        Change::Repeat(repeating) => migrations::repeat(repeating, client, run).await,
        Change::Role(change) => roles::apply(change, client, run).await,
        Change::User(change) => users::apply(change, client, run).await,
        Change::Rows(change) => rows::apply(change, client, run).await,
    }
}
