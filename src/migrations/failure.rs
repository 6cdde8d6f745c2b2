//! Builds the error of a migration: the failed statement, its position in the file, and advice.

use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;

use super::watch::Watch;
use super::{Advice, Error, Job};
use crate::connection::{self, Failed, HISTORY, Lacks, Session};
use crate::lint::script::{Script, words};
use crate::sql::{self, Dialect};

/// PostgreSQL: a lock was not available within `lock_timeout`.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
/// PostgreSQL: the statement was cancelled, by `statement_timeout` or by another session.
const QUERY_CANCELED: &str = "57014";

/// SQLite: an error without a code of its own.
const GENERIC: &str = "1";
/// PostgreSQL: the statement cannot run in a transaction.
const ACTIVE_TRANSACTION: &str = "25001";
/// PostgreSQL: an enum value is used in the transaction that adds it.
const NEW_ENUM_VALUE: &str = "55P04";

const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// PostgreSQL: a table, object, column, schema or function exists already.
const EXISTS: [&str; 5] = ["42P07", "42710", "42701", "42P06", "42723"];

/// Whether a retry may succeed: another session held a lock for longer than `lock_timeout`, a deadlock was
/// resolved, or another session wrote the same catalog row, as a GRANT on another database of the server
/// does.
pub(super) fn is_transient(error: &Failed) -> bool {
    const DEADLOCK: &str = "40P01";
    const SERIALIZATION: &str = "40001";
    // A concurrent update of a catalog row has no code of its own. Other internal errors fail again
    // at the retry.
    const INTERNAL: &str = "XX000";
    matches!(
        connection::code(error).as_deref(),
        Some(LOCK_NOT_AVAILABLE | DEADLOCK | SERIALIZATION | INTERNAL)
    )
}

/// The error of a file during which the connection was lost; `None` for any other error.
pub(super) fn connection_lost(job: &Job<'_>, error: &Failed, dialect: Dialect) -> Option<Error> {
    let is_lost = dialect == Dialect::Postgres && !sql::is_usable_after(error);
    is_lost.then(|| {
        let script = Script::read(job.sql, dialect);
        // The server does not report which statement was running.
        failure(job, (&sql::error_message(error), None), Some(all_statements(job, &script)), Advice::Lost)
    })
}

