//! Relational databases behind one small door: open, query, execute, transaction. Rows come back
//! as text, parameters are always bound, secrets in statements are not shown. Knows dialects, not what a
//! stack is.

mod blocking;
mod guard;
mod many;
mod mentioned;
mod open;
mod pool;
mod quote;
mod secrets;
mod session;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Sqlite, SqlitePool};

use crate::redact::redact;

pub(crate) use blocking::{COLUMNS as COLUMNS_OF_SESSIONS, named as named_sessions};
pub use guard::{Guard, Listener, Wait, telling};
pub use many::{OF_CATALOGS, folded, unfolded};
pub use mentioned::tables_mentioned;
pub(crate) use open::address;
pub use open::{
    Interrupt, PostgresOptions, SqliteMode, open_postgres, open_sqlite, open_sqlite_to_read,
    open_sqlite_with, sqlite_options,
};
pub(crate) use pool::goes_on;
pub use pool::{Held, Pool};
pub use quote::identifier;
pub use secrets::{blotted, masked, says_secret, secrets, without_secrets};
pub(crate) use session::{connect_again, end_with_the_client, postgres_options};
pub use value::{Row, Value};

/// The dialects of SQL that the system database may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// PostgreSQL 12 or later.
    Postgres,
    Sqlite,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        })
    }
}

/// What went wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be opened. The address has no password in it.
    #[error("cannot connect to {address}: {}", said(cause))]
    Connect {
        /// `host:port/database`, or the path of a file.
        address: String,
        /// What the driver says; no source, because the message has all of it.
        cause: Box<sqlx::Error>,
    },
    /// It answers, and lacks what every later statement relies on.
    #[error(
        "PostgreSQL {version} at {address} is too old: {} is the oldest that trueup works with",
        open::OLDEST
    )]
    TooOld {
        /// `host:port/database`.
        address: String,
        version: String,
    },
    /// A statement failed.
    #[error("{}{}", said(cause), in_vain(waited.as_deref()))]
    Statement {
        /// The statement, with placeholders.
        sql: String,
        /// What the database says; no source, because the message has all of it.
        cause: Box<sqlx::Error>,
        /// The sessions that held for too long what it needs.
        waited: Option<String>,
    },
    /// What was prepared is not there, or there already: another client's session answers.
    #[error(
        "the address leads to a pooler in transaction mode, which mixes up prepared statements; \
         give it that of PostgreSQL itself, or of a pool in session mode"
    )]
    Pooler,
    /// A value came back in a type that was not expected: a defect of the query.
    #[error("column {column} of a result has the unexpected type {kind}")]
    Decode {
        /// Counted from 0.
        column: usize,
        /// The database's name of the type.
        kind: String,
    },
    /// A value that must be there is NULL or missing: a defect of the query.
    #[error("column {0} of a result is empty")]
    Empty(usize),
}

fn in_vain(waited: Option<&str>) -> String {
    waited.map(|on| format!("; it waited for {on}")).unwrap_or_default()
}

/// What the database says. The driver would add the line of the server's own source code, and says of a
/// connection that ended how many bytes it still expected.
pub(crate) fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(cause) if cause.kind() == ErrorKind::TimedOut => {
            "the connection was lost: the server does not answer on it any more".to_owned()
        }
        sqlx::Error::Io(_) if is_lost(error) => "the connection was lost".to_owned(),
        _ => {
            let said = error
                .as_database_error()
                .map_or_else(|| error.to_string(), |error| error.message().to_owned());
            redact(&said).into_owned()
        }
    }
}

/// What to do after a lost connection.
pub(crate) const HELP_OF_LOST: &str = "the server, or something on the way to it, ended the connection; run the same command again: it goes on \
     from what is there";

/// What to do about a server that cannot be connected to.
pub(crate) const HELP_OF_NO_CONNECTION: &str =
    "check that it runs and that `system.url` names it; the password is not shown here";

/// Whether the connection ended, or stopped answering, before the answer was there.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    // Ended by an administrator, by a crash of another session, or by a timeout of idle sessions.
    const ENDED: [&str; 5] = ["57P01", "57P02", "57P05", "25P03", "08006"];
    match error {
        sqlx::Error::Io(cause) => matches!(
            cause.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
                | ErrorKind::TimedOut
        ),
        error => {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            code.is_some_and(|code| ENDED.contains(&&*code))
        }
    }
}

