//! Runs consecutive files in one transaction of SQLite, each in a savepoint with its record. A transaction of
//! SQLite syncs the journal, the database and their folder, which takes longer than most migrations.

use std::time::{Duration, Instant};

use super::recording::{TimeTaken, record};
use super::run;
use super::session::{open, return_session};
use super::{Pending, Result};
use crate::change::Effect;
use crate::connection::{Client, Failed, Limits, Session};
use crate::journal::RunId;
use crate::lint;
use crate::sql::Dialect;

/// The most files of a transaction.
pub(crate) const MOST_FILES: usize = 100;
/// No further file begins in a transaction of this age: other writers wait for its end, and so does Ctrl-C.
const LONGEST: Duration = Duration::from_millis(500);
/// Longer files run alone, because their own duration outweighs that of a commit.
const MOST_BYTES: usize = 1 << 16;
const SAVEPOINT: &str = "trueup_migration";

/// How a file of several ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) elapsed: Duration,
    pub(crate) result: Result<Effect>,
}

impl Pending {
    /// Whether the file can share a transaction with others: none of its statements affects the transaction or
    /// the session, and no constraint of it is checked at the end of the transaction.
    pub(crate) fn can_share_transaction(&self, dialect: Dialect) -> bool {
        let sql = self.job().sql;
        dialect == Dialect::Sqlite
            && !self.migration.no_transaction
            && sql.len() <= MOST_BYTES
            && !sql.to_ascii_lowercase().contains("deferred")
            && lint::assertions(sql, dialect).is_empty()
            && lint::only_changes_schema_and_rows(sql)
    }
}

/// Runs files that can share a transaction. Returns how they ended, in order, beginning with the first. Those
/// behind the last one that ended did not run: one failed, time is over, or the run is asked to stop. Calls
/// `on_start` with the index of each file.
pub(crate) async fn apply(
    files: &[&Pending],
    (client, run): (&Client, &RunId),
    on_start: &(dyn Fn(usize) + Sync),
) -> Vec<Ended> {
    let Some(first) = files.first() else { return Vec::new() };
    let began = Instant::now();
    let together = match open(client).await {
        Ok(mut session) => {
            let together =
                in_one_transaction((files, first.limits), &mut session, (client, run), on_start).await;
            return_session(client, session, together.is_ok()).await;
            together
        }
        Err(error) => Err(error),
    };
    let alone = match together {
        Ok(Some(durations)) => {
            let done = |elapsed| Ended { elapsed, result: Ok(Effect::DONE) };
            return durations.into_iter().map(done).collect();
        }
        // In a transaction of its own, the file either succeeds or shows where it fails.
        Ok(None) => run::apply(first, client, run).await,
        Err(error) => Err(error),
    };
    vec![Ended { elapsed: began.elapsed(), result: alone }]
}

/// Runs files in one transaction, and commits those before the first that fails. Returns how long each took;
/// `None` where everything is rolled back.
async fn in_one_transaction(
    (files, limits): (&[&Pending], Limits),
    session: &mut Session,
    (client, run): (&Client, &RunId),
    on_start: &(dyn Fn(usize) + Sync),
) -> Result<Option<Vec<Duration>>> {
    let began = Instant::now();
    // A file whose own COMMIT would fail could leave its violation to a later file.
    let has_begun = session.begin(limits, None).await.is_ok();
    if !has_begun || has_deferred_keys(session).await.unwrap_or(true) {
        session.rollback().await;
        return Ok(None);
    }
    let mut durations = Vec::new();
    for (index, file) in files.iter().enumerate() {
        check_lock(client, session).await?;
        on_start(index);
        let started = Instant::now();
        if in_savepoint(file, session, run).await.is_err() {
            let undo = format!("ROLLBACK TO {SAVEPOINT}; RELEASE {SAVEPOINT}");
            // Some errors make SQLite roll back the whole transaction, and its savepoints with it.
            if durations.is_empty() || session.run(undo).await.is_err() {
                session.rollback().await;
                return Ok(None);
            }
            break;
        }
        durations.push(started.elapsed());
        if began.elapsed() >= LONGEST || client.board().is_stopped() {
            break;
        }
    }
    check_lock(client, session).await?;
    if session.run("COMMIT").await.is_err() {
        session.rollback().await;
        return Ok(None);
    }
    Ok(Some(durations))
}

/// Rolls back and returns an error when the lock is lost.
async fn check_lock(client: &Client, session: &mut Session) -> Result<()> {
    if let Err(lost) = client.check_lock().await {
        session.rollback().await;
        return Err(lost.into());
    }
    Ok(())
}

/// Runs a file and its record in a savepoint of the open transaction.
async fn in_savepoint(file: &Pending, session: &mut Session, run: &RunId) -> std::result::Result<(), Failed> {
    let job = file.job();
    let started = Instant::now();
    session.run(format!("SAVEPOINT {SAVEPOINT};\n{}", job.sql)).await?;
    // Sent on its own, because SQLite accepts a comment without an end.
    let mut end = record(&job, Some(file), TimeTaken::Known(started.elapsed()), session, run);
    end.push(format!("RELEASE {SAVEPOINT}"));
    session.run(end.join("; ")).await
}

/// Whether a table has a foreign key that is checked at COMMIT. False positives are harmless.
async fn has_deferred_keys(session: &mut Session) -> std::result::Result<bool, Failed> {
    let query = "SELECT '1', NULL FROM sqlite_schema WHERE sql LIKE '%deferred%' \
                 UNION ALL SELECT '1', NULL FROM sqlite_temp_schema WHERE sql LIKE '%deferred%' LIMIT 1";
    Ok(!session.rows(query.to_owned()).await?.is_empty())
}
