//! What a pending migration may cost, from its text and what was observed. Pure.

use std::fmt::Write as _;

use crate::catalog::Snapshot;
use crate::change::Risk;
use crate::lint::{self, Emptiness, Known, Statement, Text};
use crate::spec::{Location, Migration};
use crate::sql::Dialect;
use crate::system::Observed;

/// Most statements that a summary speaks of.
const MOST_NAMED: usize = 5;

/// What is said of a migration.
pub(super) struct Verdict {
    pub risk: Risk,
    /// How many statements, and which of them are not simply safe.
    pub summary: String,
    /// Whether its assertions hold, as far as somebody has looked; `None` without assertions.
    pub assertions: Option<Vec<Option<bool>>>,
}

/// Classifies a pending migration; `known` goes from one to the next, in their order.
pub(super) fn of(file: &Migration, dialect: Dialect, observed: &Observed, known: &mut Known) -> Verdict {
    let seen = |table: &_| observed.emptiness.get(table).copied();
    let text = Text { sql: &file.sql, dialect, in_transaction: !file.no_transaction };
    let statements = lint::classify(text, known, &seen);
    let asserted: Vec<_> = lint::assertions(&file.sql, dialect)
        .iter()
        // Missing and empty are one: a table may be made by a run that this one continues.
        .map(|assertion| seen(&assertion.table).map(|seen| seen != Emptiness::NotEmpty))
        .collect();
    Verdict {
        risk: statements.iter().map(|statement| statement.risk).max().unwrap_or(Risk::Safe),
        summary: summary(&statements, file.no_transaction),
        assertions: Some(asserted).filter(|asserted| !asserted.is_empty()),
    }
}

/// The highest risk of a text that is run on a schema.
pub(super) fn of_text(sql: &str, dialect: Dialect, schema: &Snapshot) -> Risk {
    let text = Text { sql, dialect, in_transaction: true };
    let statements = lint::classify(text, &mut Known::of(schema), &|_| None);
    statements.iter().map(|statement| statement.risk).max().unwrap_or(Risk::Safe)
}

fn summary(statements: &[Statement], no_transaction: bool) -> String {
    let count = statements.len();
    let plural = if count == 1 { "" } else { "s" };
    let transaction = if no_transaction { ", outside a transaction" } else { "" };
    let mut named: Vec<(&Statement, &lint::Rule)> =
        statements.iter().filter_map(|statement| Some((statement, statement.rule?))).collect();
    named.sort_by_key(|(statement, _)| std::cmp::Reverse(statement.risk));
    let more = named.len().saturating_sub(MOST_NAMED);
    let mut summary = format!("{count} statement{plural}{transaction}");
    for (statement, rule) in named.iter().take(MOST_NAMED) {
        let Statement { line, risk, reason, .. } = statement;
        // Writing to a String cannot fail.
        let _ = write!(summary, "; line {line} {} ({}): {reason}", risk.as_str(), rule.name);
    }
    if more > 0 {
        let _ = write!(summary, "; and {more} more, none of them worse; `trueup migration lint` lists them");
    }
    summary
}

/// The text of a migration, as lines that are added. Passwords in URLs are masked.
pub(super) fn text(file: &Migration) -> String {
    added(&file.at)
}

/// The text of any file in that form.
pub(super) fn added(at: &Location) -> String {
    let text = at.source.shown().inner();
    text.lines().flat_map(|line| ["+", line, "\n"]).collect()
}
