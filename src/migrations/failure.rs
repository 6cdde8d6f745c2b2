//! Where and why a statement of a migration failed, for people.

use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;

use super::watch::Watch;
use super::{Advice, Error, Job};
use crate::connection::{self, Failed, HISTORY, Lacks, Session};
use crate::lint::script::Script;
use crate::sql::{self, Dialect};

/// PostgreSQL: a lock was not to be had within `lock_timeout`.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
/// PostgreSQL: among others, `statement_timeout` was over.
const QUERY_CANCELED: &str = "57014";

/// SQLite: any error that has no code of its own.
const GENERIC: &str = "1";
/// PostgreSQL: a statement refuses to run in a transaction.
const ACTIVE_TRANSACTION: &str = "25001";
/// PostgreSQL: a value of an enum is used in the transaction that adds it.
const NEW_ENUM_VALUE: &str = "55P04";

/// PostgreSQL: the account lacks a right.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// PostgreSQL: a table, object, column, schema or function is there already.
const EXISTS: [&str; 5] = ["42P07", "42710", "42701", "42P06", "42723"];

/// Whether trying again may help: somebody else had a lock for longer than `lock_timeout`, waited for
/// one of ours, or wrote the same row of a catalog, as a grant on another database of the server does.
pub(super) fn is_passing(error: &Failed) -> bool {
    const DEADLOCK: &str = "40P01";
    const SERIALIZATION: &str = "40001";
    // Of a row of a catalog that somebody else wrote, nothing else says so; another internal error
    // comes again.
    const INTERNAL: &str = "XX000";
    matches!(
        connection::code(error).as_deref(),
        Some(LOCK_NOT_AVAILABLE | DEADLOCK | SERIALIZATION | INTERNAL)
    )
}

/// The error of a file that ran when the connection was lost; `None` for any other error.
pub(super) fn of_lost(job: &Job<'_>, error: &Failed, dialect: Dialect) -> Option<Error> {
    let is_lost = dialect == Dialect::Postgres && !sql::goes_on(error);
    is_lost.then(|| {
        let script = Script::read(job.sql, dialect);
        // Which statement it was nobody says.
        failure(job, (&sql::said(error), None), Some(whole(job, &script)), Advice::Lost)
    })
}

