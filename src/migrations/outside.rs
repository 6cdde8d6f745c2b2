//! Runs a migration that begins with `-- no-transaction`, statement by statement, remembering in
//! the inventory which are done, so that a later run goes on where this one stops. Until it is
//! whole the history has it with `success` false, which keeps sqlx from beginning it anew.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use super::index::Leavings;
use super::unit::{Bounds, Kind, Unit};
use super::watch::Watch;
use super::{Error, Job, Pending, Result, asserted, books, failure, run as inside, without_mark};
use crate::change::{Effect, Fault};
use crate::connection::{self, Client, Failed, Prepared, Session};
use crate::journal::{Inventory, RunId};
use crate::lint;
use crate::lint::script::Script;
use crate::sql::Dialect;
use crate::stack::Migration;

/// PostgreSQL: a statement that refuses to run in a transaction, or ends one.
const NOT_IN_A_TRANSACTION: [&str; 2] = ["25001", "2D000"];
/// PostgreSQL: what a statement made is there, what it dropped is gone. Of a statement that a
/// killed run had begun, this says that it had ended.
const IS_DONE: [&str; 7] = ["42P07", "42710", "42701", "42723", "42P06", "42704", "42P01"];

/// How far a migration got that was begun.
pub(super) struct Progress {
    done: usize,
    of: usize,
    /// A statement that is done and was edited since, counted from 0.
    edited: Option<usize>,
}

/// How far a migration got, where the inventory knows it as begun.
pub(super) fn progress(file: &Migration, dialect: Dialect, inventory: &Inventory) -> Option<Progress> {
    let address = super::address(file);
    if !file.no_transaction || !books::is_begun(inventory, &address) {
        return None;
    }
    let known = inventory.at(&address)?;
    let print = |number: usize| known.get(&books::done_key(number)).copied();
    let sql = without_mark(&file.sql);
    let units = Unit::of_file(sql, dialect, print);
    let units = units.iter().enumerate().filter(|(_, unit)| unit.is_remembered());
    let units: Vec<_> = units.map(|(number, unit)| (number, unit.print(sql))).collect();
    let done = units.iter().filter(|(number, _)| print(*number).is_some()).count();
    let edited = units.iter().find(|(number, now)| print(*number).is_some_and(|then| then != *now));
    Some(Progress { done, of: units.len(), edited: edited.map(|(number, _)| *number) })
}

impl Progress {
    /// For people, in the reason of a change.
    pub(super) fn said(&self) -> String {
        format!("{} of {} statements are done", self.done, self.of)
    }

    /// What is wrong when a statement that is done was edited.
    pub(super) fn fault(&self, file: &Migration) -> Option<Fault> {
        let statement = self.edited?;
        Some(Fault {
            address: super::address(file),
            message: edited_message(&file.stem, statement + 1),
            help: Some(EDITED_HELP.to_owned()),
            at: Some(file.at.clone()),
        })
    }
}

/// What is said of a statement that is done, counted from 1, and was edited.
pub(crate) fn edited_message(stem: &str, statement: usize) -> String {
    format!(
        "migration {stem} stopped half way, and its statement {statement}, which is done, was edited since"
    )
}

/// What to do then.
const EDITED_HELP: &str = "restore that statement; those that are not done may be edited";

/// Runs what of a migration is not done. Gives also whether the session is as the file found it: nothing was
/// set in it that a later file would meet.
pub(super) async fn apply(
    pending: &Pending,
    job: &Job<'_>,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<(Effect, bool)> {
    let mut watch = Watch::new(job, client);
    let version = pending.migration.version;
    let first = FirstMark::of(job, version, session, run);
    if first.is_some() {
        client.check_lock().await?;
    }
    let behind = first.as_ref().map(FirstMark::message).unwrap_or_default();
    let found = session.prepare(job.limits, version, &job.address, &behind).await;
    let Prepared { recorded, known, behind } =
        found.map_err(inside::doing("reading the history of migrations"))?;
    if let Some(recorded) = &recorded
        && (recorded.success || known.is_empty())
    {
        inside::already(recorded, pending)?;
        return Ok((Effect::Unchanged, true));
    }
    // Of a migration that was begun before, nothing was written.
    let mut marked = first.filter(|_| recorded.is_none() && known.is_empty()).map(|_| !behind.is_empty());
    let started = Instant::now();
    let done = |number| known.get(&books::done_key(number)).copied();
    let units = Unit::of_file(job.sql, session.dialect(), done);
    let last = units.len().saturating_sub(1);
    let mut is_whole = false;
    for (number, unit) in units.iter().enumerate() {
        // Nothing comes behind it that could fail: the file is recorded as whole with it.
        let ends = (number == last && unit.kind == Kind::Statement).then_some(started);
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
            _ if !unit.is_remembered() => step.run(unit.at.clone()).await?,
            None => {
                step.once(known.contains_key(&books::begun_key(number))).await?;
                is_whole = ends.is_some();
            }
            Some(print) if print == unit.print(job.sql) => {}
            Some(_) => {
                return Err(Error::EditedBehind { message: edited_message(job.name, number + 1) });
            }
        }
    }
    if !is_whole {
        let mut end = vec!["BEGIN".to_owned()];
        end.extend(inside::own_rights(job.sql, session.dialect()));
        end.extend(whole(pending, job, session, run, started));
        end.push("COMMIT".to_owned());
        session.run(end.join("; ")).await.map_err(inside::doing("recording a migration"))?;
    }
    Ok((Effect::DONE, units.iter().all(Unit::is_remembered)))
}

