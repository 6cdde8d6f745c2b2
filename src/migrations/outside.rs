//! Runs a migration that begins with `-- no-transaction` statement by statement. The inventory records
//! which statements are done, so that a later run resumes after them. Until the file is complete its row in
//! the history has `success` false, which keeps sqlx from running it again from the start.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use super::index::LeftoverIndexes;
use super::recording::TimeTaken;
use super::session::{doing, pauses};
use super::unit::{Bounds, Unit, UnitKind};
use super::watch::Watch;
use super::{Error, Job, Pending, Result, asserted, bookkeeping, failure, recording, without_mark};
use crate::change::{Effect, Fault};
use crate::connection::{self, Client, Failed, Prepared, Session};
use crate::journal::{Inventory, RunId};
use crate::lint;
use crate::lint::script::Script;
use crate::sql::Dialect;
use crate::stack::Migration;

/// PostgreSQL: the statement cannot run in a transaction, or ends one.
const NOT_IN_A_TRANSACTION: [&str; 2] = ["25001", "2D000"];
/// PostgreSQL: the object to create exists, or the object to drop does not. After a run that was killed
/// during a statement, these codes show that the statement had completed.
const IS_DONE: [&str; 7] = ["42P07", "42710", "42701", "42723", "42P06", "42704", "42P01"];

/// How many statements of a partly executed migration are done.
pub(super) struct Progress {
    done: usize,
    of: usize,
    /// The index from 0 of a statement that is done and was edited since.
    edited: Option<usize>,
}

/// The progress of a migration, where the inventory has it as begun.
pub(super) fn progress(file: &Migration, dialect: Dialect, inventory: &Inventory) -> Option<Progress> {
    let address = super::address(file);
    if !file.no_transaction || !bookkeeping::is_begun(inventory, &address) {
        return None;
    }
    let known = inventory.at(&address)?;
    let print = |number: usize| known.get(&bookkeeping::done_key(number)).copied();
    let sql = without_mark(&file.sql);
    let units = Unit::of_file(sql, dialect, print);
    let units = units.iter().enumerate().filter(|(_, unit)| unit.is_recorded());
    let units: Vec<_> = units.map(|(number, unit)| (number, unit.fingerprint(sql))).collect();
    let done = units.iter().filter(|(number, _)| print(*number).is_some()).count();
    let edited = units.iter().find(|(number, now)| print(*number).is_some_and(|then| then != *now));
    Some(Progress { done, of: units.len(), edited: edited.map(|(number, _)| *number) })
}

impl Progress {
    /// Appended to the reason of the change in a plan.
    pub(super) fn description(&self) -> String {
        format!("{} of {} statements are done", self.done, self.of)
    }

    /// Reports a statement that was edited after it was executed.
    pub(super) fn fault(&self, file: &Migration) -> Option<Fault> {
        let statement = self.edited?;
        Some(Fault {
            address: super::address(file),
            message: edited_statement_message(&file.stem, statement + 1),
            help: Some(EDITED_HELP.to_owned()),
            at: Some(file.at.clone()),
        })
    }
}

/// The message about an edited statement; `statement` counts from 1.
pub(crate) fn edited_statement_message(stem: &str, statement: usize) -> String {
    format!(
        "migration {stem} stopped half way, and its statement {statement}, which is done, was edited since"
    )
}

const EDITED_HELP: &str = "restore that statement; those that are not done may be edited";