/// The disk is full: PostgreSQL, SQLite.
pub(crate) const FULL: [&str; 2] = ["53100", "13"];
/// What to do then.
pub(crate) const FULL_HELP: &str = "make room on the disk of the database, and run it again";

/// Whether what was prepared is not there, or there already: another client's session answers.
pub(crate) fn is_mixed_up(error: &sqlx::Error) -> bool {
    // A duplicate prepared statement, or none of that name.
    const MIXED_UP: [&str; 2] = ["42P05", "26000"];
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| MIXED_UP.contains(&&*code))
}

impl Error {
    pub(crate) fn statement(sql: &str, source: sqlx::Error) -> Self {
        if is_mixed_up(&source) {
            return Self::Pooler;
        }
        Self::Statement { sql: sql.to_owned(), cause: Box::new(source), waited: None }
    }

    /// The same error of a statement that waited for sessions in vain.
    fn after_waiting(self, on: Option<String>) -> Self {
        match self {
            Self::Statement { sql, cause, waited: _ } => Self::Statement { sql, cause, waited: on },
            other => other,
        }
    }

    /// Advice for the user, for errors whose code has some.
    pub(crate) fn help(&self) -> Option<&'static str> {
        // A lock that was not to be had in time: PostgreSQL, and the kinds of SQLite.
        match self.code().as_deref()? {
            code if FULL.contains(&code) => Some(FULL_HELP),
            "55P03" => Some(
                "another session holds a lock on it: let its transaction end, or end it with `SELECT \
                 pg_terminate_backend(PID)`, then run the same command again",
            ),
            "5" | "6" | "261" | "262" | "517" | "773" => Some(
                "another process has the file locked (`fuser FILE` names it): let it end, then run the same \
                 command again",
            ),
            _ => None,
        }
    }

    /// Advice for the user where the server does not answer at all, whatever was asked of it.
    pub(crate) fn help_of_connection(&self) -> Option<&'static str> {
        // The server starts or stops.
        const NOT_READY: &str = "57P03";
        match self {
            _ if self.is_lost() => Some(HELP_OF_LOST),
            Self::Connect { .. } if self.code().is_none_or(|code| code == NOT_READY) => {
                Some(HELP_OF_NO_CONNECTION)
            }
            _ => None,
        }
    }

    /// Whether the connection ended before the answer was there.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Connect { cause, .. } | Self::Statement { cause, .. } => is_lost(cause),
            Self::TooOld { .. } | Self::Pooler | Self::Decode { .. } | Self::Empty(_) => false,
        }
    }

    /// The database's code: an SQLSTATE of PostgreSQL, an extended result code of SQLite.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Connect { cause, .. } | Self::Statement { cause, .. } => {
                cause.as_database_error().and_then(sqlx::error::DatabaseError::code).map(Cow::into_owned)
            }
            Self::TooOld { .. } | Self::Pooler | Self::Decode { .. } | Self::Empty(_) => None,
        }
    }
}

/// The result of anything asked of a database.
pub type Result<T> = std::result::Result<T, Error>;

/// An open database: its connections.
#[derive(Debug, Clone)]
pub enum Database {
    Postgres(Pool),
    Sqlite(SqlitePool),
}

