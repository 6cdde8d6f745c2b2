//! What a pending migration may cost, from its text and what was observed. Pure.

use super::{Applied, Desired, Seen, without_mark};
use crate::change::Risks;
use crate::lint::{self, Emptiness, Finding, Grouped, Known, Statement, Text};
use crate::sql;
use crate::stack::Migration;

/// Most findings that are listed.
const MOST_NAMED: usize = 5;

/// Most ranges of lines that are listed for a finding.
const MOST_RANGES: usize = 8;

/// What is said of a file.
pub(super) struct Verdict {
    pub risks: Risks,
    pub count: String,
    /// A line for each finding, the worst first.
    pub findings: Vec<String>,
    /// Whether its assertions hold, as far as somebody has looked; `None` without assertions.
    pub assertions: Option<Vec<Option<bool>>>,
}

/// What is known of the tables before anything that is pending runs. What an earlier run of the same
/// plan made is as new as it was when the plan was made.
pub(super) fn known(desired: &Desired, seen: Seen<'_>) -> Known {
    let Seen { exists, schema, history, missing, extensions, emptiness: _ } = seen;
    let is_done = |file: &&Migration| desired.done.contains(&super::address(file));
    let done: Vec<&Migration> = desired.files.iter().filter(is_done).collect();
    let with_done = |mut known: Known| {
        for file in &done {
            lint::classify(file.text(desired.dialect), &mut known, &|_| None);
        }
        known
    };
    let bare = with_done(Known::nothing());
    let is_before = |applied: &Applied| !done.iter().any(|file| file.version == applied.version);
    let is_migrated = history.unwrap_or_default().iter().any(is_before);
    let is_bare = !is_migrated && schema.tables.keys().all(|table| bare.has_made(table, desired.dialect));
    if !exists || is_bare {
        return bare;
    }
    let mut before = schema.clone();
    before.tables.retain(|table, _| !bare.has_made(table, desired.dialect));
    let presumed = schema.tables.keys().filter(|table| !before.tables.contains_key(*table)).cloned();
    let known = Known::of(&before, desired.dialect).looked_at(missing, presumed, extensions.keys().cloned());
    with_done(known)
}

/// Classifies what is pending; `known` goes from one text to the next, in their order.
pub(super) fn of(text: Text<'_>, seen: Seen<'_>, known: &mut Known) -> Verdict {
    let seen = |table: &_| seen.emptiness.get(table).copied();
    let statements = lint::classify(text, known, &seen);
    let asserted: Vec<_> = lint::assertions(text.sql, text.dialect)
        .iter()
        // Missing and empty are one: a table may be made by a run that this one continues.
        .map(|assertion| seen(&assertion.table).map(|seen| seen != Emptiness::NotEmpty))
        .collect();
    Verdict {
        risks: statements.iter().flat_map(|statement| statement.risks).collect(),
        count: count(&statements, !text.in_transaction),
        findings: findings(&statements),
        assertions: Some(asserted).filter(|asserted| !asserted.is_empty()),
    }
}

impl Verdict {
    /// One line, and below it the findings.
    pub(super) fn summary(&self, note: &str) -> String {
        let Self { count, findings, .. } = self;
        let lines = findings.iter().map(|finding| format!("\n{finding}"));
        format!("{count}{note}{}", lines.collect::<String>())
    }
}

fn count(statements: &[Statement], no_transaction: bool) -> String {
    let plural = if statements.len() == 1 { "" } else { "s" };
    let transaction = if no_transaction { ", outside a transaction" } else { "" };
    format!("{} statement{plural}{transaction}", statements.len())
}

fn findings(statements: &[Statement]) -> Vec<String> {
    let mut groups = lint::grouped(statements);
    groups.sort_by_key(|group| std::cmp::Reverse(group.finding.risk));
    let more = groups.len().saturating_sub(MOST_NAMED);
    let mut lines: Vec<String> = groups.iter().take(MOST_NAMED).map(line).collect();
    if more > 0 {
        lines.push(format!("and {more} more, none of them worse; `trueup migration lint` lists them"));
    }
    lines
}

fn line(group: &Grouped<'_>) -> String {
    let Finding { rule, risk, reason } = group.finding;
    let place = match group.count {
        1 => format!("line {}", group.line_list(1)),
        count => format!("{count} times in lines {}:", group.line_list(MOST_RANGES)),
    };
    format!("{place} {} ({}): {reason}", risk.as_str(), rule.name)
}

/// The text of a migration, as lines that are added, without the secrets that stand in it.
pub(super) fn added(sql: &str) -> String {
    let text = sql::masked(without_mark(sql));
    text.lines().flat_map(|line| ["+", line, "\n"]).collect()
}