/// Runs the statements of a migration that are not done. The boolean is true where the file changed no
/// setting of the session, so that the next file can use it.
pub(super) async fn apply(
    pending: &Pending,
    job: &Job<'_>,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<(Effect, bool)> {
    let mut watch = Watch::new(job, client);
    let version = pending.migration.version;
    let first = FirstMessage::of(job, version, session, run);
    if first.is_some() {
        client.check_lock().await?;
    }
    let behind = first.as_ref().map(FirstMessage::message).unwrap_or_default();
    let found = session.prepare(job.limits, version, &job.address, &behind).await;
    let Prepared { recorded, known, behind } = found.map_err(doing("reading the history of migrations"))?;
    if let Some(recorded) = &recorded
        && (recorded.success || known.is_empty())
    {
        recording::check_recorded_text(recorded, pending)?;
        return Ok((Effect::Unchanged, true));
    }
    // The marker is written only once: later runs find it.
    let mut marked = first.filter(|_| recorded.is_none() && known.is_empty()).map(|_| !behind.is_empty());
    let started = Instant::now();
    let done = |number| known.get(&bookkeeping::done_key(number)).copied();
    let units = Unit::of_file(job.sql, session.dialect(), done);
    let last = units.len().saturating_sub(1);
    let mut is_whole = false;
    for (number, unit) in units.iter().enumerate() {
        // The last statement and the record of the whole file can be committed together.
        let ends = (number == last && unit.kind == UnitKind::Statement).then_some(started);
        let mut step = Step {
            pending,
            job,
            session,
            client,
            run,
            watch: &mut watch,
            number,
            unit,
            ends,
            marked: marked.take(),
            failed: None,
        };
        match done(number) {
            _ if !unit.is_recorded() => step.run(unit.at.clone()).await?,
            None => {
                step.run_and_record(known.contains_key(&bookkeeping::begun_key(number))).await?;
                is_whole = ends.is_some();
            }
            Some(print) if print == unit.fingerprint(job.sql) => {}
            Some(_) => {
                return Err(Error::EditedBehind { message: edited_statement_message(job.name, number + 1) });
            }
        }
    }
    if !is_whole {
        let mut end = vec!["BEGIN".to_owned()];
        end.extend(recording::reset_role_statements(job.sql, session.dialect()));
        end.extend(completion_statements(pending, job, session, run, started));
        end.push("COMMIT".to_owned());
        session.run(end.join("; ")).await.map_err(doing("recording a migration"))?;
    }
    Ok((Effect::DONE, units.iter().all(Unit::is_recorded)))
}

/// The statements that record the file as done and delete its progress.
fn completion_statements(
    pending: &Pending,
    job: &Job<'_>,
    session: &Session,
    run: &RunId,
    started: Instant,
) -> Vec<String> {
    let mut statements = Vec::new();
    if session.has_inventory {
        statements.push(bookkeeping::forget(session, &job.address, None));
    }
    let took = TimeTaken::Known(started.elapsed());
    statements.push(recording::upsert_history(pending, true, took, session));
    statements.extend(recording::record_text(job, true, session, run));
    statements
}

/// The first message for a file of one statement that cannot run in a transaction: it records that the
/// statement begins, where no record exists yet, and queries for leftovers of earlier attempts.
struct FirstMessage {
    begun: String,
    has_indexes: Option<String>,
}

impl FirstMessage {
    fn of(job: &Job<'_>, version: i64, session: &Session, run: &RunId) -> Option<Self> {
        let dialect = session.dialect();
        let units = Unit::of_file(job.sql, dialect, |_| None);
        let [unit @ Unit { at, kind: UnitKind::Statement }] = units.as_slice() else { return None };
        let text = job.sql.get(at.clone())?;
        let is_alone = session.has_inventory
            && stays_outside(text, dialect)
            && lint::assertions(job.sql, dialect).is_empty();
        if !is_alone {
            return None;
        }
        let begun = (bookkeeping::begun_key(0), unit.fingerprint(job.sql));
        let begun = bookkeeping::remember_first(session, (&job.address, version), begun, run);
        let has_indexes = LeftoverIndexes::leftovers_query(text, session).ok()?;
        Some(Self { begun: transaction(job, session, &begun), has_indexes })
    }

    fn message(&self) -> String {
        let parts = std::iter::once(self.begun.as_str()).chain(self.has_indexes.as_deref());
        parts.collect::<Vec<_>>().join("; ")
    }
}

/// Wraps bookkeeping statements in a transaction that runs with the session's own role.
fn transaction(job: &Job<'_>, session: &Session, statements: &str) -> String {
    let mut all = vec!["BEGIN".to_owned()];
    all.extend(recording::reset_role_statements(job.sql, session.dialect()));
    all.extend([statements.to_owned(), "COMMIT".to_owned()]);
    all.join("; ")
}

/// The execution of one unit.
struct Step<'a, 'w> {
    pending: &'a Pending,
    job: &'a Job<'a>,
    session: &'a mut Session,
    client: &'a Client,
    run: &'a RunId,
    watch: &'a mut Watch<'w>,
    number: usize,
    unit: &'a Unit,
    /// When the file started, where this unit is the last and completes it.
    ends: Option<Instant>,
    /// `Some` where the begin marker is recorded already; true where earlier attempts may have leftovers
    /// indexes.
    marked: Option<bool>,
    /// The statement that failed, where the unit has several.
    failed: Option<Range<usize>>,
}

impl Step<'_, '_> {
    fn text(&self, at: Range<usize>) -> String {
        self.job.sql.get(at).unwrap_or("").to_owned()
    }

