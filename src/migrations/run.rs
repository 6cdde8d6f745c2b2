//! Runs a migration and its record in one transaction, and retries it when another session holds a
//! lock. Takes no lock of its own: the caller holds the lock of the run.

use std::time::{Duration, Instant};

use super::recording::{TimeTaken, check_recorded_text, record, record_text};
use super::session::{doing, open, pauses, return_session};
use super::watch::Watch;
use super::{Error, Job, Pending, Repeating, Result, asserted, failure, outside};
use crate::change::Effect;
use crate::connection::{Client, Session};
use crate::journal::RunId;
use crate::lint;
use crate::sql::Dialect;

/// Longer files are sent on their own: joining them with their record would copy them.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Runs a migration, unless the history has it already.
pub(super) async fn apply(pending: &Pending, client: &Client, run: &RunId) -> Result<Effect> {
    let job = pending.job();
    reject_client_commands(&job, client)?;
    let mut session = open(client).await?;
    let applied = if pending.migration.no_transaction {
        outside::apply(pending, &job, &mut session, (client, run)).await
    } else {
        match in_one_message(&job, pending, &mut session, (client, run)).await {
            Ok(true) => Ok((Effect::DONE, true)),
            Ok(false) => {
                in_steps(&job, Some(pending), &mut session, (client, run)).await.map(|effect| (effect, true))
            }
            Err(error) => Err(error),
        }
    };
    // Discards the session where the file changed settings, so that they do not affect the next
    // file.
    return_session(client, session, applied.as_ref().is_ok_and(|(_, is_clean)| *is_clean)).await;
    applied.map(|(effect, _)| effect)
}

/// Runs a repeatable file.
pub(super) async fn repeat(repeating: &Repeating, client: &Client, run: &RunId) -> Result<Effect> {
    reject_client_commands(&repeating.job(), client)?;
    let mut session = open(client).await?;
    let applied = in_steps(&repeating.job(), None, &mut session, (client, run)).await;
    return_session(client, session, applied.is_ok()).await;
    applied
}

/// Rejects files that would make the session wait for input without end. The plan rejects them too, but
/// `baseline` has no plan.
fn reject_client_commands(job: &Job<'_>, client: &Client) -> Result<()> {
    let Some((_, why)) = lint::client_command(job.sql, client.dialect()) else { return Ok(()) };
    Err(Error::OfClient { file: job.at.source.name().to_owned(), why })
}

/// Records migrations as done without running them, all or none. `lacking` are added to the history;
/// `known` were recorded there by another tool and are added to the inventory only.
pub(crate) async fn record_only(
    lacking: &[Pending],
    known: &[Pending],
    client: &Client,
    run: &RunId,
) -> Result<()> {
    let mut session = open(client).await?;
    let mut statements = vec!["BEGIN".to_owned()];
    for pending in lacking {
        statements.extend(record(
            &pending.job(),
            Some(pending),
            TimeTaken::Known(Duration::ZERO),
            &session,
            run,
        ));
    }
    for pending in known {
        statements.extend(record_text(&pending.job(), true, &session, run));
    }
    statements.push("COMMIT".to_owned());
    let recorded = session.run(statements.join("; ")).await.map_err(doing("recording migrations"));
    return_session(client, session, false).await;
    recorded
}

/// Sends BEGIN, the file, its record and COMMIT in one message to PostgreSQL. Returns false where the file has to
/// be run step by step instead; nothing of it is kept then.
///
/// An error of such a message does not always show whether the file or the record failed. In these cases the
/// file is run again step by step to locate the error.
async fn in_one_message(
    job: &Job<'_>,
    pending: &Pending,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<bool> {
    let dialect = session.dialect();
    // SQLite has no round trips to save, and accepts a comment without an end, which would swallow the record.
    let is_plain = dialect == Dialect::Postgres
        && job.sql.len() <= MAX_MESSAGE_BYTES
        && lint::assertions(job.sql, dialect).is_empty();
    if !is_plain {
        return Ok(false);
    }
    let before = session.beginning(job.limits);
    // Where the history has the version already, its primary key rejects the record, and the
    // transaction is rolled back.
    let mut end = record(job, Some(pending), TimeTaken::InTransaction, session, run);
    end.push("COMMIT".to_owned());
    // The newline ends a comment on the last line of the file.
    let message = format!("{before}{}\n;{}", job.sql, end.join("; "));
    let mut watch = Watch::new(job, client);
    let pid = session.pid;
    client.check_lock().await?;
    let Err(error) = watch.run(pid, session.run(message)).await else { return Ok(true) };
    if let Some(lost) = failure::connection_lost(job, &error, dialect) {
        return Err(lost);
    }
    session.rollback().await;
    match failure::message_failed(job, &error, &before, &mut watch) {
        None => Ok(false),
        // Another run applied the migration after this plan was made.
        Some(_) if session.has(pending.migration.version).await => Ok(false),
        Some(failure) => Err(failure),
    }
}

/// Runs BEGIN, the file, and its record with COMMIT in three round trips.
async fn in_steps(
    job: &Job<'_>,
    versioned: Option<&Pending>,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<Effect> {
    let mut watch = Watch::new(job, client);
    let mut pauses = pauses(job.limits);
    let mut tries = 1;
    session.without_keys = session.dialect() == Dialect::Sqlite && lint::disables_foreign_keys(job.sql);
    loop {
        let recorded = session.begin(job.limits, versioned.map(|pending| pending.migration.version)).await;
        let recorded = recorded.map_err(doing("reading the history of migrations"))?;
        if let (Some(recorded), Some(pending)) = (recorded, versioned) {
            session.rollback().await;
            return check_recorded_text(&recorded, pending).map(|()| Effect::Unchanged);
        }
        let dangled = session.dangling().await.map_err(doing("checking foreign keys"))?;
        if let Err(lost) = client.check_lock().await {
            session.rollback().await;
            return Err(lost.into());
        }
        let started = Instant::now();
        let pid = session.pid;
        let (error, place) = if lint::assertions(job.sql, session.dialect()).is_empty() {
            (watch.run(pid, session.run(job.sql)).await.err(), None)
        } else {
            match watch.run(pid, asserted::run(job, session)).await {
                Ok(()) => (None, None),
                Err(asserted::RunError::Statement(error, at)) => (Some(error), Some(at)),
                Err(asserted::RunError::Asserted(error)) => {
                    session.rollback().await;
                    return Err(error);
                }
            }
        };
        let Some(error) = error else {
            let dangling = session.dangling().await.map_err(doing("checking foreign keys"))?;
            if dangling > dangled {
                session.rollback().await;
                return Err(failure::foreign_keys_violated(job, dangling - dangled));
            }
            let mut end = record(job, versioned, TimeTaken::Known(started.elapsed()), session, run);
            end.push("COMMIT".to_owned());
            let ended = session.run(end.join("; ")).await;
            return ended.map(|()| Effect::DONE).map_err(|error| failure::commit_failed(job, &error));
        };
        if let Some(lost) = failure::connection_lost(job, &error, session.dialect()) {
            return Err(lost);
        }
        session.rollback().await;
        let pause = pauses.next().filter(|_| failure::is_transient(&error));
        if let Some(pause) = pause
            && watch.sleep(pause).await
        {
            tracing::info!(
                migration = job.name,
                ?pause,
                tries,
                "another session was in the way; trying again"
            );
            tries += 1;
        } else {
            return Err(failure::transaction_failed(job, &error, place, (tries, &mut watch), session).await);
        }
    }
}
