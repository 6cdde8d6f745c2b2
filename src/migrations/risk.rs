//! Classifies what a pending migration may cost, from its text and the observed database. Pure.

use super::{Applied, Desired, Observed, without_mark};
use crate::change::Risks;
use crate::lint::{self, Emptiness, Finding, Grouped, Known, Statement, Text};
use crate::sql::FileTables;
use crate::stack::Migration;

const MAX_FINDINGS: usize = 5;

const MAX_LINE_RANGES: usize = 8;

/// The classification of one file.
pub(super) struct Assessment {
    pub risks: Risks,
    pub count: String,
    /// One line for each finding, the most severe first.
    pub findings: Vec<String>,
    /// For each assertion whether it holds, or `None` where it was not observed.
    pub assertions: Option<Vec<Option<bool>>>,
}

/// The state of the tables before the pending files run. Files that an earlier run of the same plan
/// executed are applied on top, so that their tables still count as new.
pub(super) fn initial_tables(desired: &Desired, seen: Observed<'_>) -> Known {
    let Observed { exists, schema, history, missing, extensions, emptiness: _ } = seen;
    let is_done = |file: &&Migration| desired.done.contains(&super::address(file));
    let done: Vec<&Migration> = desired.files.iter().filter(is_done).collect();
    let with_done = |mut known: Known| {
        for file in &done {
            lint::classify(file.text(desired.dialect), &mut known, &|_| None);
        }
        known
    };
    let bare = with_done(Known::empty_database());
    let is_before = |applied: &Applied| !done.iter().any(|file| file.version == applied.version);
    let is_migrated = history.unwrap_or_default().iter().any(is_before);
    let is_bare = !is_migrated && schema.tables.keys().all(|table| bare.has_made(table, desired.dialect));
    if !exists || is_bare {
        return bare;
    }
    let mut before = schema.clone();
    before.tables.retain(|table, _| !bare.has_made(table, desired.dialect));
    let presumed = schema.tables.keys().filter(|table| !before.tables.contains_key(*table)).cloned();
    let known = Known::from_schema(&before, desired.dialect).with_lookups(
        missing,
        presumed,
        extensions.keys().cloned(),
    );
    with_done(known)
}

/// Classifies a file, and updates `known` for the next one.
pub(super) fn assess(text: Text<'_>, seen: Observed<'_>, known: &mut Known) -> Assessment {
    let seen = |table: &_| seen.emptiness.get(table).copied();
    let statements = lint::classify(text, known, &seen);
    let asserted: Vec<_> = lint::assertions(text.sql, text.dialect)
        .iter()
        // Missing and empty are treated alike: a run that is resumed may have created the table.
        .map(|assertion| seen(&assertion.table).map(|seen| seen != Emptiness::NotEmpty))
        .collect();
    Assessment {
        risks: statements.iter().flat_map(|statement| statement.risks).collect(),
        count: count(&statements, !text.in_transaction),
        findings: findings(&statements),
        assertions: Some(asserted).filter(|asserted| !asserted.is_empty()),
    }
}

impl Assessment {
    /// One line, followed by the findings.
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
    let more = groups.len().saturating_sub(MAX_FINDINGS);
    let mut lines: Vec<String> = groups.iter().take(MAX_FINDINGS).map(line).collect();
    if more > 0 {
        lines.push(format!("and {more} more, none of them worse; `trueup migration lint` lists them"));
    }
    lines
}

fn line(group: &Grouped<'_>) -> String {
    let Finding { rule, risk, reason } = group.finding;
    let place = match group.count {
        1 => format!("line {}", group.line_list(1)),
        count => format!("{count} times in lines {}:", group.line_list(MAX_LINE_RANGES)),
    };
    format!("{place} {} ({}): {reason}", risk.as_str(), rule.name)
}

/// The text of a migration as added lines, with secrets masked.
pub(super) fn added(sql: &str, tables: &FileTables) -> String {
    let text = tables.masked(without_mark(sql));
    text.lines().flat_map(|line| ["+", line, "\n"]).collect()
}
