//! Runs one migration the way sqlx does, on a connection of its own, and finds the statement that
//! failed. Takes no lock: the caller holds the run's.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;
use sqlx::migrate::{Migrate, MigrateError, MigrationType};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr as _};

use super::super::client::Client;
use super::super::script::Script;
use super::super::{Error, Result};
use super::{Pending, TABLE, asserted, is_same_text};
use crate::digest::hex;
use crate::lint;
use crate::sql::{self, Database, Dialect};

/// Runs a migration, unless the history has it.
pub(in super::super) async fn apply(pending: &Pending, client: &Client) -> Result<()> {
    let database = client.database().await?;
    let connect = |source| Error::doing("running a migration")(sql::Error::statement("", source));
    let applied = match &database {
        Database::Postgres(pool) => {
            // Detached, so that its timeouts do not go back into the pool.
            let mut connection = pool.acquire().await.map_err(connect)?.detach();
            let limits = format!(
                "SET lock_timeout = {}; SET statement_timeout = {}",
                pending.lock_timeout.as_millis(),
                pending.statement_timeout.as_millis()
            );
            sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut connection).await.map_err(connect)?;
            let applied = run(&mut connection, pending, Dialect::Postgres).await;
            // The session ends here in any case; what it says on leaving matters to nobody.
            drop(connection.close().await);
            applied
        }
        Database::Sqlite(pool) => {
            let mut connection = pool.acquire().await.map_err(connect)?;
            run(&mut *connection, pending, Dialect::Sqlite).await
        }
    };
    client.forget_catalog().await;
    applied
}

async fn run<C>(connection: &mut C, pending: &Pending, dialect: Dialect) -> Result<()>
where
    C: Migrate + Connection,
    C::Database: sqlx::Database<Connection = C>,
    for<'e> &'e mut C: Executor<'e, Database = C::Database>,
{
    let file = &pending.migration;
    let history = |source| Error::Statement {
        what: "reading the history of migrations".into(),
        source: sql::Error::statement("", sqlx::Error::from(source)),
    };
    connection.ensure_migrations_table(TABLE).await.map_err(history)?;
    let applied = connection.list_applied_migrations(TABLE).await.map_err(history)?;
    if let Some(applied) = applied.iter().find(|applied| applied.version == file.version) {
        let applied = hex(&applied.checksum);
        return if is_same_text(&applied, file) {
            Ok(())
        } else {
            Err(Error::History { stem: file.stem.clone(), applied, file: hex(&file.checksum) })
        };
    }
    let assertions = lint::assertions(&file.sql, dialect);
    if !assertions.is_empty() {
        return asserted::run(connection, pending, &assertions, dialect).await.map_err(|error| match error {
            asserted::Failure::Statement(error, byte, statement) => {
                failure(pending, &error, Some((byte, statement)))
            }
            asserted::Failure::Asserted(error) => error,
        });
    }
    let migration = sqlx::migrate::Migration {
        version: file.version,
        description: Cow::Owned(file.description.clone()),
        migration_type: MigrationType::Simple,
        sql: AssertSqlSafe(file.sql.clone()).into_sql_str(),
        checksum: Cow::Owned(file.checksum.clone()),
        no_tx: file.no_transaction,
    };
    match connection.apply(TABLE, &migration).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let script = Script::read(&file.sql, dialect);
            let place = match position(&error, &file.sql) {
                Some(byte) => Some((byte, script.statement_at(byte).cloned())),
                None => culprit(connection, pending, &script).await.map(|found| (found.start, Some(found))),
            };
            Err(failure(pending, &error, place))
        }
    }
}

/// The byte that PostgreSQL names in its error; it counts characters from 1.
fn position(error: &MigrateError, sql: &str) -> Option<usize> {
    let MigrateError::ExecuteMigration(error, _) = error else { return None };
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    match error.position()? {
        PgErrorPosition::Original(character) => {
            sql.char_indices().nth(character.saturating_sub(1)).map(|(byte, _)| byte)
        }
        PgErrorPosition::Internal { .. } => None,
    }
}

/// The statement that fails, where the database did not say: found by running them once more, one
/// by one, in a transaction that is rolled back as the whole migration was.
async fn culprit<C>(connection: &mut C, pending: &Pending, script: &Script) -> Option<Range<usize>>
where
    C: Connection,
    C::Database: sqlx::Database<Connection = C>,
    for<'e> &'e mut C: Executor<'e, Database = C::Database>,
{
    if let [only] = script.statements.as_slice() {
        return Some(only.clone());
    }
    if pending.migration.no_transaction {
        return None;
    }
    let mut transaction = connection.begin().await.ok()?;
    let mut found = None;
    for range in &script.statements {
        let statement = pending.migration.sql.get(range.clone()).unwrap_or("").to_owned();
        if (&mut *transaction).execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.is_err() {
            found = Some(range.clone());
            break;
        }
    }
    transaction.rollback().await.ok()?;
    found
}

fn failure(pending: &Pending, error: &MigrateError, place: Option<(usize, Option<Range<usize>>)>) -> Error {
    let file = &pending.migration;
    let (byte, range) = place.unwrap_or((0, None));
    let range = range.unwrap_or(byte..byte);
    let before = file.sql.get(..byte).unwrap_or("");
    Error::Migration {
        stem: file.stem.clone(),
        line: before.matches('\n').count() + 1,
        statement: file.sql.get(range.clone()).unwrap_or("").to_owned(),
        text: Arc::new(NamedSource::new(file.at.source.name(), file.sql.clone())),
        span: range.into(),
        message: said(error),
    }
}

/// What the database says, without the driver's words around it.
fn said(error: &MigrateError) -> String {
    let inner = match error {
        MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => inner,
        other => return other.to_string(),
    };
    inner.as_database_error().map_or_else(|| inner.to_string(), |error| error.message().to_owned())
}
