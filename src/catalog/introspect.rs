//! Reads the schema of a database, in a constant number of round trips.

use super::{Snapshot, postgres, sqlite};
use crate::sql::{Database, Result};

/// The whole schema: every schema of PostgreSQL but the system's own and `trueup`, every table of
/// SQLite but `sqlite_*` and `trueup_*`. The table `_sqlx_migrations` is left out too, and so is
/// what is only the inside of something else: partitions, relations of an extension, the shadow
/// tables of a virtual table.
pub async fn introspect(database: &Database) -> Result<Snapshot> {
    match database {
        Database::Postgres(_) => postgres::introspect(database).await,
        Database::Sqlite(_) => sqlite::introspect(database).await,
    }
}
