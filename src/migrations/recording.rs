//! The statements that record a migration: in the history of sqlx, and its text in the inventory.

use std::time::Duration;

use super::{Error, Job, Pending, Result, bookkeeping, is_same_text};
use crate::connection::{Recorded, Session};
use crate::digest::hex;
use crate::journal::RunId;
use crate::sql::Dialect;

/// Checks that the text recorded in the history is the text of the file.
pub(super) fn check_recorded_text(recorded: &Recorded, pending: &Pending) -> Result<()> {
    let file = &pending.migration;
    if recorded.success && is_same_text(&recorded.checksum, file) {
        return Ok(());
    }
    Err(Error::History {
        stem: file.stem.clone(),
        applied: recorded.checksum.clone(),
        file: hex(&file.checksum),
    })
}

/// How the duration of a migration is computed, for sqlx's history.
#[derive(Debug, Clone, Copy)]
pub(super) enum TimeTaken {
    /// Measured by the caller.
    Known(Duration),
    /// The age of the transaction, which PostgreSQL computes.
    InTransaction,
}

/// The statements that record a migration as done, in sqlx's history and in the inventory.
pub(super) fn record(
    job: &Job<'_>,
    versioned: Option<&Pending>,
    took: TimeTaken,
    session: &Session,
    run: &RunId,
) -> Vec<String> {
    let mut record = Vec::new();
    if session.dialect() == Dialect::Postgres && changes_rights(job.sql) {
        record.extend(["RESET SESSION AUTHORIZATION".to_owned(), "RESET ROLE".to_owned()]);
    }
    record.extend(versioned.map(|pending| insert_history(pending, true, took, session)));
    record.extend(record_text(job, versioned.is_some(), session, run));
    record
}

/// Whether the file may leave another role active, which may lack the right to write the record. False
/// positives are harmless: they add a RESET without effect.
fn changes_rights(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    ["role", "authorization"].iter().any(|word| sql.contains(word))
}

/// Statements that restore the session's own role until the end of the transaction, for files that may have
/// switched to another one.
pub(super) fn reset_role_statements(sql: &str, dialect: Dialect) -> Vec<String> {
    const OWN: [&str; 2] = ["SET LOCAL session_authorization TO DEFAULT", "SET LOCAL role TO DEFAULT"];
    let is_other = dialect == Dialect::Postgres && changes_rights(sql);
    OWN.iter().filter(|_| is_other).map(|statement| (*statement).to_owned()).collect()
}

/// The statement that records the text of a migration in the inventory, where that table exists.
pub(super) fn record_text(
    job: &Job<'_>,
    is_versioned: bool,
    session: &Session,
    run: &RunId,
) -> Option<String> {
    let print = if is_versioned {
        bookkeeping::bare_fingerprint(job.sql)
    } else {
        bookkeeping::text_fingerprint(job.sql)
    };
    session
        .has_inventory
        .then(|| bookkeeping::remember(session, &job.address, (bookkeeping::text_key(), print), run))
}

/// The statement that inserts a row into the history. It fails where the version is there already.
pub(super) fn insert_history(pending: &Pending, success: bool, took: TimeTaken, session: &Session) -> String {
    let file = &pending.migration;
    let nanoseconds = match took {
        TimeTaken::Known(elapsed) => i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX).to_string(),
        TimeTaken::InTransaction => {
            "(extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.now()) * 1000000000)::\
                           pg_catalog.int8"
                .to_owned()
        }
    };
    let success = if success { "TRUE" } else { "FALSE" };
    format!(
        "INSERT INTO {} (version, description, success, checksum, execution_time) \
         VALUES ({}, {}, {success}, {}, {nanoseconds})",
        session.history,
        file.version,
        session.literal(&file.description),
        session.bytes(&file.checksum),
    )
}

/// Like [`insert_history`], but overwrites the row that this tool wrote when it began the migration.
pub(super) fn upsert_history(pending: &Pending, success: bool, took: TimeTaken, session: &Session) -> String {
    format!(
        "{} ON CONFLICT (version) DO UPDATE SET success = excluded.success, checksum = excluded.checksum, \
         description = excluded.description, execution_time = excluded.execution_time",
        insert_history(pending, success, took, session)
    )
}
