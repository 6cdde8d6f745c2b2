//! Recorded schemas: a new version whenever the schema of the system or of a target differs from the newest
//! one.

use std::collections::BTreeMap;

use super::{Error, Result, RunId, SYSTEM_SCHEMA, meta, table};
use crate::catalog::{SNAPSHOT_VERSION, Snapshot};
use crate::sql::{Database, Dialect, Row, Value};

/// The key in `meta` that exists from before a run's first migration until the resulting schema is
/// recorded. It remains after a kill in between.
pub(super) const CHANGING: &str = "schema_changing";

/// Marks the recorded schema of the system as outdated, because a migration is about to change it.
pub async fn mark_schema_changing(database: &Database, run: &RunId) -> Result<()> {
    meta::set_alone(database, CHANGING, run.as_str()).await
}

/// Records a schema as the newest version of its owner, unless it equals the newest one.
pub async fn record(database: &Database, run: &RunId, owner: &str, snapshot: &Snapshot) -> Result<()> {
    let table = table(database.dialect(), "snapshots");
    let unreadable =
        |error: serde_json::Error| Error::Unreadable { what: format!("snapshot of {owner}: {error}") };
    let content = serde_json::to_string(snapshot).map_err(unreadable)?;
    let digest = snapshot.digest();
    let mut transaction = database.begin().await?;
    let newest =
        format!("SELECT version, digest FROM {table} WHERE owner = $1 ORDER BY version DESC LIMIT 1");
    let rows = transaction.query(&newest, &[Value::from(owner)]).await?;
    let (version, recorded) = match rows.first() {
        Some(row) => (row.integer(0)?, Some(row.text(1)?)),
        None => (0, None),
    };
    if owner == SYSTEM_SCHEMA {
        meta::unset(&mut transaction, CHANGING).await?;
    }
    if recorded == Some(digest.as_str()) {
        transaction.commit().await?;
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO {table} (owner, version, digest, taken_at, run, content) VALUES ($1, $2, $3, $4, $5, $6)"
    );
    let values = [
        Value::from(owner),
        Value::from(version + 1),
        Value::from(digest.as_str()),
        Value::from(super::runs::now()),
        Value::from(run.as_str()),
        Value::from(content),
    ];
    transaction.execute(&insert, &values).await?;
    transaction.commit().await?;
    Ok(())
}

/// The query for the newest version of every owner, which is `system` or `target.NAME`.
pub(super) fn newest(dialect: Dialect) -> String {
    let table = table(dialect, "snapshots");
    format!(
        "SELECT owner, content FROM {table} AS s \
         WHERE version = (SELECT max(version) FROM {table} AS o WHERE o.owner = s.owner) ORDER BY owner"
    )
}

/// Parses the rows of that query into schemas by owner.
pub(super) fn read(rows: &[Row]) -> Result<BTreeMap<String, Snapshot>> {
    let schema = |row: &Row| {
        let owner = row.text(0)?.to_owned();
        let unreadable =
            |error: serde_json::Error| Error::Unreadable { what: format!("snapshot of {owner}: {error}") };
        let mut snapshot: Snapshot = serde_json::from_str(row.text(1)?).map_err(unreadable)?;
        if snapshot.version > SNAPSHOT_VERSION {
            return Err(Error::TooNew { found: i64::from(snapshot.version) });
        }
        // Those of version 0.1.0 still have them.
        snapshot.mask_secrets();
        Ok((owner, snapshot))
    };
    rows.iter().map(schema).collect()
}