    /// Sends a part of the file while watching for blocking sessions.
    async fn send(&mut self, sql: String) -> std::result::Result<(), Failed> {
        self.watch.run(self.session.pid, self.session.run(sql)).await
    }

    /// Runs a part of the file, with retries while another session holds a lock.
    async fn run(&mut self, at: Range<usize>) -> Result<()> {
        let mut pauses = pauses(self.job.limits);
        let mut tries = 1;
        loop {
            self.client.check_lock().await?;
            let Err(error) = self.send(self.text(at.clone())).await else { return Ok(()) };
            let pause = pauses.next().filter(|_| failure::is_transient(&error));
            match pause {
                Some(pause) if self.watch.sleep(pause).await => tries += 1,
                _ => return Err(failure::statement_failed(self.job, &error, (tries, self.watch), &at)),
            }
        }
    }

    /// Runs the unit and records it, in one transaction where the statement allows that.
    async fn run_and_record(&mut self, was_begun: bool) -> Result<()> {
        let indexes =
            LeftoverIndexes::before_first_attempt(&self.text(self.unit.at.clone()), self.session).await;
        let indexes = indexes.map_err(doing("looking for invalid indexes"))?;
        let mut pauses = pauses(self.job.limits);
        let mut tries = 1;
        let assertions = lint::assertions(self.job.sql, self.session.dialect());
        loop {
            let broken =
                asserted::first_violation(self.job, &assertions, &self.unit.at, false, self.session).await;
            let broken = broken.map_err(|error| {
                failure::statement_failed(self.job, &error, (tries, self.watch), &self.unit.at)
            })?;
            if let Some(error) = broken {
                return Err(error);
            }
            self.client.check_lock().await?;
            let tried = match self.unit.kind {
                UnitKind::Transaction(bounds) => self.own_transaction(bounds).await,
                UnitKind::Setting | UnitKind::Statement => self.statement(was_begun, &indexes).await,
            };
            let Err(error) = tried else { return Ok(()) };
            let pause = pauses.next().filter(|_| failure::is_transient(&error));
            match pause {
                Some(pause) if self.watch.sleep(pause).await => tries += 1,
                _ => {
                    let at = self.failed.as_ref().unwrap_or(&self.unit.at);
                    return Err(failure::statement_failed(self.job, &error, (tries, self.watch), at));
                }
            }
        }
    }

