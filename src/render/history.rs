//! The recorded runs and their steps as columns.

use super::page::Style;
use super::{Cell, Tone, table};
use crate::journal::{Outcome, Run, RunStatus, StepRecord};

const RUN_HEADINGS: [&str; 8] = ["run", "status", "command", "started", "stack", "by", "commit", "outcome"];
/// The columns of a run that fit on a terminal.
const RUN_ON_TERMINAL: usize = 5;
const STEP_HEADINGS: [&str; 6] = ["finished", "outcome", "action", "took", "step", "why"];
/// The columns of a step that fit on a terminal.
const STEP_ON_TERMINAL: usize = 5;

/// Renders the runs. On a terminal each run has its account, commit and outcome on a second line, and a shortened id
/// that `history` accepts; in a log a run is one line.
pub fn history_text(runs: &[Run], style: Style) -> String {
    if style.width.is_none() {
        return table(
            &RUN_HEADINGS,
            &runs.iter().map(|run| run_row(run, run.id.as_str())).collect::<Vec<_>>(),
            style,
        );
    }
    let rows = runs.iter().map(|run| run_row(run, short_id(run.id.as_str()))).collect();
    let notes: Vec<String> = runs.iter().map(run_note).collect();
    with_notes(RUN_HEADINGS.split_at(RUN_ON_TERMINAL).0, rows, &notes, style)
}

/// Renders the steps of a run. On a terminal the reason follows on a second line.
pub fn steps_text(steps: &[StepRecord], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = steps.iter().map(step_row).collect();
    if style.width.is_none() {
        return table(&STEP_HEADINGS, &rows, style);
    }
    let why = |row: &Vec<Cell>| row.last().map(|(_, why)| why.clone()).unwrap_or_default();
    let notes: Vec<String> = rows.iter().map(why).collect();
    with_notes(STEP_HEADINGS.split_at(STEP_ON_TERMINAL).0, rows, &notes, style)
}

/// Renders columns for a terminal, as many as there are headings, with a wrapped note below each row.
fn with_notes(headings: &[&str], mut rows: Vec<Vec<Cell>>, notes: &[String], style: Style) -> String {
    for row in &mut rows {
        row.truncate(headings.len());
    }
    let columns = table(headings, &rows, Style { width: None, ..style });
    let mut lines = columns.lines();
    let heading = lines.next().map(|line| format!("{line}\n")).unwrap_or_default();
    lines.zip(notes).fold(heading, |mut text, (line, note)| {
        text.push_str(line);
        text.push('\n');
        if !note.is_empty() {
            text.push_str(&table(
                &[],
                &[vec![(None, String::new()), (Some(Tone::Faint), note.clone())]],
                style,
            ));
        }
        text
    })
}

fn run_row(run: &Run, id: &str) -> Vec<Cell> {
    let tone = match run.status {
        RunStatus::Succeeded => Tone::Good,
        RunStatus::Running | RunStatus::Interrupted => Tone::Warning,
        RunStatus::Failed | RunStatus::Died => Tone::Bad,
    };
    let plain = |text: &str| (None, text.to_owned());
    vec![
        plain(id),
        (Some(tone), run.status.as_str().to_owned()),
        plain(&run.command),
        plain(to_the_second(&run.started_at)),
        plain(&format!("{} ({})", run.stack, run.environment)),
        plain(&run.who),
        plain(short_commit(run).unwrap_or("-")),
        plain(run.summary.as_deref().unwrap_or("")),
    ]
}

fn run_note(run: &Run) -> String {
    let commit = short_commit(run).map(|commit| format!(", commit {commit}")).unwrap_or_default();
    let outcome = run.summary.as_ref().map(|outcome| format!(": {outcome}")).unwrap_or_default();
    format!("by {}{commit}{outcome}", run.who)
}

/// Returns the end of an id. Ids of one day begin alike.
fn short_id(id: &str) -> &str {
    const LENGTH: usize = 12;
    id.len().checked_sub(LENGTH).and_then(|start| id.get(start..)).unwrap_or(id)
}

fn short_commit(run: &Run) -> Option<&str> {
    run.git_commit.as_ref().and_then(|commit| commit.get(..10))
}

/// Removes the fraction of a second from an RFC 3339 time: `2026-01-02T03:04:05Z`.
fn to_the_second(time: &str) -> &str {
    time.split('.').next().unwrap_or(time)
}

fn step_row(step: &StepRecord) -> Vec<Cell> {
    let StepRecord { position: _, address, action, outcome, finished_at, milliseconds } = step;
    let (word, tone, why) = match outcome {
        Outcome::Done => ("done", Tone::Good, String::new()),
        Outcome::Warned(warnings) => ("done", Tone::Warning, warnings.join("; ")),
        Outcome::Unchanged => ("unchanged", Tone::Good, String::new()),
        Outcome::Skipped(reason) => ("skipped", Tone::Good, reason.clone()),
        Outcome::Failed(error) => ("failed", Tone::Bad, error.lines().collect::<Vec<_>>().join("; ")),
        Outcome::Blocked(reason) => ("blocked", Tone::Warning, reason.clone()),
    };
    vec![
        (None, to_the_second(finished_at).to_owned()),
        (Some(tone), word.to_owned()),
        (None, action.clone()),
        (None, format!("{milliseconds} ms")),
        (None, address.clone()),
        (None, why),
    ]
}
