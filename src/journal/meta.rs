//! The table `meta`: facts about the bookkeeping as a whole, by key.

use super::{Result, table};
use crate::sql::{Database, Dialect, Transaction, Value};

/// Deletes a key from `meta`.
pub(super) async fn unset(transaction: &mut Transaction, key: &str) -> Result<()> {
    let sql = format!("DELETE FROM {} WHERE key = $1", table(transaction.dialect(), "meta"));
    transaction.execute(&sql, &[Value::from(key)]).await?;
    Ok(())
}

/// Inserts or replaces a key in `meta`.
pub(super) async fn set(transaction: &mut Transaction, key: &str, value: &str) -> Result<()> {
    let sql = upsert(transaction.dialect());
    transaction.execute(&sql, &[Value::from(key), Value::from(value)]).await?;
    Ok(())
}

/// Like [`set`], without a transaction of the caller.
pub(super) async fn set_alone(database: &Database, key: &str, value: &str) -> Result<()> {
    database.execute(&upsert(database.dialect()), &[Value::from(key), Value::from(value)]).await?;
    Ok(())
}

fn upsert(dialect: Dialect) -> String {
    format!(
        "INSERT INTO {} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        table(dialect, "meta")
    )
}