    /// Runs a transaction that the file contains, and records it before its COMMIT. Where the file has no
    /// BEGIN or COMMIT of its own, adds the one that sqlx would.
    async fn own_transaction(&mut self, bounds: Bounds) -> std::result::Result<(), Failed> {
        let Range { start, end } = self.unit.at.clone();
        let Bounds { has_begin, commit } = bounds;
        let body = start..commit.unwrap_or(end);
        // SQLite reports no position, so statements are sent one by one.
        let parts = match self.session.dialect() {
            Dialect::Postgres => vec![body],
            Dialect::Sqlite => {
                let statements = Script::read(self.job.sql, Dialect::Sqlite).statements.into_iter();
                statements.filter(|at| body.start <= at.start && at.end <= body.end).collect()
            }
        };
        let begin = if has_begin { String::new() } else { "BEGIN".to_owned() };
        let mut steps = vec![(begin, None)];
        steps.extend(parts.into_iter().map(|at| (self.text(at.clone()), Some(at))));
        steps.push((self.done(), None));
        steps.push((commit.map_or_else(|| "COMMIT".to_owned(), |at| self.text(at..end)), None));
        for (sql, at) in steps.into_iter().filter(|(sql, _)| !sql.is_empty()) {
            if let Err(error) = self.send(sql).await {
                self.session.rollback().await;
                self.failed = at;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn statement(
        &mut self,
        was_begun: bool,
        indexes: &LeftoverIndexes,
    ) -> std::result::Result<(), Failed> {
        let text = self.text(self.unit.at.clone());
        if stays_outside(&text, self.session.dialect()) {
            return self.without_transaction(&text, was_begun, indexes).await;
        }
        self.session.run("BEGIN").await?;
        let tried = match self.send(text.clone()).await {
            Ok(()) => match self.done() {
                done if done.is_empty() => self.session.run("COMMIT").await,
                done => self.session.run(format!("{done}; COMMIT")).await,
            },
            Err(error) => Err(error),
        };
        let Err(error) = tried else { return Ok(()) };
        self.session.rollback().await;
        let refused =
            connection::code(&error).is_some_and(|code| NOT_IN_A_TRANSACTION.contains(&code.as_str()));
        if refused { self.without_transaction(&text, was_begun, indexes).await } else { Err(error) }
    }

    /// Runs a statement that cannot share a transaction with its record. A begin marker is written first:
    /// after a kill, the next run checks whether the statement had completed.
    async fn without_transaction(
        &mut self,
        text: &str,
        was_begun: bool,
        indexes: &LeftoverIndexes,
    ) -> std::result::Result<(), Failed> {
        let (number, address) = (self.number, &self.job.address);
        let leftovers = match self.marked.take() {
            Some(false) => BTreeSet::new(),
            Some(true) => indexes.find(self.session, String::new()).await?,
            None => self.begin(indexes).await?,
        };
        indexes.drop(leftovers, self.session).await?;
        match self.send(text.to_owned()).await {
            Ok(()) => {}
            Err(error) if was_begun && is_done(&error) => {}
            Err(error) => {
                if self.session.has_inventory && error.as_database_error().is_some() {
                    let forget =
                        bookkeeping::forget(self.session, address, Some(bookkeeping::begun_key(number)));
                    self.record(&forget).await?;
                }
                if !failure::is_transient(&error) {
                    // No lock is involved, so there is no retry that would clean up first.
                    indexes.drop_all(self.session).await?;
                }
                return Err(error);
            }
        }
        let done = self.done();
        if done.is_empty() { Ok(()) } else { self.record(&done).await }
    }

    /// Records that the unit begins, and returns leftovers of earlier attempts, queried in the same
    /// message.
    async fn begin(&mut self, indexes: &LeftoverIndexes) -> std::result::Result<BTreeSet<String>, Failed> {
        let mut begun = String::new();
        if self.session.has_inventory {
            let known = (bookkeeping::begun_key(self.number), self.unit.fingerprint(self.job.sql));
            let known = bookkeeping::remember(self.session, &self.job.address, known, self.run);
            begun = transaction(self.job, self.session, &known);
        }
        let leftovers = indexes.find(self.session, begun).await;
        if leftovers.is_err() {
            self.session.rollback().await;
        }
        leftovers
    }

    /// Runs bookkeeping statements in a transaction with the session's own role.
    async fn record(&mut self, statements: &str) -> std::result::Result<(), Failed> {
        let recorded = self.session.run(transaction(self.job, self.session, statements)).await;
        if recorded.is_err() {
            self.session.rollback().await;
        }
        recorded
    }

    /// The statements that record the unit as done, or the file where this unit completes it. Empty where
    /// the inventory table does not exist.
    fn done(&self) -> String {
        let (session, address) = (&*self.session, &self.job.address);
        let mut statements = recording::reset_role_statements(self.job.sql, session.dialect());
        if let Some(started) = self.ends {
            statements.extend(completion_statements(self.pending, self.job, session, self.run, started));
            return statements.join("; ");
        }
        if !session.has_inventory {
            return String::new();
        }
        let done = (bookkeeping::done_key(self.number), self.unit.fingerprint(self.job.sql));
        statements.extend([
            recording::upsert_history(
                self.pending,
                false,
                TimeTaken::Known(std::time::Duration::ZERO),
                session,
            ),
            bookkeeping::forget(session, address, Some(bookkeeping::begun_key(self.number))),
            bookkeeping::remember(session, address, done, self.run),
        ]);
        statements.join("; ")
    }
}

fn is_done(error: &Failed) -> bool {
    connection::code(error).is_some_and(|code| IS_DONE.contains(&code.as_str()))
}

/// Whether a statement is known to fail in a transaction. Others are recognised by their error
/// code.
fn stays_outside(text: &str, dialect: Dialect) -> bool {
    let words: Vec<String> = text.split_whitespace().take(4).map(str::to_lowercase).collect();
    let first = words.first().map_or("", String::as_str);
    match dialect {
        Dialect::Postgres => first == "vacuum" || words.iter().any(|word| word == "concurrently"),
        Dialect::Sqlite => first == "vacuum",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_a_transaction_is_known() {
        for (text, outside) in [
            ("create index CONCURRENTLY i on t (a)", true),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", true),
            ("DROP INDEX CONCURRENTLY i", true),
            ("CREATE INDEX i ON t (a)", false),
        ] {
            assert_eq!(stays_outside(text, Dialect::Postgres), outside, "{text}");
        }
    }
}
