//! What bounds the statements of a run on a server: none waits for a lock without end.

use std::time::Duration;

use crate::sql::{self, Dialect, Transaction};

/// What bounds a statement of a migration, on a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may wait for a lock.
    pub lock: Duration,
    /// How long it may run; zero for ever.
    pub statement: Duration,
}

impl Limits {
    /// The statements that set them for a session, or with `LOCAL ` for a transaction.
    pub(crate) fn set(self, scope: &str) -> String {
        format!(
            "SET {scope}lock_timeout = {}; SET {scope}statement_timeout = {}",
            self.lock.as_millis(),
            self.statement.as_millis()
        )
    }
}

/// Waits for no lock for ever, and sees what others committed meanwhile, however the database is set.
/// Migrations have limits of their own, from the spec.
pub(crate) async fn limit(transaction: &mut Transaction) -> sql::Result<()> {
    const LIMITS: [&str; 2] =
        ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET LOCAL lock_timeout = '30s'"];
    match transaction.dialect() {
        Dialect::Postgres => transaction.execute_each(&LIMITS.map(str::to_owned)).await,
        Dialect::Sqlite => Ok(()),
    }
}
