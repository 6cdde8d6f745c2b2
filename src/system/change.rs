//! What a plan can change in the system database.

use crate::roles::RoleChange;
use crate::{migrations, rows};

/// An action on the system database.
#[derive(Debug, Clone)]
pub enum Change {
    CreateDatabase,
    CreateExtension {
        name: String,
    },
    Migration(migrations::Change),
    /// Creates or alters a role of the server.
    Role(Box<RoleChange>),
    /// Writes rows and accounts, and deletes owned rows.
    Rows(rows::Change),
}
