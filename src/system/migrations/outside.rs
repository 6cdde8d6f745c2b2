//! Runs a migration that begins with `-- no-transaction`, statement by statement, remembering in
//! the inventory which are done, so that a later run goes on where this one stops. Until it is
//! whole the history has it with `success` false, which keeps sqlx from beginning it anew.

use std::ops::Range;
use std::time::Instant;

use super::super::script::Script;
use super::super::{Client, Error, Result};
use super::index::Leavings;
use super::session::{self, Failed, Session};
use super::waiting::Watch;
use super::{Job, Pending, asserted, books, failure, run as inside};
use crate::change::Fault;
use crate::digest::Fingerprint;
use crate::journal::{Inventory, RunId};
use crate::lint::{self, Boundary};
use crate::spec::Migration;
use crate::sql::Dialect;

/// PostgreSQL: a statement that refuses to run in a transaction, or ends one.
const NOT_IN_A_TRANSACTION: [&str; 2] = ["25001", "2D000"];
/// PostgreSQL: what a statement made is there, what it dropped is gone. Of a statement that a
/// killed run had begun, this says that it had ended.
const IS_DONE: [&str; 7] = ["42P07", "42710", "42701", "42723", "42P06", "42704", "42P01"];

/// What runs as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) at: Range<usize>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Holds for the session, and is run by every session: `SET`, `PRAGMA`.
    Setting,
    /// From the file's own BEGIN to its COMMIT, which begins at this byte.
    Transaction(usize),
    /// One statement.
    Statement,
}

impl Unit {
    /// What a file consists of.
    pub(super) fn all(sql: &str, dialect: Dialect) -> Vec<Self> {
        let mut units: Vec<Self> = Vec::new();
        let mut open: Option<usize> = None;
        for at in Script::read(sql, dialect).statements {
            let text = sql.get(at.clone()).unwrap_or("");
            let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("").to_lowercase();
            match (open, lint::boundary(text, dialect)) {
                (None, Some(Boundary::Begins)) => open = Some(at.start),
                (None, None) if is_setting(&first, text) => units.push(Self { at, kind: Kind::Setting }),
                (None, None) => units.push(Self { at, kind: Kind::Statement }),
                (Some(start), Some(Boundary::Ends)) => {
                    units.push(Self { kind: Kind::Transaction(at.start), at: start..at.end });
                    open = None;
                }
                // It is of the open one, or ends nothing.
                (Some(_), Some(Boundary::Begins) | None) | (None, Some(Boundary::Ends)) => {}
            }
        }
        if let Some(start) = open {
            // Never ended: it ends with the file.
            units.push(Self { at: start..sql.trim_end().len(), kind: Kind::Statement });
        }
        units
    }

    /// The fingerprint of its text.
    pub(super) fn print(&self, sql: &str) -> Fingerprint {
        books::bare_print(sql.get(self.at.clone()).unwrap_or(""))
    }

    /// Whether it is done once and remembered.
    pub(super) fn is_remembered(&self) -> bool {
        self.kind != Kind::Setting
    }
}

fn is_setting(first: &str, text: &str) -> bool {
    let second = || text.split_whitespace().nth(1).unwrap_or("").to_lowercase();
    match first {
        "set" | "reset" | "pragma" | "attach" | "detach" | "load" | "discard" | "listen" => true,
        "create" => matches!(second().as_str(), "temp" | "temporary"),
        "select" => second().starts_with("set_config(") || second().starts_with("pg_catalog.set_config("),
        _ => false,
    }
}

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
    let units: Vec<Unit> = Unit::all(&file.sql, dialect);
    let print = |number: usize| known.get(&books::done_key(number));
    let units = units.iter().enumerate().filter(|(_, unit)| unit.is_remembered());
    let units: Vec<_> = units.map(|(number, unit)| (number, unit.print(&file.sql))).collect();
    let done = units.iter().filter(|(number, _)| print(*number).is_some()).count();
    let edited = units.iter().find(|(number, now)| print(*number).is_some_and(|then| then != now));
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
pub(in crate::system) fn edited_message(stem: &str, statement: usize) -> String {
    format!(
        "migration {stem} stopped half way, and its statement {statement}, which is done, was edited since"
    )
}

/// What to do then.
const EDITED_HELP: &str = "restore that statement; those that are not done may be edited";

/// Runs what of a migration is not done.
pub(super) async fn apply(
    pending: &Pending,
    job: &Job<'_>,
    session: &mut Session,
    (client, run): (&Client, &RunId),
) -> Result<()> {
    let mut watch = Watch::new(job, client);
    let version = pending.migration.version;
    let reading = || inside::doing("reading the history of migrations");
    let recorded = session.prepare(job.limits, version).await.map_err(reading())?;
    let known = known(job, session).await.map_err(reading())?;
    if let Some(recorded) = &recorded
        && (recorded.success || known.is_empty())
    {
        return inside::already(recorded, pending);
    }
    let started = Instant::now();
    for (number, unit) in Unit::all(job.sql, session.dialect()).iter().enumerate() {
        let mut step = Step { pending, job, session, run, watch: &mut watch, number, unit };
        match known.iter().find(|(key, _)| *key == books::done_key(number)) {
            _ if !unit.is_remembered() => step.run(unit.at.clone()).await?,
            None => step.once(known.iter().any(|(key, _)| *key == books::begun_key(number))).await?,
            Some((_, print)) if *print == unit.print(job.sql) => {}
            Some(_) => {
                return Err(Error::EditedBehind { message: edited_message(job.name, number + 1) });
            }
        }
    }
    let mut end = vec!["BEGIN".to_owned()];
    if session.has_books {
        end.push(books::forget(session, &job.address, None));
    }
    let took = inside::Took::Known(started.elapsed());
    end.push(inside::again_in_history(pending, true, took, session));
    end.extend(inside::remembered(job, true, session, run));
    end.push("COMMIT".to_owned());
    session.run(end.join("; ")).await.map_err(inside::doing("recording a migration"))
}

