//! Runs a migration in one transaction with its record, and again when somebody else had a lock.
//! Takes no lock of its own: the caller holds the run's.

use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder as _, ExponentialBuilder};

use super::watch::Watch;
use super::{Error, Job, Pending, Repeating, Result, asserted, books, failure, is_same_text, outside};
use crate::change::Effect;
use crate::connection::{Client, Failed, Limits, Recorded, Session};
use crate::digest::hex;
use crate::journal::RunId;
use crate::lint;
use crate::sql::{self, Dialect};

/// A longer file is not copied for one round trip.
const MOST_AT_ONCE: usize = 1 << 20;
/// How often a lock is waited for once more.
const TRIES_MORE: usize = 5;

/// The pauses between tries: other sessions do their work meanwhile, instead of queueing behind a
/// statement that waits.
pub(super) fn pauses(limits: Limits) -> impl Iterator<Item = Duration> {
    const LONGEST: Duration = Duration::from_secs(4);
    ExponentialBuilder::new()
        .with_min_delay((limits.lock / 20).min(LONGEST / 16))
        .with_max_delay(limits.lock.min(LONGEST))
        .with_max_times(TRIES_MORE)
        .with_jitter()
        .build()
}

/// Runs a migration, unless the history has it.
pub(super) async fn apply(pending: &Pending, client: &Client, run: &RunId) -> Result<Effect> {
    let job = pending.job();
    can_run(&job, client)?;
    let mut session = open(client).await?;
    let applied = if pending.migration.no_transaction {
        outside::apply(pending, &job, &mut session, (client, run)).await
    } else {
        match at_once(&job, pending, &mut session, (client, run)).await {
            Ok(true) => Ok((Effect::DONE, true)),
            Ok(false) => {
                inside(&job, Some(pending), &mut session, (client, run)).await.map(|effect| (effect, true))
            }
            Err(error) => Err(error),
        }
    };
    // What a migration outside a transaction left set is not taken over to the next.
    leave(client, session, applied.as_ref().is_ok_and(|(_, is_clean)| *is_clean)).await;
    applied.map(|(effect, _)| effect)
}

/// Runs a repeatable migration.
pub(super) async fn repeat(repeating: &Repeating, client: &Client, run: &RunId) -> Result<Effect> {
    can_run(&repeating.job(), client)?;
    let mut session = open(client).await?;
    let applied = inside(&repeating.job(), None, &mut session, (client, run)).await;
    leave(client, session, applied.is_ok()).await;
    applied
}

/// Refuses what the session would wait for without end. The plan did that already, and `baseline`
/// has none.
fn can_run(job: &Job<'_>, client: &Client) -> Result<()> {
    let Some((_, why)) = lint::of_client(job.sql, client.dialect()) else { return Ok(()) };
    Err(Error::OfClient { file: job.at.source.name().to_owned(), why })
}

/// Records migrations as done that are not run, all or none: in the history those that it lacks, and in
/// the inventory those that another tool recorded.
pub(crate) async fn record_only(
    lacking: &[Pending],
    known: &[Pending],
    client: &Client,
    run: &RunId,
) -> Result<()> {
    let mut session = open(client).await?;
    let mut statements = vec!["BEGIN".to_owned()];
    for pending in lacking {
        statements.extend(record(&pending.job(), Some(pending), Took::Known(Duration::ZERO), &session, run));
    }
    for pending in known {
        statements.extend(remembered(&pending.job(), true, &session, run));
    }
    statements.push("COMMIT".to_owned());
    let recorded = session.run(statements.join("; ")).await.map_err(doing("recording migrations"));
    leave(client, session, false).await;
    recorded
}

async fn open(client: &Client) -> Result<Session> {
    if let Some(session) = client.take_migrator().await {
        return Ok(session);
    }
    let database = client.database().await?;
    Ok(Session::open(&database).await?)
}