/// The statements that record the file as done, and forget how far it had got.
fn whole(pending: &Pending, job: &Job<'_>, session: &Session, run: &RunId, started: Instant) -> Vec<String> {
    let mut statements = Vec::new();
    if session.has_books {
        statements.push(books::forget(session, &job.address, None));
    }
    let took = inside::Took::Known(started.elapsed());
    statements.push(inside::again_in_history(pending, true, took, session));
    statements.extend(inside::remembered(job, true, session, run));
    statements
}

/// What is sent with the first question about a file that is one statement which cannot run in a transaction:
/// that it begins, where nothing is known of it yet, and whether earlier tries left something.
struct FirstMark {
    begun: String,
    has_leavings: Option<String>,
}

impl FirstMark {
    fn of(job: &Job<'_>, version: i64, session: &Session, run: &RunId) -> Option<Self> {
        let dialect = session.dialect();
        let units = Unit::of_file(job.sql, dialect, |_| None);
        let [unit @ Unit { at, kind: Kind::Statement }] = units.as_slice() else { return None };
        let text = job.sql.get(at.clone())?;
        let is_alone = session.has_books
            && stays_outside(text, dialect)
            && lint::assertions(job.sql, dialect).is_empty();
        if !is_alone {
            return None;
        }
        let begun = (books::begun_key(0), unit.print(job.sql));
        let begun = books::remember_first(session, (&job.address, version), begun, run);
        let has_leavings = Leavings::question(text, session).ok()?;
        Some(Self { begun: transaction(job, session, &begun), has_leavings })
    }

    fn message(&self) -> String {
        let parts = std::iter::once(self.begun.as_str()).chain(self.has_leavings.as_deref());
        parts.collect::<Vec<_>>().join("; ")
    }
}

/// Statements of the bookkeeping as a transaction, with the rights that the session began with.
fn transaction(job: &Job<'_>, session: &Session, statements: &str) -> String {
    let mut all = vec!["BEGIN".to_owned()];
    all.extend(inside::own_rights(job.sql, session.dialect()));
    all.extend([statements.to_owned(), "COMMIT".to_owned()]);
    all.join("; ")
}

/// One unit on its way.
struct Step<'a, 'w> {
    pending: &'a Pending,
    job: &'a Job<'a>,
    session: &'a mut Session,
    client: &'a Client,
    run: &'a RunId,
    watch: &'a mut Watch<'w>,
    number: usize,
    unit: &'a Unit,
    /// Since when the file runs, where the unit is its end.
    ends: Option<Instant>,
    /// That it begins is remembered already; and whether earlier tries may have left something.
    marked: Option<bool>,
    /// The statement that failed, where one of several did.
    failed: Option<Range<usize>>,
}

impl Step<'_, '_> {
    fn text(&self, at: Range<usize>) -> String {
        self.job.sql.get(at).unwrap_or("").to_owned()
    }

    /// Sends a part of the file, and looks whether it waits for another session.
    async fn send(&mut self, sql: String) -> std::result::Result<(), Failed> {
        self.watch.during(self.session.pid, self.session.run(sql)).await
    }

    /// Runs a part of the file, again when somebody else had a lock.
    async fn run(&mut self, at: Range<usize>) -> Result<()> {
        let mut pauses = inside::pauses(self.job.limits);
        let mut tries = 1;
        loop {
            self.client.check_lock().await?;
            let Err(error) = self.send(self.text(at.clone())).await else { return Ok(()) };
            let pause = pauses.next().filter(|_| failure::is_passing(&error));
            match pause {
                Some(pause) if self.watch.sleep(pause).await => tries += 1,
                _ => return Err(failure::of_statement(self.job, &error, (tries, self.watch), &at)),
            }
        }
    }

