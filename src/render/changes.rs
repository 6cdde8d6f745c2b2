//! The changes of a plan, grouped by component: one row each, with the differences below it. Many
//! similar changes are folded into one row.

use super::Tone;
use super::page::{Detail, Page};
use super::values::differences;
use crate::address::{Component, Kind};
use crate::apply::TextChanges;
use crate::change::{Action, Drift, Risk};
use crate::neutral::{block, one_line};
use crate::plan::ChangeEntry;

/// Longer diffs are cut in text output; JSON contains all of it.
const MOST_DIFF_LINES: usize = 60;
/// If the SQL of safe migrations is longer than this in total, it is counted instead of shown,
/// because a first plan may have many migrations.
const MOST_SAFE_LINES: usize = 60;
/// Up to this many similar changes are shown individually.
const MOST_ALIKE: usize = 5;
/// Width of the address column; longer addresses overflow it.
const WIDEST: usize = 44;

/// Returns the heading of a component.
fn title(component: Component) -> &'static str {
    match component {
        Component::System => "System database",
        Component::Target => "Targets",
        Component::Vector => "Vector store",
        Component::Cache => "Cache",
        Component::Flags => "Flags",
    }
}

/// Returns the sign and tone of an action.
pub(super) fn sign(action: Action) -> (&'static str, Tone) {
    match action {
        Action::Create => ("+", Tone::Good),
        Action::Update => ("~", Tone::Warning),
        Action::Delete => ("-", Tone::Bad),
        Action::Replace => ("±", Tone::Bad),
        Action::Run => (">", Tone::Good),
    }
}

/// Renders the changes, in order within each component.
pub(super) fn changes(page: &mut Page, changes: &[ChangeEntry], texts: &TextChanges) {
    let safe_lines: usize = changes.iter().filter(|change| is_safe_sql(change)).filter_map(diff_length).sum();
    let is_short = safe_lines <= MOST_SAFE_LINES;
    for component in Component::ALL {
        let of_it: Vec<&ChangeEntry> =
            changes.iter().filter(|change| change.address.component() == component).collect();
        if of_it.is_empty() {
            continue;
        }
        page.heading(title(component));
        let widths = of_it.iter().map(|change| one_line(change.address.as_str()).chars().count());
        let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        for alike in of_it.chunk_by(|one, other| are_alike(one, other)) {
            match alike {
                [first, .., last] if alike.len() > MOST_ALIKE && page.style.detail == Detail::Short => {
                    folded(page, first, last, alike.len());
                }
                _ => alike.iter().for_each(|change| row(page, change, texts, (width, is_short))),
            }
        }
    }
}

/// Whether two changes differ only in their object and have no details that must be shown.
fn are_alike(one: &ChangeEntry, other: &ChangeEntry) -> bool {
    let is_plain = |change: &ChangeEntry| {
        matches!(change.action, Action::Create | Action::Run)
            && change.risk == Risk::Safe
            && !change.summary.contains('\n')
    };
    let key = |change: &ChangeEntry| (change.address.kind(), change.action);
    key(one) == key(other) && is_plain(one) && is_plain(other)
}

/// Renders many similar changes as one row.
fn folded(page: &mut Page, first: &ChangeEntry, last: &ChangeEntry, count: usize) {
    let (sign, tone) = sign(first.action);
    let kind = first.address.kind().prefix();
    let head = page.tone(tone, &format!("  {sign} {kind}.*"));
    let (from, to) = (one_line(first.address.name()), one_line(last.address.name()));
    let hint = page.tone(Tone::Faint, "(`-v` shows each)");
    page.row(6, &format!("{head}  {count} of them, {from} to {to} {hint}"));
}