/// A session that failed is in no state to go on with.
async fn leave(client: &Client, session: Session, is_clean: bool) {
    client.forget_catalog().await;
    if is_clean {
        client.keep_migrator(session).await;
    } else {
        session.close().await;
    }
}

/// The whole of it in one message: begin, the file, its record with the commit. False when the file
/// has to be run step by step, and nothing of it is kept.
///
/// What a server says of one message does not always tell whether the file or the record is meant, and SQLite
/// never says where: such an error is looked for by running step by step, which runs the file once more.
async fn at_once(
    job: &Job<'_>,
    pending: &Pending,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<bool> {
    let dialect = session.dialect();
    let can_end = match dialect {
        Dialect::Postgres => true,
        // A comment that never ends is none to SQLite: it would swallow the record and the commit.
        Dialect::Sqlite => !job.sql.contains("/*") && !lint::without_keys(job.sql),
    };
    let is_plain = can_end && job.sql.len() <= MOST_AT_ONCE && lint::assertions(job.sql, dialect).is_empty();
    if !is_plain {
        return Ok(false);
    }
    let before = session.beginning(job.limits);
    // A history that has the version refuses its record, and with it all that comes before.
    let took = match dialect {
        Dialect::Postgres => Took::InTransaction,
        Dialect::Sqlite => Took::Since(SystemTime::now()),
    };
    let mut end = record(job, Some(pending), took, session, run);
    end.push("COMMIT".to_owned());
    // A comment may end the file without an end of its line.
    let message = format!("{before}{}\n;{}", job.sql, end.join("; "));
    let mut watch = Watch::new(job, client);
    let pid = session.pid;
    client.check_lock().await?;
    let Err(error) = watch.during(pid, session.run(message)).await else { return Ok(true) };
    if let Some(lost) = failure::of_lost(job, &error, dialect) {
        return Err(lost);
    }
    session.rollback().await;
    if dialect == Dialect::Sqlite {
        return Ok(false);
    }
    match failure::of_message(job, &error, &before, &mut watch) {
        None => Ok(false),
        // Somebody ran it since the plan was made: what it makes is there.
        Some(_) if session.has(pending.migration.version).await => Ok(false),
        Some(failure) => Err(failure),
    }
}

/// Three round trips: begin, the file, its record with the commit.
async fn inside(
    job: &Job<'_>,
    versioned: Option<&Pending>,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<Effect> {
    let mut watch = Watch::new(job, client);
    let mut pauses = pauses(job.limits);
    let mut tries = 1;
    session.without_keys = session.dialect() == Dialect::Sqlite && lint::without_keys(job.sql);
    loop {
        let recorded = session.begin(job.limits, versioned.map(|pending| pending.migration.version)).await;
        let recorded = recorded.map_err(doing("reading the history of migrations"))?;
        if let (Some(recorded), Some(pending)) = (recorded, versioned) {
            session.rollback().await;
            return already(&recorded, pending).map(|()| Effect::Unchanged);
        }
        let dangled = session.dangling().await.map_err(doing("checking foreign keys"))?;
        if let Err(lost) = client.check_lock().await {
            session.rollback().await;
            return Err(lost.into());
        }
        let started = Instant::now();
        let pid = session.pid;
        let (error, place) = if lint::assertions(job.sql, session.dialect()).is_empty() {
            (watch.during(pid, session.run(job.sql)).await.err(), None)
        } else {
            match watch.during(pid, asserted::run(job, session)).await {
                Ok(()) => (None, None),
                Err(asserted::Failure::Statement(error, at)) => (Some(error), Some(at)),
                Err(asserted::Failure::Asserted(error)) => {
                    session.rollback().await;
                    return Err(error);
                }
            }
        };
        let Some(error) = error else {
            let dangling = session.dangling().await.map_err(doing("checking foreign keys"))?;
            if dangling > dangled {
                session.rollback().await;
                return Err(failure::of_keys(job, dangling - dangled));
            }
            let mut end = record(job, versioned, Took::Known(started.elapsed()), session, run);
            end.push("COMMIT".to_owned());
            let ended = session.run(end.join("; ")).await;
            return ended.map(|()| Effect::DONE).map_err(|error| failure::of_commit(job, &error));
        };
        if let Some(lost) = failure::of_lost(job, &error, session.dialect()) {
            return Err(lost);
        }
        session.rollback().await;
        let pause = pauses.next().filter(|_| failure::is_passing(&error));
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
            return Err(failure::of_whole(job, &error, place, (tries, &mut watch), session).await);
        }
    }
}

/// What is to be said of a migration that the history has already.
pub(super) fn already(recorded: &Recorded, pending: &Pending) -> Result<()> {
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

/// How long a migration took, for sqlx's history.
#[derive(Debug, Clone, Copy)]
pub(super) enum Took {
    /// So long.
    Known(Duration),
    /// As long as its transaction is old: PostgreSQL says it.
    InTransaction,
    /// Since this moment: SQLite looks at the clock.
    Since(SystemTime),
}

/// The statements that record a migration as done, in sqlx's history and in the inventory.
pub(super) fn record(
    job: &Job<'_>,
    versioned: Option<&Pending>,
    took: Took,
    session: &Session,
    run: &RunId,
) -> Vec<String> {
    let mut record = Vec::new();
    if session.dialect() == Dialect::Postgres && changes_rights(job.sql) {
        record.extend(["RESET SESSION AUTHORIZATION".to_owned(), "RESET ROLE".to_owned()]);
    }
    record.extend(versioned.map(|pending| in_history(pending, true, took, session)));
    record.extend(remembered(job, versioned.is_some(), session, run));
    record
}

/// Whether a file may go on with the rights of another role, which cannot write the record. An idle
/// RESET does no harm.
fn changes_rights(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    ["role", "authorization"].iter().any(|word| sql.contains(word))
}

/// What gives a transaction the rights that the session began with, until it ends, where a file may have
/// taken on those of another role.
pub(super) fn own_rights(sql: &str, dialect: Dialect) -> Vec<String> {
    const OWN: [&str; 2] = ["SET LOCAL session_authorization TO DEFAULT", "SET LOCAL role TO DEFAULT"];
    let is_other = dialect == Dialect::Postgres && changes_rights(sql);
    OWN.iter().filter(|_| is_other).map(|statement| (*statement).to_owned()).collect()
}

/// The statement that remembers the text of a migration, where there is an inventory.
pub(super) fn remembered(
    job: &Job<'_>,
    is_versioned: bool,
    session: &Session,
    run: &RunId,
) -> Option<String> {
    let print = if is_versioned { books::bare_print(job.sql) } else { books::text_print(job.sql) };
    session.has_books.then(|| books::remember(session, &job.address, (books::text_key(), print), run))
}

/// The statement that writes a version to the history. It fails where the history has it.
pub(super) fn in_history(pending: &Pending, success: bool, took: Took, session: &Session) -> String {
    let file = &pending.migration;
    let nanoseconds = match took {
        Took::Known(elapsed) => i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX).to_string(),
        Took::Since(began) => {
            let since_1970 = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            format!(
                "CAST(max(0, unixepoch('subsec') * 1000 - {}) AS INTEGER) * 1000000",
                since_1970.as_millis()
            )
        }
        Took::InTransaction => {
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

/// As [`in_history`], and a version that is there was ours, and is ended or begun once more.
pub(super) fn again_in_history(pending: &Pending, success: bool, took: Took, session: &Session) -> String {
    format!(
        "{} ON CONFLICT (version) DO UPDATE SET success = excluded.success, checksum = excluded.checksum, \
         description = excluded.description, execution_time = excluded.execution_time",
        in_history(pending, success, took, session)
    )
}

pub(super) fn doing(what: &'static str) -> impl FnOnce(Failed) -> Error {
    move |error| Error::doing(what)(sql::Error::statement("", error))
}