/// What the inventory knows of a migration.
async fn known(
    job: &Job<'_>,
    session: &mut Session,
) -> std::result::Result<Vec<(Fingerprint, Fingerprint)>, Failed> {
    if !session.has_books {
        return Ok(Vec::new());
    }
    let (books, address) = (session.books(), session.literal(job.address.as_str()));
    let rows = session.rows(format!("SELECT key, digest FROM {books} WHERE address = {address}")).await?;
    let print = |text: &Option<String>| text.as_deref().and_then(Fingerprint::parse);
    Ok(rows.iter().filter_map(|[key, digest]| Some((print(key)?, print(digest)?))).collect())
}

/// One unit on its way.
struct Step<'a, 'w> {
    pending: &'a Pending,
    job: &'a Job<'a>,
    session: &'a mut Session,
    run: &'a RunId,
    watch: &'a mut Watch<'w>,
    number: usize,
    unit: &'a Unit,
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
            let tried = match self.unit.kind {
                Kind::Transaction(commit) => self.own_transaction(commit).await,
                Kind::Setting | Kind::Statement => self.statement(was_begun, &leavings).await,
            };
            let Err(error) = tried else { return Ok(()) };
            let pause = pauses.next().filter(|_| failure::is_passing(&error));
            match pause {
                Some(pause) if self.watch.sleep(pause).await => tries += 1,
                _ => {
                    return Err(failure::of_statement(self.job, &error, (tries, self.watch), &self.unit.at));
                }
            }
        }
    }

    /// The file's own transaction, with the memory of it before its COMMIT.
    async fn own_transaction(&mut self, commit: usize) -> std::result::Result<(), Failed> {
        let Range { start, end } = self.unit.at.clone();
        let done = self.done();
        let steps = [self.text(start..commit), done, self.text(commit..end)];
        for sql in steps.into_iter().filter(|sql| !sql.is_empty()) {
            if let Err(error) = self.send(sql).await {
                self.session.rollback().await;
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
        let done = self.done();
        self.session.run("BEGIN").await?;
        let tried = match self.send(text.clone()).await {
            Ok(()) if done.is_empty() => self.session.run("COMMIT").await,
            Ok(()) => self.session.run(format!("{done}; COMMIT")).await,
            Err(error) => Err(error),
        };
        let Err(error) = tried else { return Ok(()) };
        self.session.rollback().await;
        let refused = session::code(&error).is_some_and(|code| NOT_IN_A_TRANSACTION.contains(&code.as_str()));
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
        leavings.drop_all(self.session).await?;
        let (number, address) = (self.number, &self.job.address);
        if self.session.has_books {
            let begun = (books::begun_key(number), self.unit.print(self.job.sql));
            let begun = books::remember(self.session, address, begun, self.run);
            self.session.run(begun).await?;
        }
        match self.send(text.to_owned()).await {
            Ok(()) => {}
            Err(error) if was_begun && is_done(&error) => {}
            Err(error) => {
                if self.session.has_books && error.as_database_error().is_some() {
                    let forget = books::forget(self.session, address, Some(books::begun_key(number)));
                    self.session.run(forget).await?;
                }
                if !failure::is_passing(&error) {
                    // Nobody is in the way, and there is no next try that would begin with it.
                    leavings.drop_all(self.session).await?;
                }
                return Err(error);
            }
        }
        let done = self.done();
        if done.is_empty() { Ok(()) } else { self.session.run(format!("BEGIN; {done}; COMMIT")).await }
    }

    /// The statements that remember the unit as done; empty without an inventory.
    fn done(&self) -> String {
        if !self.session.has_books {
            return String::new();
        }
        let (session, address) = (&*self.session, &self.job.address);
        let done = (books::done_key(self.number), self.unit.print(self.job.sql));
        [
            inside::again_in_history(
                self.pending,
                false,
                inside::Took::Known(std::time::Duration::ZERO),
                session,
            ),
            books::forget(session, address, Some(books::begun_key(self.number))),
            books::remember(session, address, done, self.run),
        ]
        .join("; ")
    }
}

fn is_done(error: &Failed) -> bool {
    session::code(error).is_some_and(|code| IS_DONE.contains(&code.as_str()))
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

    fn kinds(sql: &str, dialect: Dialect) -> Vec<(&str, bool)> {
        let units = Unit::all(sql, dialect).into_iter();
        units.map(|unit| (&sql[unit.at.clone()], unit.is_remembered())).collect()
    }

    #[test]
    fn settings_are_not_remembered_and_a_transaction_of_the_file_is_one() {
        let sql = "-- no-transaction\nPRAGMA foreign_keys = off; BEGIN;\nDROP TABLE a; SELECT 1; COMMIT;\nVACUUM; select 2";
        assert_eq!(
            kinds(sql, Dialect::Sqlite),
            [
                ("PRAGMA foreign_keys = off", false),
                ("BEGIN;\nDROP TABLE a; SELECT 1; COMMIT", true),
                ("VACUUM", true),
                ("select 2", true)
            ]
        );
        assert!(!kinds("SELECT set_config('a', 'b', false)", Dialect::Postgres)[0].1);
        assert!(kinds("SELECT 1; BEGIN; SELECT 2", Dialect::Postgres)[1].1);
    }

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