fn row(page: &mut Page, change: &ChangeEntry, texts: &TextChanges, (width, is_short): (usize, bool)) {
    let (sign, tone) = sign(change.action);
    let address = format!("{:width$}", one_line(change.address.as_str()));
    let risks = format!("[{}]", change.risks().names());
    let risk = match change.risk {
        Risk::Safe => String::new(),
        Risk::Locking | Risk::Unvalidated => format!(" {}", page.tone(Tone::Warning, &risks)),
        Risk::Destructive => format!(" {}", page.tone(Tone::Bad, &risks)),
    };
    let head = page.tone(tone, &format!("  {sign} {address}"));
    // The sign already shows that the object is missing, or that the script has not run.
    let is_said = matches!(
        (change.action, change.reason.as_str()),
        (Action::Create, "missing") | (Action::Run, "pending")
    );
    let why = if is_said {
        String::new()
    } else {
        format!(" {}", page.tone(Tone::Faint, &format!("({})", change.reason)))
    };
    // Below the summary of a migration are lint findings, and below that of a seed what cannot be
    // checked; other summaries have one line.
    let has_findings =
        matches!(change.address.kind(), Kind::Migration | Kind::Repeatable | Kind::Seed | Kind::Ontology);
    let (first, findings) = match change.summary.split_once('\n') {
        Some((first, findings)) if has_findings => (first, findings),
        _ => (change.summary.as_str(), ""),
    };
    page.row(width + 6, &format!("{head}  {}{risk}{why}", one_line(first)));
    for finding in findings.lines() {
        let finding = page.tone(Tone::Warning, finding);
        page.row(10, &format!("      {finding}"));
    }
    details(page, change, is_short);
    for (id, diff) in texts.get(&change.address).into_iter().flatten() {
        page.line(&format!("      text of {}:", one_line(id)));
        diff_lines(page, diff, Page::wrapped);
    }
}

/// Whether a change runs a text that has no risk and need not be reviewed in full.
fn is_safe_sql(change: &ChangeEntry) -> bool {
    change.action == Action::Run && change.risk == Risk::Safe
}

fn diff_length(change: &ChangeEntry) -> Option<usize> {
    change.diff.as_ref().map(|diff| diff.lines().count())
}

/// Renders the differences of an update, or the diff of a change.
fn details(page: &mut Page, change: &ChangeEntry, is_short: bool) {
    match &change.diff {
        Some(diff) if is_safe_sql(change) && !is_short => {
            let count = diff.lines().count();
            let plural = if count == 1 { "" } else { "s" };
            let text =
                page.tone(Tone::Faint, &format!("{count} line{plural} of SQL; `--format json` has all"));
            page.row(8, &format!("      {text}"));
        }
        // The diff of rows or documents has our own lines, which may be wrapped; other diffs quote a text.
        Some(diff) if matches!(change.address.kind(), Kind::Seed | Kind::Ontology | Kind::Documents) => {
            diff_lines(page, diff, Page::wrapped);
        }
        Some(diff) => diff_lines(page, diff, Page::line),
        None if matches!(change.action, Action::Update | Action::Replace) => {
            for text in differences(change.before.as_ref(), change.after.as_ref()) {
                page.row(8, &format!("      {text}"));
            }
        }
        None => {}
    }
}

fn diff_lines(page: &mut Page, diff: &str, write: fn(&mut Page, &str)) {
    for text in block(diff).lines().take(MOST_DIFF_LINES) {
        let tone = match text.chars().next() {
            Some('+') => Tone::Good,
            Some('-') => Tone::Bad,
            Some('~') => Tone::Warning,
            _ => Tone::Faint,
        };
        let painted = page.tone(tone, text);
        write(page, &format!("      {painted}"));
    }
    let rest = diff.lines().count().saturating_sub(MOST_DIFF_LINES);
    if rest > 0 {
        let plural = if rest == 1 { "" } else { "s" };
        page.line(&format!("      … {rest} more line{plural}; `--format json` has all"));
    }
}

/// Renders the differences that no change removes.
pub(super) fn drift(page: &mut Page, drift: &[Drift]) {
    if drift.is_empty() {
        return;
    }
    page.heading("Drift");
    for drift in drift {
        let mark = page.tone(Tone::Warning, "!");
        let (address, summary) = (one_line(drift.address.as_str()), one_line(&drift.summary));
        page.row(6, &format!("  {mark} {address}: {summary}"));
        diff_lines(page, &drift.diff, Page::line);
    }
}
