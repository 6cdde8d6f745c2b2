use super::{Snapshot, postgres, sqlite};
use crate::sql::{Database, Result};

/// The complete schema, except the system schemas and `trueup` of PostgreSQL, and `sqlite_*` and `trueup_*`
/// tables of SQLite. Also omitted are `_sqlx_migrations`, and parts of other objects: partitions, relations
/// of an extension, and shadow tables of a virtual table. Secrets in it are masked.
pub async fn introspect(database: &Database) -> Result<Snapshot> {
    let mut snapshot = match database {
        Database::Postgres(_) => postgres::introspect(database).await,
        Database::Sqlite(_) => sqlite::introspect(database).await,
    }?;
    snapshot.mask_secrets();
    Ok(snapshot)
}