/// The error of a migration that ran in one transaction, which is rolled back by now.
pub(super) async fn of_whole(
    job: &Job<'_>,
    error: &Failed,
    at: Option<Range<usize>>,
    (tries, watch): (usize, &mut Watch<'_>),
    session: &mut Session,
) -> Error {
    if let Some(at) = at {
        let byte = character(error, job.sql.get(at.clone()).unwrap_or("")).unwrap_or(0);
        let advice = advice(error, job.sql.get(at.clone()), (tries, watch)).unwrap_or(Advice::Whole);
        return failed(job, error, Some((at.start + byte, Some(at))), advice);
    }
    let script = Script::read(job.sql, session.dialect());
    let place = match character(error, job.sql) {
        Some(byte) => Some((byte, script.statement_at(byte).cloned())),
        // Looking for it would wait once more.
        None if watch.gave_up() => Some(whole(job, &script)),
        None => culprit(job, &script, session, watch).await.map(|found| (found.start, Some(found))),
    };
    let statement = place.as_ref().and_then(|(_, at)| job.sql.get(at.clone()?));
    let advice = advice(error, statement, (tries, watch)).unwrap_or(Advice::Whole);
    failed(job, error, place, advice)
}

/// The error of a message that had the whole migration behind `before`, where it is one of the file:
/// where the server names a place in it, or nothing would be found by running it once more.
pub(super) fn of_message(
    job: &Job<'_>,
    error: &Failed,
    before: &str,
    watch: &mut Watch<'_>,
) -> Option<Error> {
    // Where a comment or text of the file never ends, the server quotes the record behind it.
    let is_of_ours = sql::said(error).contains(HISTORY);
    if is_passing(error) && !watch.gave_up() || is_of_ours {
        return None;
    }
    let script = Script::read(job.sql, Dialect::Postgres);
    let place = match connection::character(error) {
        Some(character) => {
            let in_file = character.checked_sub(before.chars().count() + 1)?;
            let (byte, _) = job.sql.char_indices().nth(in_file)?;
            Some((byte, script.statement_at(byte).cloned()))
        }
        None if watch.gave_up() => Some(whole(job, &script)),
        None => match script.statements.as_slice() {
            // A constraint may have been checked at the end.
            [only] if !is_of_constraint(error) => Some((only.start, Some(only.clone()))),
            _ => return None,
        },
    };
    let advice = advice(error, None, (1, watch)).unwrap_or(Advice::Whole);
    Some(failed(job, error, place, advice))
}

fn is_of_constraint(error: &Failed) -> bool {
    connection::code(error).is_some_and(|code| code.starts_with("23"))
}

/// The error of one statement of a migration that runs outside a transaction.
pub(super) fn of_statement(
    job: &Job<'_>,
    error: &Failed,
    (tries, watch): (usize, &Watch<'_>),
    at: &Range<usize>,
) -> Error {
    let text = job.sql.get(at.clone()).unwrap_or("");
    let byte = character(error, text).map_or(at.start, |byte| at.start + byte);
    let advice = advice(error, None, (tries, watch)).unwrap_or(Advice::Rest);
    failed(job, error, Some((byte, Some(at.clone()))), advice)
}

/// The error of a transaction that failed at its end, where deferred constraints are checked.
pub(super) fn of_commit(job: &Job<'_>, error: &Failed) -> Error {
    let advice = of_code(error).unwrap_or(Advice::Whole);
    at_end(job, (&sql::said(error), connection::code(error)), advice)
}

/// The error of a migration that switched foreign keys off, and left rows that refer to nothing.
pub(super) fn of_keys(job: &Job<'_>, rows: u64) -> Error {
    let which = if rows == 1 { "row refers" } else { "rows refer" };
    at_end(
        job,
        (&format!("{rows} {which} to nothing, now that foreign keys are checked again"), None),
        Advice::Whole,
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

/// What to do about an error of a statement, which ran in the transaction around the file where it is given.
fn advice(error: &Failed, statement: Option<&str>, (tries, watch): (usize, &Watch<'_>)) -> Option<Advice> {
    let on = watch.seen().map(str::to_owned);
    match connection::code(error).as_deref() {
        _ if watch.gave_up() => Some(Advice::Stopped { on }),
        Some(LOCK_NOT_AVAILABLE) => Some(Advice::Lock { tries, on }),
        Some(GENERIC) if statement.is_some_and(refuses_transactions) => Some(Advice::Outside),
        _ => of_code(error),
    }
}

/// Whether a statement for SQLite is one that never runs in a transaction.
fn refuses_transactions(statement: &str) -> bool {
    let mut words =
        statement.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match words.next() {
        Some(first) if is(first, "vacuum") => true,
        // The name of a database may stand before that of the setting.
        Some(first) if is(first, "pragma") => words.take(2).any(|word| is(word, "journal_mode")),
        _ => false,
    }
}

/// What a code alone says.
fn of_code(error: &Failed) -> Option<Advice> {
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

/// The byte that PostgreSQL names in its error; it counts characters from 1.
fn character(error: &Failed, sql: &str) -> Option<usize> {
    let character = connection::character(error)?;
    sql.char_indices().nth(character.saturating_sub(1)).map(|(byte, _)| byte)
}

/// The statement that fails, where the database did not say: found by running them once more, one
/// by one, in a transaction that is rolled back as the whole migration was.
async fn culprit(
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
        if watch.during(session.pid, session.run(statement)).await.is_err() {
            found = Some(range.clone());
            break;
        }
    }
    session.rollback().await;
    found
}

/// A place in a file, and the statement around it.
type Place = (usize, Option<Range<usize>>);

/// All statements of a file.
fn whole(job: &Job<'_>, script: &Script) -> Place {
    let start = script.statements.first().map_or(0, |first| first.start);
    (start, Some(start..job.sql.trim_end().len().max(start)))
}

fn failed(job: &Job<'_>, error: &Failed, place: Option<Place>, advice: Advice) -> Error {
    failure(job, (&sql::said(error), connection::code(error)), place, advice)
}

fn failure(
    job: &Job<'_>,
    (message, code): (&str, Option<String>),
    place: Option<Place>,
    advice: Advice,
) -> Error {
    let (byte, range) = place.unwrap_or((0, None));
    let range = range.unwrap_or(byte..byte);
    let before = job.sql.get(..byte).unwrap_or("");
    let shown = sql::blotted(job.sql);
    Error::Migration {
        stem: job.name.to_owned(),
        line: before.matches('\n').count() + 1,
        statement: shown.get(range.clone()).unwrap_or("").to_owned(),
        text: Arc::new(NamedSource::new(job.at.source.name(), shown)),
        span: range.into(),
        message: sql::without_secrets(message, job.sql),
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
