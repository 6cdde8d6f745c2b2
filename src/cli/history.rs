//! `trueup history`: lists the runs that changed something or failed, and the steps of a run.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure, Plain};
use super::load;
use super::ui::Ui;
use super::values::EventFormat;
use crate::journal::{self, Bookkeeping, Outcome, Run, StepRecord, lock};
use crate::render::{Cell, Style, Tone, table};
use crate::sql::Database;
use crate::stack::{Contact, Stack};
use crate::stores::{Clients, system_url};

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The run whose steps to show: its id, or the beginning or end of it
    pub run: Option<String>,
    /// Maximum number of runs to show
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: u16,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

pub(super) async fn run(args: &HistoryArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    load::within_a_minute("reading the history", Box::pin(read(args, &stack, ui))).await
}

async fn read(args: &HistoryArgs, stack: &Stack, ui: &Ui) -> Result<Exit, Failure> {
    let clients = Clients::reading(stack, false)?;
    let Some(database) = clients.existing_system().await? else { return print_no_runs(ui) };
    let (journal, _) = journal::observe(&database).await?;
    if journal.bookkeeping == Bookkeeping::Missing {
        return print_no_runs(ui);
    }
    let limit = if args.run.is_some() { i64::MAX } else { i64::from(args.limit) };
    let runs = mark_crashed(journal::history(&database, limit).await?, stack).await?;
    match &args.run {
        None => {
            list(&runs, args.format, ui);
            Ok(Exit::Done)
        }
        Some(wanted) => steps(&database, &runs, wanted, args.format, ui).await,
    }
}

/// Marks unfinished runs as crashed, except the one that is running: it holds the lock.
pub(super) async fn mark_crashed(runs: Vec<Run>, stack: &Stack) -> Result<Vec<Run>, Failure> {
    if runs.iter().all(|run| run.status != journal::RunStatus::Running) {
        return Ok(runs);
    }
    let holder = lock::status(&system_url(stack)?, &stack.name).await?;
    let holder = holder.as_ref().and_then(|holder| holder.run.as_deref());
    Ok(runs.into_iter().map(|run| run.with_crash_detected(holder)).collect())
}

fn print_no_runs(ui: &Ui) -> Result<Exit, Failure> {
    ui.note("nothing was applied to this system database yet");
    Ok(Exit::Done)
}

fn list(runs: &[Run], format: EventFormat, ui: &Ui) {
    match format {
        EventFormat::Json => runs.iter().for_each(|run| ui.answer(&format!("{}\n", json!(run)))),
        EventFormat::Text => ui.answer(&as_table(runs, ui)),
    }
}

/// Formats the runs as columns. On a terminal each run has its account, commit and outcome on a second line, and
/// a shortened id that `history` accepts; in a log a run is one line.
fn as_table(runs: &[Run], ui: &Ui) -> String {
    const HEADINGS: [&str; 8] = ["run", "status", "command", "started", "stack", "by", "commit", "outcome"];
    const END: usize = 12;
    const ON_TERMINAL: usize = 5;
    let style = ui.style();
    let is_terminal = style.width.is_some();
    let commit = |run: &Run| run.git_commit.as_ref().and_then(|commit| commit.get(..10)).map(str::to_owned);
    let row = |run: &Run| {
        let tone = match run.status {
            journal::RunStatus::Succeeded => Tone::Good,
            journal::RunStatus::Running | journal::RunStatus::Interrupted => Tone::Warning,
            journal::RunStatus::Failed | journal::RunStatus::Died => Tone::Bad,
        };
        let plain = |text: &str| (None, text.to_owned());
        let id = run.id.as_str();
        let end = id.len().checked_sub(END).and_then(|at| id.get(at..)).filter(|_| is_terminal);
        let mut row = vec![
            plain(end.unwrap_or(id)),
            (Some(tone), run.status.as_str().to_owned()),
            plain(&run.command),
            plain(to_the_second(&run.started_at)),
            plain(&format!("{} ({})", run.stack, run.environment)),
            plain(&run.who),
            plain(commit(run).as_deref().unwrap_or("-")),
            plain(run.summary.as_deref().unwrap_or("")),
        ];
        row.truncate(if is_terminal { ON_TERMINAL } else { HEADINGS.len() });
        row
    };
    let shown = HEADINGS.get(..ON_TERMINAL).filter(|_| is_terminal).unwrap_or(&HEADINGS);
    let unwrapped = Style { width: None, ..style };
    let lines = table(shown, &runs.iter().map(row).collect::<Vec<_>>(), unwrapped);
    if !is_terminal {
        return lines;
    }
    let mut lines = lines.lines();
    let heading = lines.next().map(|line| format!("{line}\n")).unwrap_or_default();
    let with_outcome = lines.zip(runs).map(|(line, run)| {
        let commit = commit(run).map(|commit| format!(", commit {commit}")).unwrap_or_default();
        let outcome = run.summary.as_ref().map(|outcome| format!(": {outcome}")).unwrap_or_default();
        let second = format!("by {}{commit}{outcome}", run.who);
        let second = table(&[], &[vec![(None, String::new()), (Some(Tone::Faint), second)]], style);
        format!("{line}\n{second}")
    });
    heading + &with_outcome.collect::<Vec<_>>().concat()
}

/// Removes the fraction of a second from an RFC 3339 time: `2026-01-02T03:04:05Z`.
fn to_the_second(time: &str) -> &str {
    time.split('.').next().unwrap_or(time)
}

async fn steps(
    database: &Database,
    runs: &[Run],
    wanted: &str,
    format: EventFormat,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let matches = |run: &&Run| run.id.as_str().starts_with(wanted) || run.id.as_str().ends_with(wanted);
    let found: Vec<&Run> = runs.iter().filter(matches).collect();
    let run = match found.as_slice() {
        [run] => *run,
        [] => {
            let plain = Plain::new("no_run", format!("no run is named {wanted}"));
            return Err(Failure::new(plain.help("`trueup history` lists them")));
        }
        _ => {
            let plain = Plain::new("many_runs", format!("{} runs match {wanted}", found.len()));
            return Err(Failure::new(plain.help("give more of the id; its end differs most")));
        }
    };
    let steps = journal::steps(database, &run.id).await?;
    match format {
        EventFormat::Json => steps.iter().for_each(|step| ui.answer(&format!("{}\n", json!(step)))),
        EventFormat::Text => {
            ui.answer(&format!("{}\n", as_table(std::slice::from_ref(run), ui)));
            let rows: Vec<Vec<Cell>> = steps.iter().map(step_row).collect();
            ui.answer(&table(&["finished", "outcome", "action", "took", "step", "why"], &rows, ui.style()));
        }
    }
    Ok(Exit::Done)
}

fn step_row(step: &StepRecord) -> Vec<Cell> {
    let StepRecord { position: _, address, action, outcome, finished_at, milliseconds } = step;
    let (word, tone, why) = match outcome {
        Outcome::Done => ("done", Tone::Good, String::new()),
        Outcome::Warned(warnings) => ("done", Tone::Warning, warnings.join("; ")),
        Outcome::Unchanged => ("unchanged", Tone::Good, String::new()),
        Outcome::Skipped(reason) => ("skipped", Tone::Good, reason.clone()),
        Outcome::Failed(error) => ("failed", Tone::Bad, error.clone()),
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
