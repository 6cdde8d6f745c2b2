//! Assertions of migrations: asked read-only when the world is observed, and once more in the
//! migration's own transaction, right before the statement that relies on them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{Applied, Desired, Error, Job, Result};
use crate::catalog::TableName;
use crate::connection::{Failed, Session};
use crate::lint::script::Script;
use crate::lint::{self, Assertion, Emptiness, Missing};
use crate::sql::{self, Database, Dialect};

/// PostgreSQL says this of a table that may not be read.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Whether the tables that pending migrations assert to be empty are. One that may not be read is
/// left out: nobody has looked.
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
            if let Some(verdict) = look(&table, database).await? {
                verdicts.insert(table, verdict);
            }
        }
    }
    Ok(verdicts)
}

/// The texts that may run. Which repeatable files are pending is not known here.
fn pending<'a>(desired: &'a Desired, applied: Option<&'a [Applied]>) -> impl Iterator<Item = &'a str> {
    let applied: BTreeSet<i64> = applied.unwrap_or_default().iter().map(|applied| applied.version).collect();
    let pending = desired.files.iter().filter(move |file| !applied.contains(&file.version));
    let versions = pending.map(|file| file.sql.as_str());
    versions.chain(desired.repeatables.iter().map(|file| file.sql.as_str()))
}

/// Which of the tables and schemas that pending migrations make or drop by `IF [NOT] EXISTS` are missing.
pub(crate) async fn observe_missing(
    desired: &Desired,
    applied: Option<&[Applied]>,
    database: &Database,
) -> Result<Missing> {
    let mut sought = Missing::default();
    for sql in pending(desired, applied) {
        let (tables, schemas) = lint::sought(sql, desired.dialect);
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
        Dialect::Postgres => {
            format!("SELECT '1', NULL WHERE to_regclass({}) IS NOT NULL", literal(&table.quoted()))
        }
        Dialect::Sqlite => format!(
            "SELECT '1', NULL FROM sqlite_master WHERE type IN ('table', 'view') AND name = {} COLLATE NOCASE",
            literal(&table.name)
        ),
    }
}

/// One row when there is one; its values are not read.
fn any_row(table: &TableName) -> String {
    format!("SELECT '1', NULL FROM {} LIMIT 1", table.quoted())
}

/// One row when the table can be locked: a foreign one or a view cannot.
fn lockable(table: &TableName) -> String {
    let table = literal(&table.quoted());
    format!("SELECT '1', NULL FROM pg_class WHERE oid = to_regclass({table}) AND relkind IN ('r', 'p')")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Why a migration with assertions did not run.
pub(super) enum Failure {
    /// A statement failed, at this place of the file.
    Statement(Failed, Range<usize>),
    /// An assertion does not hold any more.
    Asserted(Error),
}

/// Runs a file in the transaction that is open, statement by statement where it asserts something.
pub(super) async fn run(job: &Job<'_>, session: &mut Session) -> std::result::Result<(), Failure> {
    let assertions = lint::assertions(job.sql, session.dialect());
    for at in Script::read(job.sql, session.dialect()).statements {
        let failed = |error| Failure::Statement(error, at.clone());
        if let Some(error) = broken(job, &assertions, &at, true, session).await.map_err(failed)? {
            return Err(Failure::Asserted(error));
        }
        session.run(job.sql.get(at.clone()).unwrap_or("")).await.map_err(failed)?;
    }
    Ok(())
}

/// The first assertion of the statements at a place that does not hold. In a transaction nobody can
/// write to a table from here on that was found empty.
pub(super) async fn broken(
    job: &Job<'_>,
    assertions: &[Assertion],
    at: &Range<usize>,
    in_transaction: bool,
    session: &mut Session,
) -> std::result::Result<Option<Error>, Failed> {
    for assertion in assertions.iter().filter(|assertion| at.contains(&assertion.statement.start)) {
        if !holds(&assertion.table, in_transaction, session).await? {
            return Ok(Some(said(job, assertion)));
        }
    }
    Ok(None)
}

/// Whether a table is empty or missing.
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

fn said(job: &Job<'_>, assertion: &Assertion) -> Error {
    let Assertion { statement, table } = assertion;
    let name = job.at.source.name();
    Error::Asserted {
        stem: job.name.to_owned(),
        line: job.sql.get(..statement.start).unwrap_or("").matches('\n').count() + 1,
        table: table.to_string(),
        text: std::sync::Arc::new(miette::NamedSource::new(name, sql::blotted(job.sql))),
        file: name.to_owned(),
        span: statement.clone().into(),
    }
}
