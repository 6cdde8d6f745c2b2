//! Assertions of migrations that a table is empty. They are checked read-only when the stores are observed,
//! and again in the migration's own transaction, right before the statement that relies on them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{Applied, Desired, Error, Job, Result};
use crate::catalog::TableName;
use crate::connection::{Failed, Session};
use crate::lint::script::Script;
use crate::lint::{self, Assertion, Emptiness, Missing};
use crate::sql::{self, Database, Dialect};

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Observes whether the tables are empty that pending migrations assert to be. A table that the account may
/// not read is left out.
pub(crate) async fn observe(
    desired: &Desired,
    applied: Option<&[Applied]>,
    database: &Database,
) -> Result<BTreeMap<TableName, Emptiness>> {
    let mut verdicts = BTreeMap::new();
    for sql in pending(desired, applied) {
        for Assertion { table, .. } in lint::assertions(sql, desired.dialect) {
            if verdicts.contains_key(&table) {
                continue;
            }
            if let Some(verdict) = observe_emptiness(&table, database).await? {
                verdicts.insert(table, verdict);
            }
        }
    }
    Ok(verdicts)
}

/// The texts that may run. All repeatable files are included, because the inventory is not
/// available here.
fn pending<'a>(desired: &'a Desired, applied: Option<&'a [Applied]>) -> impl Iterator<Item = &'a str> {
    let applied: BTreeSet<i64> = applied.unwrap_or_default().iter().map(|applied| applied.version).collect();
    let pending = desired.files.iter().filter(move |file| !applied.contains(&file.version));
    let versions = pending.map(|file| file.sql.as_str());
    versions.chain(desired.repeatables.iter().map(|file| file.sql.as_str()))
}

/// Observes which tables and schemas that pending migrations create or drop with `IF [NOT] EXISTS`
/// are missing.
pub(crate) async fn observe_missing(
    desired: &Desired,
    applied: Option<&[Applied]>,
    database: &Database,
) -> Result<Missing> {
    let mut sought = Missing::default();
    for sql in pending(desired, applied) {
        let (tables, schemas) = lint::conditional_names(sql, desired.dialect);
        sought.tables.extend(tables);
        sought.schemas.extend(schemas);
    }
    if sought.is_empty() {
        return Ok(sought);
    }
    let tables = sought.tables.iter().map(|table| format!("('t', {})", literal(&table.quoted())));
    let schemas = sought.schemas.iter().map(|schema| format!("('s', {})", literal(&sql::identifier(schema))));
    let wanted: Vec<String> = tables.chain(schemas).collect();
    // The kind and the quoted name of each that is missing.
    let query = format!(
        "SELECT kind, name FROM (VALUES {}) AS wanted (kind, name) \
         WHERE CASE kind WHEN 't' THEN to_regclass(name) IS NULL ELSE to_regnamespace(name) IS NULL END",
        wanted.join(", ")
    );
    let failed = || Error::doing("looking for what pending migrations make".to_owned());
    let rows = database.query(&query, &[]).await.map_err(failed())?;
    let mut names = BTreeSet::new();
    for row in &rows {
        let text = |at| row.text(at).map(str::to_owned).map_err(failed());
        names.insert((text(0)?, text(1)?));
    }
    let is_missing = |kind: &str, name: String| names.contains(&(kind.to_owned(), name));
    sought.tables.retain(|table| is_missing("t", table.quoted()));
    sought.schemas.retain(|schema| is_missing("s", sql::identifier(schema)));
    Ok(sought)
}

async fn observe_emptiness(table: &TableName, database: &Database) -> Result<Option<Emptiness>> {
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

/// A query that returns a row when the table exists.
fn exists(table: &TableName, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => {
            format!("SELECT '1', NULL WHERE to_regclass({}) IS NOT NULL", literal(&table.quoted()))
        }
        Dialect::Sqlite => format!(
            "SELECT '1', NULL FROM sqlite_master WHERE type IN ('table', 'view') AND name = {} COLLATE NOCASE",
            literal(&table.name)
        ),
    }
}

/// A query that returns a row when the table has any; it reads no values.
fn any_row(table: &TableName) -> String {
    format!("SELECT '1', NULL FROM {} LIMIT 1", table.quoted())
}

/// A query that returns a row when the table can be locked, which a view or foreign table cannot.
fn lockable(table: &TableName) -> String {
    let table = literal(&table.quoted());
    format!("SELECT '1', NULL FROM pg_class WHERE oid = to_regclass({table}) AND relkind IN ('r', 'p')")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Why a migration with assertions failed.
pub(super) enum RunError {
    /// The statement at this range failed.
    Statement(Failed, Range<usize>),
    /// An assertion does not hold.
    Asserted(Error),
}

/// Runs a file in the open transaction, statement by statement, and checks assertions before each.
pub(super) async fn run(job: &Job<'_>, session: &mut Session) -> std::result::Result<(), RunError> {
    let assertions = lint::assertions(job.sql, session.dialect());
    for at in Script::read(job.sql, session.dialect()).statements {
        let failed = |error| RunError::Statement(error, at.clone());
        if let Some(error) = first_violation(job, &assertions, &at, true, session).await.map_err(failed)? {
            return Err(RunError::Asserted(error));
        }
        session.run(job.sql.get(at.clone()).unwrap_or("")).await.map_err(failed)?;
    }
    Ok(())
}

/// Returns the error of the first assertion that does not hold for the statement at a range. In a
/// transaction, tables found empty are locked, so that no other session can insert rows.
pub(super) async fn first_violation(
    job: &Job<'_>,
    assertions: &[Assertion],
    at: &Range<usize>,
    in_transaction: bool,
    session: &mut Session,
) -> std::result::Result<Option<Error>, Failed> {
    for assertion in assertions.iter().filter(|assertion| at.contains(&assertion.statement.start)) {
        if !holds(&assertion.table, in_transaction, session).await? {
            return Ok(Some(assertion_failed(job, assertion)));
        }
    }
    Ok(None)
}

/// Whether the table is empty or missing.
async fn holds(
    table: &TableName,
    in_transaction: bool,
    session: &mut Session,
) -> std::result::Result<bool, Failed> {
    let dialect = session.dialect();
    if session.rows(exists(table, dialect)).await?.is_empty() {
        return Ok(true);
    }
    let locks = dialect == Dialect::Postgres && in_transaction;
    if locks && !session.rows(lockable(table)).await?.is_empty() {
        session.run(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.quoted())).await?;
    }
    Ok(session.rows(any_row(table)).await?.is_empty())
}

fn assertion_failed(job: &Job<'_>, assertion: &Assertion) -> Error {
    let Assertion { statement, table } = assertion;
    let name = job.at.source.name();
    Error::Asserted {
        stem: job.name.to_owned(),
        line: job.sql.get(..statement.start).unwrap_or("").matches('\n').count() + 1,
        table: table.to_string(),
        text: std::sync::Arc::new(miette::NamedSource::new(name, job.tables.masked_same_length(job.sql))),
        file: name.to_owned(),
        span: statement.clone().into(),
    }
}
