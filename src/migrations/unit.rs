//! Splits a migration that runs outside a transaction into units. Each unit is executed once and recorded;
//! settings are executed again in every session. Pure.

use std::ops::Range;

use super::bookkeeping;
use crate::digest::Fingerprint;
use crate::lint::script::Script;
use crate::lint::{self, Boundary};
use crate::sql::Dialect;
use crate::stack::Migration;

/// A part of a file that is executed and recorded as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) at: Range<usize>,
    pub(super) kind: UnitKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitKind {
    /// Changes the session only, so every session executes it: `SET`, `PRAGMA`.
    Setting,
    /// A transaction that the file itself begins or ends.
    Transaction(Bounds),
    Statement,
}

/// The statements that begin and end a transaction of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// False where the file begins inside the transaction that sqlx opens, and ends it with its
    /// first COMMIT.
    pub(super) has_begin: bool,
    /// The offset of its COMMIT; `None` where the file ends first and sqlx would commit.
    pub(super) commit: Option<usize>,
}

/// A transaction that is open at the current position.
struct Open {
    start: usize,
    has_begin: bool,
    /// The savepoint that began it. In SQLite, a SAVEPOINT outside a transaction acts as BEGIN.
    savepoint: Option<String>,
}

impl Unit {
    /// Splits a file into units. `done` returns the fingerprint recorded for the unit at an index,
    /// if any.
    pub(super) fn of_file(
        sql: &str,
        dialect: Dialect,
        done: impl Fn(usize) -> Option<Fingerprint>,
    ) -> Vec<Self> {
        let units = Self::all(sql, dialect, !Migration::begins_outside(sql));
        let separate = Self::all(sql, dialect, false);
        // Version 0.1.0 executed each statement before the first COMMIT on its own. Files that it left half
        // done resume with the same units.
        let is_done = |units: &[Self]| {
            let done = units.iter().enumerate().filter_map(|(number, unit)| Some((done(number)?, unit)));
            let same: Vec<bool> = done.map(|(then, unit)| then == unit.fingerprint(sql)).collect();
            !same.is_empty() && same.iter().all(|same| *same)
        };
        if is_done(&separate) && !is_done(&units) { separate } else { units }
    }

    /// Splits a file into units. `is_wrapped` where sqlx would open a transaction before it.
    fn all(sql: &str, dialect: Dialect, is_wrapped: bool) -> Vec<Self> {
        let statements = Script::read(sql, dialect).statements;
        let text = |at: &Range<usize>| sql.get(at.clone()).unwrap_or("");
        let first_boundary = statements.iter().find_map(|at| lint::boundary(text(at), dialect));
        let mut is_wrapped = is_wrapped && first_boundary == Some(Boundary::Ends);
        let mut units: Vec<Self> = Vec::new();
        let mut open: Option<Open> = None;
        for at in statements {
            let statement = text(&at);
            let words = Words::parse(statement);
            let boundary = lint::boundary(statement, dialect);
            let Some(transaction) = open.take() else {
                let savepoint = words.savepoint().filter(|_| dialect == Dialect::Sqlite);
                match boundary {
                    Some(Boundary::Begins) => {
                        open = Some(Open { start: at.start, has_begin: true, savepoint: None });
                    }
                    // A COMMIT without a transaction ends nothing.
                    Some(Boundary::Ends) => is_wrapped = false,
                    None if words.are_setting() => units.push(Self { at, kind: UnitKind::Setting }),
                    None if is_wrapped => {
                        open = Some(Open { start: at.start, has_begin: false, savepoint: None });
                        is_wrapped = false;
                    }
                    None if savepoint.is_some() => {
                        open = Some(Open { start: at.start, has_begin: true, savepoint });
                    }
                    None => units.push(Self { at, kind: UnitKind::Statement }),
                }
                continue;
            };
            let is_released = transaction.savepoint.is_some() && words.released() == transaction.savepoint;
            if boundary == Some(Boundary::Ends) || is_released {
                let bounds = Bounds { has_begin: transaction.has_begin, commit: Some(at.start) };
                units.push(Self { kind: UnitKind::Transaction(bounds), at: transaction.start..at.end });
            } else {
                open = Some(transaction);
            }
        }
        if let Some(Open { start, has_begin, savepoint: _ }) = open {
            let bounds = Bounds { has_begin, commit: None };
            units.push(Self { at: start..sql.trim_end().len(), kind: UnitKind::Transaction(bounds) });
        }
        units
    }