/// The error of a migration whose single transaction is rolled back by now.
pub(super) async fn transaction_failed(
    job: &Job<'_>,
    error: &Failed,
    at: Option<Range<usize>>,
    (tries, watch): (usize, &mut Watch<'_>),
    session: &mut Session,
) -> Error {
    if let Some(at) = at {
        let byte = character(error, job.sql.get(at.clone()).unwrap_or("")).unwrap_or(0);
        let advice = advice(error, job.sql.get(at.clone()), (tries, watch)).unwrap_or(Advice::RolledBack);
        return failed(job, error, Some((at.start + byte, Some(at))), advice);
    }
    let script = Script::read(job.sql, session.dialect());
    let position = match character(error, job.sql) {
        Some(byte) => Some((byte, script.statement_at(byte).cloned())),
        // Running the statements again would wait for the lock once more.
        None if watch.gave_up() => Some(all_statements(job, &script)),
        None => failing_statement(job, &script, session, watch).await.map(|found| (found.start, Some(found))),
    };
    let statement = position.as_ref().and_then(|(_, at)| job.sql.get(at.clone()?));
    let advice = advice(error, statement, (tries, watch)).unwrap_or(Advice::RolledBack);
    failed(job, error, position, advice)
}

/// The error of a message that had the whole migration behind the text `before`. `None` where the error may
/// belong to the record instead of the file, or where running the file step by step would locate it better.
pub(super) fn message_failed(
    job: &Job<'_>,
    error: &Failed,
    before: &str,
    watch: &mut Watch<'_>,
) -> Option<Error> {
    // Where a comment or string of the file has no end, the error quotes the record behind it.
    let is_from_record = sql::error_message(error).contains(HISTORY);
    if is_transient(error) && !watch.gave_up() || is_from_record {
        return None;
    }
    let script = Script::read(job.sql, Dialect::Postgres);
    let position = match connection::character(error) {
        Some(character) => {
            let in_file = character.checked_sub(before.chars().count() + 1)?;
            let (byte, _) = job.sql.char_indices().nth(in_file)?;
            Some((byte, script.statement_at(byte).cloned()))
        }
        None if watch.gave_up() => Some(all_statements(job, &script)),
        None => match script.statements.as_slice() {
            // A deferred constraint may have been checked at COMMIT.
            [only] if !is_constraint_violation(error) => Some((only.start, Some(only.clone()))),
            _ => return None,
        },
    };
    let advice = advice(error, None, (1, watch)).unwrap_or(Advice::RolledBack);
    Some(failed(job, error, position, advice))
}

fn is_constraint_violation(error: &Failed) -> bool {
    connection::code(error).is_some_and(|code| code.starts_with("23"))
}

/// The error of one statement of a migration that runs outside a transaction.
pub(super) fn statement_failed(
    job: &Job<'_>,
    error: &Failed,
    (tries, watch): (usize, &Watch<'_>),
    at: &Range<usize>,
) -> Error {
    let text = job.sql.get(at.clone()).unwrap_or("");
    let byte = character(error, text).map_or(at.start, |byte| at.start + byte);
    let advice = advice(error, None, (tries, watch)).unwrap_or(Advice::Resumes);
    failed(job, error, Some((byte, Some(at.clone()))), advice)
}

/// The error of a COMMIT, where deferred constraints are checked.
pub(super) fn commit_failed(job: &Job<'_>, error: &Failed) -> Error {
    let advice = advice_for_code(error).unwrap_or(Advice::RolledBack);
    at_end(job, (&sql::error_message(error), connection::code(error)), advice)
}

/// The error of a migration that switched foreign keys off and left rows without their parents.
pub(super) fn foreign_keys_violated(job: &Job<'_>, rows: u64) -> Error {
    let which = if rows == 1 { "row refers" } else { "rows refer" };
    at_end(
        job,
        (&format!("{rows} {which} to nothing, now that foreign keys are checked again"), None),
        Advice::RolledBack,
    )
}

fn at_end(job: &Job<'_>, message: (&str, Option<String>), advice: Advice) -> Error {
    let end = job.sql.trim_end().len();
    let mut failed = failure(job, message, Some((end, None)), advice);
    if let Error::Migration { statement, .. } = &mut failed {
        "COMMIT".clone_into(statement);
    }
    failed
}

/// Chooses the advice for an error. `statement` is given where it ran in the transaction around the
/// file.
fn advice(error: &Failed, statement: Option<&str>, (tries, watch): (usize, &Watch<'_>)) -> Option<Advice> {
    let on = watch.blockers().map(str::to_owned);
    match connection::code(error).as_deref() {
        _ if watch.gave_up() => Some(Advice::Stopped { on }),
        Some(LOCK_NOT_AVAILABLE) => Some(Advice::Lock { tries, on }),
        Some(GENERIC) if statement.is_some_and(refuses_transactions) => Some(Advice::Outside),
        _ => advice_for_code(error),
    }
}

/// Whether SQLite rejects the statement in a transaction.
fn refuses_transactions(statement: &str) -> bool {
    let words = words(statement, Dialect::Sqlite);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    matches!(
        words.as_slice(),
        ["vacuum", ..] | ["pragma", "journal_mode", ..] | ["pragma", _, ".", "journal_mode", ..]
    )
}

fn advice_for_code(error: &Failed) -> Option<Advice> {
    match connection::code(error).as_deref() {
        Some(QUERY_CANCELED) => Some(Advice::Slow),
        Some(ACTIVE_TRANSACTION) => Some(Advice::Outside),
        Some(NEW_ENUM_VALUE) => Some(Advice::NewValue),
        Some(INSUFFICIENT_PRIVILEGE) => Some(Advice::Denied),
        Some(code) if EXISTS.contains(&code) => Some(Advice::Exists),
        Some(code) if sql::FULL.contains(&code) => Some(Advice::Full),
        _ => None,
    }
}

/// The byte offset of the position in a PostgreSQL error, which counts characters from 1.
fn character(error: &Failed, sql: &str) -> Option<usize> {
    let character = connection::character(error)?;
    sql.char_indices().nth(character.saturating_sub(1)).map(|(byte, _)| byte)
}

/// Finds the failing statement where the database reports no position: runs the statements one by one in a
/// transaction that is rolled back.
async fn failing_statement(
    job: &Job<'_>,
    script: &Script,
    session: &mut Session,
    watch: &mut Watch<'_>,
) -> Option<Range<usize>> {
    if let [only] = script.statements.as_slice() {
        return Some(only.clone());
    }
    session.begin(job.limits, None).await.ok()?;
    let mut found = None;
    for range in &script.statements {
        let statement = job.sql.get(range.clone()).unwrap_or("");
        if watch.run(session.pid, session.run(statement)).await.is_err() {
            found = Some(range.clone());
            break;
        }
    }
    session.rollback().await;
    found
}

/// A byte offset in a file, and the range of the statement around it.
type Position = (usize, Option<Range<usize>>);

/// The range from the first statement to the end of the file.
fn all_statements(job: &Job<'_>, script: &Script) -> Position {
    let start = script.statements.first().map_or(0, |first| first.start);
    (start, Some(start..job.sql.trim_end().len().max(start)))
}

fn failed(job: &Job<'_>, error: &Failed, position: Option<Position>, advice: Advice) -> Error {
    failure(job, (&sql::error_message(error), connection::code(error)), position, advice)
}

fn failure(
    job: &Job<'_>,
    (message, code): (&str, Option<String>),
    position: Option<Position>,
    advice: Advice,
) -> Error {
    let (byte, range) = position.unwrap_or((0, None));
    let range = range.unwrap_or(byte..byte);
    let before = job.sql.get(..byte).unwrap_or("");
    let shown = job.tables.masked_same_length(job.sql);
    Error::Migration {
        stem: job.name.to_owned(),
        line: before.matches('\n').count() + 1,
        statement: shown.get(range.clone()).unwrap_or("").to_owned(),
        text: Arc::new(NamedSource::new(job.at.source.name(), shown)),
        span: range.into(),
        message: job.tables.without_secrets(message, job.sql),
        lacks: code.and_then(|code| Lacks::of(&code)),
        advice: Box::new(advice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_refuses_in_a_transaction_is_known_by_the_statement() {
        for (statement, refuses) in [
            ("VACUUM", true),
            ("vacuum;", true),
            ("VACUUM main INTO 'copy.db'", true),
            ("PRAGMA journal_mode=wal", true),
            ("pragma main.journal_mode = WAL", true),
            ("PRAGMA user_version = 1", false),
            ("CREATE TABLE vacuum (journal_mode text)", false),
        ] {
            assert_eq!(refuses_transactions(statement), refuses, "{statement}");
        }
    }
}