    /// Runs the unit and remembers it: in one transaction where the statement allows that.
    async fn once(&mut self, was_begun: bool) -> Result<()> {
        let leavings = Leavings::of(&self.text(self.unit.at.clone()), self.session).await;
        let leavings = leavings.map_err(inside::doing("looking for invalid indexes"))?;
        let mut pauses = inside::pauses(self.job.limits);
        let mut tries = 1;
        let assertions = lint::assertions(self.job.sql, self.session.dialect());
        loop {
            let broken = asserted::broken(self.job, &assertions, &self.unit.at, false, self.session).await;
            let broken = broken.map_err(|error| {
                failure::of_statement(self.job, &error, (tries, self.watch), &self.unit.at)
            })?;
            if let Some(error) = broken {
                return Err(error);
            }
            self.client.check_lock().await?;
            let tried = match self.unit.kind {
                Kind::Transaction(bounds) => self.own_transaction(bounds).await,
                Kind::Setting | Kind::Statement => self.statement(was_begun, &leavings).await,
            };
            let Err(error) = tried else { return Ok(()) };
            let pause = pauses.next().filter(|_| failure::is_passing(&error));
            match pause {
                Some(pause) if self.watch.sleep(pause).await => tries += 1,
                _ => {
                    let at = self.failed.as_ref().unwrap_or(&self.unit.at);
                    return Err(failure::of_statement(self.job, &error, (tries, self.watch), at));
                }
            }
        }
    }

    /// The file's own transaction, with the memory of it before its COMMIT. What the file leaves out of
    /// it is what sqlx does around the file.
    async fn own_transaction(&mut self, bounds: Bounds) -> std::result::Result<(), Failed> {
        let Range { start, end } = self.unit.at.clone();
        let Bounds { has_begin, commit } = bounds;
        let body = start..commit.unwrap_or(end);
        // SQLite does not say where in a text it failed.
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

    async fn statement(&mut self, was_begun: bool, leavings: &Leavings) -> std::result::Result<(), Failed> {
        let text = self.text(self.unit.at.clone());
        if stays_outside(&text, self.session.dialect()) {
            return self.bare(&text, was_begun, leavings).await;
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
        if refused { self.bare(&text, was_begun, leavings).await } else { Err(error) }
    }

    /// A statement that cannot share a transaction with its memory: that it begins is remembered
    /// first, so that a run after a kill knows that it may have ended.
    async fn bare(
        &mut self,
        text: &str,
        was_begun: bool,
        leavings: &Leavings,
    ) -> std::result::Result<(), Failed> {
        let (number, address) = (self.number, &self.job.address);
        let left = match self.marked.take() {
            Some(false) => BTreeSet::new(),
            Some(true) => leavings.find(self.session, String::new()).await?,
            None => self.begin(leavings).await?,
        };
        leavings.drop(left, self.session).await?;
        match self.send(text.to_owned()).await {
            Ok(()) => {}
            Err(error) if was_begun && is_done(&error) => {}
            Err(error) => {
                if self.session.has_books && error.as_database_error().is_some() {
                    let forget = books::forget(self.session, address, Some(books::begun_key(number)));
                    self.record(&forget).await?;
                }
                if !failure::is_passing(&error) {
                    // Nobody is in the way, and there is no next try that would begin with it.
                    leavings.drop_all(self.session).await?;
                }
                return Err(error);
            }
        }
        let done = self.done();
        if done.is_empty() { Ok(()) } else { self.record(&done).await }
    }

    /// Remembers that the unit begins; gives what is left of earlier tries, for which it asks in the same message.
    async fn begin(&mut self, leavings: &Leavings) -> std::result::Result<BTreeSet<String>, Failed> {
        let mut begun = String::new();
        if self.session.has_books {
            let known = (books::begun_key(self.number), self.unit.print(self.job.sql));
            let known = books::remember(self.session, &self.job.address, known, self.run);
            begun = transaction(self.job, self.session, &known);
        }
        let left = leavings.find(self.session, begun).await;
        if left.is_err() {
            self.session.rollback().await;
        }
        left
    }

    /// Runs statements of the bookkeeping in a transaction, with the rights that the session began with.
    async fn record(&mut self, statements: &str) -> std::result::Result<(), Failed> {
        let recorded = self.session.run(transaction(self.job, self.session, statements)).await;
        if recorded.is_err() {
            self.session.rollback().await;
        }
        recorded
    }

    /// The statements that remember the unit as done, or the file as whole where that is its end, with the
    /// rights that the session began with; empty where there is nothing to remember it in.
    fn done(&self) -> String {
        let (session, address) = (&*self.session, &self.job.address);
        let mut statements = inside::own_rights(self.job.sql, session.dialect());
        if let Some(started) = self.ends {
            statements.extend(whole(self.pending, self.job, session, self.run, started));
            return statements.join("; ");
        }
        if !session.has_books {
            return String::new();
        }
        let done = (books::done_key(self.number), self.unit.print(self.job.sql));
        statements.extend([
            inside::again_in_history(
                self.pending,
                false,
                inside::Took::Known(std::time::Duration::ZERO),
                session,
            ),
            books::forget(session, address, Some(books::begun_key(self.number))),
            books::remember(session, address, done, self.run),
        ]);
        statements.join("; ")
    }
}

fn is_done(error: &Failed) -> bool {
    connection::code(error).is_some_and(|code| IS_DONE.contains(&code.as_str()))
}

/// Statements that are known to refuse a transaction; others say so themselves.
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