impl Database {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// All rows of a query. Cast what is not text, an integer or a boolean to text in the query.
    /// Parameters are written `$1`, `$2`, … in both dialects.
    pub async fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        match self {
            Self::Postgres(pool) => {
                let failed = |error| Error::statement(sql, error);
                let mut held = pool.take().await.map_err(failed)?;
                let (guard, mut waited) = (Guard::of(&held), None);
                let answer = guard.during_with(query_postgres(&mut held, sql, values), &mut waited).await;
                let answer = held.give_back(answer).map_err(|error| failed(error).after_waiting(waited))?;
                answer.iter().map(value::read_postgres).collect()
            }
            Self::Sqlite(pool) => query_sqlite(pool, sql, values).await,
        }
    }

    /// Executes one statement and gives the number of rows that it touched.
    pub async fn execute(&self, sql: &str, values: &[Value]) -> Result<u64> {
        match self {
            Self::Postgres(pool) => {
                let failed = |error| Error::statement(sql, error);
                let mut held = pool.take().await.map_err(failed)?;
                let (guard, mut waited) = (Guard::of(&held), None);
                let answer = guard.during_with(execute_postgres(&mut held, sql, values), &mut waited).await;
                held.give_back(answer).map_err(|error| failed(error).after_waiting(waited))
            }
            Self::Sqlite(pool) => execute_sqlite(pool, sql, values).await,
        }
    }

    /// Begins a transaction that means to write. It is rolled back when dropped.
    pub async fn begin(&self) -> Result<Transaction> {
        const BEGIN: &str = "BEGIN";
        const IMMEDIATE: &str = "BEGIN IMMEDIATE";
        match self {
            Self::Postgres(pool) => {
                let begin = async {
                    let mut held = pool.take().await?;
                    Guard::of(&held).during(sqlx::raw_sql(BEGIN).execute(&mut *held)).await?;
                    Ok(Transaction::Postgres(held))
                };
                begin.await.map_err(|error| Error::statement(BEGIN, error))
            }
            // Immediate, because a read lock that must become a write lock can only fail.
            Self::Sqlite(pool) => pool
                .begin_with(IMMEDIATE)
                .await
                .map(Transaction::Sqlite)
                .map_err(|error| Error::statement(IMMEDIATE, error)),
        }
    }

    /// Closes every connection; a file can be moved or read by others afterwards.
    pub async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

/// An open transaction.
#[derive(Debug)]
pub enum Transaction {
    Postgres(Held),
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

impl Transaction {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// As [`Database::query`].
    pub async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        match self {
            Self::Postgres(held) => {
                let (guard, mut waited) = (Guard::of(held), None);
                let rows = guard.during_with(query_postgres(held, sql, values), &mut waited).await;
                let rows = rows.map_err(|error| Error::statement(sql, error).after_waiting(waited))?;
                rows.iter().map(value::read_postgres).collect()
            }
            Self::Sqlite(transaction) => query_sqlite(&mut **transaction, sql, values).await,
        }
    }

    /// As [`Database::execute`].
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        match self {
            Self::Postgres(held) => {
                let (guard, mut waited) = (Guard::of(held), None);
                let done = guard.during_with(execute_postgres(held, sql, values), &mut waited).await;
                done.map_err(|error| Error::statement(sql, error).after_waiting(waited))
            }
            Self::Sqlite(transaction) => execute_sqlite(&mut **transaction, sql, values).await,
        }
    }

    pub async fn commit(self) -> Result<()> {
        const COMMIT: &str = "COMMIT";
        let committed = match self {
            Self::Postgres(mut held) => {
                let answer = Guard::of(&held).during(sqlx::raw_sql(COMMIT).execute(&mut *held)).await;
                held.give_back(answer).map(|_| ())
            }
            Self::Sqlite(transaction) => transaction.commit().await,
        };
        committed.map_err(|error| Error::statement(COMMIT, error))
    }
}

async fn query_postgres(
    connection: &mut PgConnection,
    sql: &str,
    values: &[Value],
) -> sqlx::Result<Vec<PgRow>> {
    let query = values.iter().fold(sqlx::query(AssertSqlSafe(sql)), value::bind_postgres);
    query.fetch_all(connection).await
}

async fn query_sqlite<'c, E>(executor: E, sql: &str, values: &[Value]) -> Result<Vec<Row>>
where
    E: sqlx::Executor<'c, Database = Sqlite>,
{
    let query = values.iter().fold(sqlx::query(AssertSqlSafe(sql)), value::bind_sqlite);
    let rows = query.fetch_all(executor).await.map_err(|error| Error::statement(sql, error))?;
    rows.iter().map(value::read_sqlite).collect()
}

async fn execute_postgres(connection: &mut PgConnection, sql: &str, values: &[Value]) -> sqlx::Result<u64> {
    let query = values.iter().fold(sqlx::query(AssertSqlSafe(sql)), value::bind_postgres);
    Ok(query.execute(connection).await?.rows_affected())
}

async fn execute_sqlite<'c, E>(executor: E, sql: &str, values: &[Value]) -> Result<u64>
where
    E: sqlx::Executor<'c, Database = Sqlite>,
{
    let query = values.iter().fold(sqlx::query(AssertSqlSafe(sql)), value::bind_sqlite);
    let done = query.execute(executor).await.map_err(|error| Error::statement(sql, error))?;
    Ok(done.rows_affected())
}
