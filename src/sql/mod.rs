//! Access to relational databases: open, query, execute, transaction. Rows are returned as text, parameters
//! are always bound, and secrets in statements are masked. Also the one lexer of SQL.

mod blocking;
mod guard;
pub(crate) mod lexer;
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
pub use guard::{Guard, Listener, Wait, with_listener};
pub use many::{OF_CATALOGS, folded, unfolded};
pub use mentioned::tables_mentioned;
pub(crate) use open::address;
pub use open::{
    Interrupt, PostgresOptions, SqliteMode, open_postgres, open_sqlite, open_sqlite_to_read,
    open_sqlite_with, sqlite_options,
};
pub use pool::{Held, Pool};
pub use quote::identifier;
pub use secrets::{FileTables, masked, masked_same_length, masked_value, says_secret, secrets};
pub(crate) use session::{connect_again, end_with_the_client, is_usable_after, postgres_options};
pub use value::{Row, Value};

/// The SQL dialects that the system database supports.
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

/// Errors of a database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be opened. The address contains no password.
    #[error("cannot connect to {address}: {}", error_message(cause))]
    Connect {
        /// `host:port/database`, or the path of a file.
        address: String,
        /// Not a `source`, because the message contains all of it.
        cause: Box<sqlx::Error>,
    },
    /// The server's version lacks features that later statements need.
    #[error(
        "PostgreSQL {version} at {address} is too old: {} is the oldest that trueup works with",
        open::OLDEST
    )]
    TooOld { address: String, version: String },
    /// A statement failed.
    #[error("{}{}", error_message(cause), in_vain(waited.as_deref()))]
    Statement {
        /// The statement, with placeholders.
        sql: String,
        /// Not a `source`, because the message contains all of it.
        cause: Box<sqlx::Error>,
        /// The sessions that blocked the statement until it timed out.
        waited: Option<String>,
    },
    /// A prepared statement is missing or exists already, because a pooler switched to another
    /// session.
    #[error(
        "the address leads to a pooler in transaction mode, which mixes up prepared statements; \
         give it that of PostgreSQL itself, or of a pool in session mode"
    )]
    Pooler,
    /// A value has an unexpected type, because of an error in the query.
    #[error("column {column} of a result has the unexpected type {kind}")]
    Decode {
        /// Counts from 0.
        column: usize,
        /// The database's name of the type.
        kind: String,
    },
    /// A required value is NULL or missing, because of an error in the query.
    #[error("column {0} of a result is empty")]
    Empty(usize),
}

fn in_vain(waited: Option<&str>) -> String {
    waited.map(|on| format!("; it waited for {on}")).unwrap_or_default()
}

/// The error message, with secrets redacted. Replaces the driver's own formatting, which adds the line of
/// the server's source code, and for a lost connection the number of expected bytes.
pub(crate) fn error_message(error: &sqlx::Error) -> String {
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

/// The help text for a lost connection.
pub(crate) const HELP_OF_LOST: &str = "the server, or something on the way to it, ended the connection; run the same command again: it goes on \
     from what is there";

/// The help text for a server that cannot be reached.
pub(crate) const HELP_OF_NO_CONNECTION: &str =
    "check that it runs and that `system.url` names it; the password is not shown here";

/// Whether the connection was lost, or stopped responding, before the response.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    // Ended by an administrator, by a crash of another session, or by an idle timeout.
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

/// The codes for a full disk: PostgreSQL, SQLite.
pub(crate) const FULL: [&str; 2] = ["53100", "13"];
pub(crate) const FULL_HELP: &str = "make room on the disk of the database, and run it again";

/// Whether a prepared statement is missing or exists already, because a pooler switched to another
/// session.
pub(crate) fn is_mixed_up(error: &sqlx::Error) -> bool {
    // Duplicate prepared statement; unknown prepared statement.
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

    /// Adds the sessions that the statement waited for.
    fn after_waiting(self, on: Option<String>) -> Self {
        match self {
            Self::Statement { sql, cause, waited: _ } => Self::Statement { sql, cause, waited: on },
            other => other,
        }
    }

    /// The help text for error codes that have one.
    pub(crate) fn help(&self) -> Option<&'static str> {
        // A lock timeout: of PostgreSQL, and the variants of SQLite.
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

    /// The help text where the server does not respond at all, whatever the statement was.
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

    /// Whether the connection was lost before the response.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Connect { cause, .. } | Self::Statement { cause, .. } => is_lost(cause),
            Self::TooOld { .. } | Self::Pooler | Self::Decode { .. } | Self::Empty(_) => false,
        }
    }

    /// The error code: an SQLSTATE of PostgreSQL, or an extended result code of SQLite.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Connect { cause, .. } | Self::Statement { cause, .. } => {
                cause.as_database_error().and_then(sqlx::error::DatabaseError::code).map(Cow::into_owned)
            }
            Self::TooOld { .. } | Self::Pooler | Self::Decode { .. } | Self::Empty(_) => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// The connections to an open database.
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

    /// Returns all rows of a query. Values other than text, integers and booleans must be cast to text in
    /// the query. Parameters are written `$1`, `$2`, … in both dialects.
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

    /// Executes one statement and returns the number of affected rows.
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

    /// Begins a transaction that writes. Dropping it rolls it back.
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
            // IMMEDIATE, because upgrading a read lock to a write lock can fail.
            Self::Sqlite(pool) => pool
                .begin_with(IMMEDIATE)
                .await
                .map(Transaction::Sqlite)
                .map_err(|error| Error::statement(IMMEDIATE, error)),
        }
    }

    /// Closes every connection. After that, a file can be moved or opened by others.
    pub async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

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
