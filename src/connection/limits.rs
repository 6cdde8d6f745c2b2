//! Time limits of statements, so that none waits for a lock without end.

use std::time::Duration;

use crate::sql::{self, Dialect, Transaction};

/// Time limits of a migration's statements on a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a statement may wait for a lock.
    pub lock: Duration,
    /// How long a statement may run; zero for no limit.
    pub statement: Duration,
}

impl Limits {
    /// The statements that set the limits for a session, or with `LOCAL ` for a transaction.
    pub(crate) fn set(self, scope: &str) -> String {
        format!(
            "SET {scope}lock_timeout = {}; SET {scope}statement_timeout = {}",
            self.lock.as_millis(),
            self.statement.as_millis()
        )
    }
}

/// Sets a lock timeout and READ COMMITTED, whatever the defaults of the database are. Migrations have
/// limits of their own, from the spec.
pub(crate) async fn limit(transaction: &mut Transaction) -> sql::Result<()> {
    const LIMITS: [&str; 2] =
        ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET LOCAL lock_timeout = '30s'"];
    match transaction.dialect() {
        Dialect::Postgres => transaction.execute_each(&LIMITS.map(str::to_owned)).await,
        Dialect::Sqlite => Ok(()),
    }
}