    pub(super) fn fingerprint(&self, sql: &str) -> Fingerprint {
        bookkeeping::bare_fingerprint(sql.get(self.at.clone()).unwrap_or(""))
    }

    /// Settings are not recorded.
    pub(super) fn is_recorded(&self) -> bool {
        self.kind != UnitKind::Setting
    }
}

/// The first three words of a statement, in lower case and without quotes.
struct Words(Vec<String>);

impl Words {
    fn parse(statement: &str) -> Self {
        let words = statement.split(|c: char| c.is_whitespace() || c == ';').filter(|word| !word.is_empty());
        let unquoted = words.map(|word| word.trim_matches(['"', '`', '[', ']']).to_lowercase());
        Self(unquoted.take(3).collect())
    }

    fn word(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }

    fn are_setting(&self) -> bool {
        let first = self.word(0).split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
        match first {
            "set" | "reset" | "pragma" | "attach" | "detach" | "load" | "discard" | "listen" => true,
            "create" => matches!(self.word(1), "temp" | "temporary"),
            "select" => {
                self.word(1).starts_with("set_config(") || self.word(1).starts_with("pg_catalog.set_config(")
            }
            _ => false,
        }
    }

    fn savepoint(&self) -> Option<String> {
        (self.word(0) == "savepoint").then(|| self.word(1).to_owned())
    }

    fn released(&self) -> Option<String> {
        let name = if self.word(1) == "savepoint" { self.word(2) } else { self.word(1) };
        (self.word(0) == "release").then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str, dialect: Dialect) -> Vec<(&str, bool)> {
        let units = Unit::all(sql, dialect, !Migration::begins_outside(sql)).into_iter();
        units.map(|unit| (&sql[unit.at.clone()], unit.is_recorded())).collect()
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
    fn what_stands_before_the_first_commit_and_behind_the_last_begin_is_a_transaction() {
        let sql = "SELECT 1; SELECT 2; COMMIT; PRAGMA foreign_keys = off; BEGIN; SELECT 3; ";
        let units = Unit::all(sql, Dialect::Sqlite, true);
        let bounds: Vec<_> = units.iter().map(|unit| (&sql[unit.at.clone()], unit.kind)).collect();
        let transaction = |has_begin, commit| UnitKind::Transaction(Bounds { has_begin, commit });
        assert_eq!(
            bounds,
            [
                ("SELECT 1; SELECT 2; COMMIT", transaction(false, Some(20))),
                ("PRAGMA foreign_keys = off", UnitKind::Setting),
                ("BEGIN; SELECT 3;", transaction(true, None)),
            ]
        );
    }

    #[test]
    fn a_savepoint_of_sqlite_begins_a_transaction_that_its_release_ends() {
        let sql = "COMMIT; SAVEPOINT a; SAVEPOINT b; RELEASE b; RELEASE SAVEPOINT A; SELECT 1; BEGIN;";
        assert_eq!(
            kinds(sql, Dialect::Sqlite),
            [
                ("SAVEPOINT a; SAVEPOINT b; RELEASE b; RELEASE SAVEPOINT A", true),
                ("SELECT 1", true),
                ("BEGIN;", true)
            ]
        );
    }

    #[test]
    fn what_was_begun_statement_by_statement_goes_on_so() {
        let sql = "SELECT 1; SELECT 2; COMMIT; SELECT 3; BEGIN";
        let first = bookkeeping::bare_fingerprint("SELECT 1");
        let begun = Unit::of_file(sql, Dialect::Sqlite, |number| (number == 0).then_some(first));
        assert_eq!(begun, Unit::all(sql, Dialect::Sqlite, false));
        assert_eq!(begun.len(), 4);
        assert_eq!(Unit::of_file(sql, Dialect::Sqlite, |_| None).len(), 3);
    }
}
