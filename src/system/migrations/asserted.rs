//! Assertions of migrations: asked read-only when the world is observed, and once more in the
//! migration's own transaction, right before the statement that relies on them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::super::script::Script;
use super::super::{Desired, Error, Result};
use super::{Applied, Pending, TABLE};
use crate::catalog::TableName;
use crate::digest::hex;
use crate::lint::{self, Assertion, Emptiness};
use crate::spec::Migration;
use crate::sql::{Database, Dialect};

/// PostgreSQL says this of a table that may not be read.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Whether the tables that pending migrations assert to be empty are. One that may not be read is
/// left out: nobody has looked.
pub(in super::super) async fn observe(
    desired: &Desired,
    applied: Option<&[Applied]>,
    database: &Database,
) -> Result<BTreeMap<TableName, Emptiness>> {
    let is_applied =
        |file: &Migration| applied.unwrap_or_default().iter().any(|applied| applied.version == file.version);
    let mut verdicts = BTreeMap::new();
    for file in desired.migrations.iter().filter(|file| !is_applied(file)) {
        for Assertion { table, .. } in lint::assertions(&file.sql, desired.dialect) {
            if verdicts.contains_key(&table) {
                continue;
            }
            if let Some(verdict) = look(&table, database).await? {
                verdicts.insert(table, verdict);
            }
        }
    }
    Ok(verdicts)
}

async fn look(table: &TableName, database: &Database) -> Result<Option<Emptiness>> {
    let failed = || Error::doing(format!("asking whether {table} is empty"));
    if database.query(&exists(table, database.dialect()), &[]).await.map_err(failed())?.is_empty() {
        return Ok(Some(Emptiness::Missing));
    }
    match database.query(&any_row(table), &[]).await {
        Ok(rows) if rows.is_empty() => Ok(Some(Emptiness::Empty)),
        Ok(_) => Ok(Some(Emptiness::NotEmpty)),
        Err(error) if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) => Ok(None),
        Err(error) => Err(failed()(error)),
    }
}

/// One row when there is such a table.
fn exists(table: &TableName, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => format!("SELECT 1 WHERE to_regclass({}) IS NOT NULL", literal(&table.quoted())),
        Dialect::Sqlite => format!(
            "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = {} COLLATE NOCASE",
            literal(&table.name)
        ),
    }
}

/// One row when there is one; its values are not read.
fn any_row(table: &TableName) -> String {
    format!("SELECT 1 FROM {} LIMIT 1", table.quoted())
}

/// One row when the table can be locked: a foreign one or a view cannot.
fn lockable(table: &TableName) -> String {
    let table = literal(&table.quoted());
    format!("SELECT 1 FROM pg_class WHERE oid = to_regclass({table}) AND relkind IN ('r', 'p')")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Why a migration with assertions did not run.
pub(super) enum Failure {
    /// A statement failed, at this byte of the file.
    Statement(MigrateError, usize, Option<Range<usize>>),
    /// An assertion does not hold any more.
    Asserted(Error),
}

/// Runs a migration that has assertions, statement by statement, and records it as sqlx does: in
/// the same transaction, where it has one.
pub(super) async fn run<C>(
    connection: &mut C,
    pending: &Pending,
    assertions: &[Assertion],
    dialect: Dialect,
) -> std::result::Result<(), Failure>
where
    C: Connection,
    C::Database: sqlx::Database<Connection = C>,
    for<'e> &'e mut C: Executor<'e, Database = C::Database>,
{
    let whole = |error: sqlx::Error| {
        Failure::Statement(MigrateError::ExecuteMigration(error, pending.migration.version), 0, None)
    };
    if pending.migration.no_transaction {
        return statements(connection, pending, assertions, dialect).await;
    }
    let mut transaction = connection.begin().await.map_err(whole)?;
    // Dropped with an error, it is rolled back.
    statements(&mut *transaction, pending, assertions, dialect).await?;
    transaction.commit().await.map_err(whole)
}

async fn statements<C>(
    connection: &mut C,
    pending: &Pending,
    assertions: &[Assertion],
    dialect: Dialect,
) -> std::result::Result<(), Failure>
where
    C: Connection,
    C::Database: sqlx::Database<Connection = C>,
    for<'e> &'e mut C: Executor<'e, Database = C::Database>,
{
    let started = Instant::now();
    let file = &pending.migration;
    for statement in Script::read(&file.sql, dialect).statements {
        let failed = |error: sqlx::Error| {
            let byte = statement.start + position(&error, file.sql.get(statement.clone()).unwrap_or(""));
            let error = MigrateError::ExecuteMigration(error, file.version);
            Failure::Statement(error, byte, Some(statement.clone()))
        };
        for assertion in assertions.iter().filter(|assertion| assertion.statement == statement) {
            if !holds(connection, &assertion.table, file, dialect).await.map_err(failed)? {
                return Err(Failure::Asserted(broken(file, assertion)));
            }
        }
        let sql = file.sql.get(statement.clone()).unwrap_or("").to_owned();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(failed)?;
    }
    let checksum = hex(&file.checksum);
    let checksum = match dialect {
        Dialect::Postgres => format!("decode('{checksum}', 'hex')"),
        Dialect::Sqlite => format!("X'{checksum}'"),
    };
    let record = format!(
        "INSERT INTO {TABLE} (version, description, success, checksum, execution_time) \
         VALUES ({}, {}, TRUE, {checksum}, {})",
        file.version,
        literal(&file.description),
        started.elapsed().as_nanos()
    );
    let recorded = connection.execute(sqlx::raw_sql(AssertSqlSafe(record))).await;
    recorded
        .map(|_| ())
        .map_err(|error| Failure::Statement(MigrateError::ExecuteMigration(error, file.version), 0, None))
}

/// Whether a table is empty or missing. In a transaction nobody can write to it from here on.
async fn holds<C>(
    connection: &mut C,
    table: &TableName,
    file: &Migration,
    dialect: Dialect,
) -> std::result::Result<bool, sqlx::Error>
where
    C: Connection,
    C::Database: sqlx::Database<Connection = C>,
    for<'e> &'e mut C: Executor<'e, Database = C::Database>,
{
    let ask = |sql: String| sqlx::raw_sql(AssertSqlSafe(sql));
    if connection.fetch_optional(ask(exists(table, dialect))).await?.is_none() {
        return Ok(true);
    }
    let locks = dialect == Dialect::Postgres && !file.no_transaction;
    if locks && connection.fetch_optional(ask(lockable(table))).await?.is_some() {
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.quoted());
        connection.execute(ask(lock)).await?;
    }
    Ok(connection.fetch_optional(ask(any_row(table))).await?.is_none())
}

fn broken(file: &Migration, assertion: &Assertion) -> Error {
    let Assertion { statement, table } = assertion;
    let name = file.at.source.name();
    Error::Asserted {
        stem: file.stem.clone(),
        line: file.sql.get(..statement.start).unwrap_or("").matches('\n').count() + 1,
        table: table.to_string(),
        text: std::sync::Arc::new(miette::NamedSource::new(name, file.sql.clone())),
        file: name.to_owned(),
        span: statement.clone().into(),
    }
}

/// The byte of a statement that PostgreSQL names in its error; it counts characters from 1.
fn position(error: &sqlx::Error, statement: &str) -> usize {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match error.and_then(PgDatabaseError::position) {
        Some(PgErrorPosition::Original(character)) => {
            statement.char_indices().nth(character.saturating_sub(1)).map_or(0, |(byte, _)| byte)
        }
        Some(PgErrorPosition::Internal { .. }) | None => 0,
    }
}
