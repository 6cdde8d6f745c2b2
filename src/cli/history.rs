//! `trueup history`: the runs that changed something or failed, and the steps of one.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::args::EventFormat;
use super::exit::{Exit, Failure, Plain};
use super::load;
use super::ui::Ui;
use crate::apply::{Clients, system_url};
use crate::connection::{Presence, Purpose};
use crate::journal::{self, Bookkeeping, Outcome, Run, StepRecord, lock};
use crate::neutral::{block, one_line};
use crate::render::Tone;
use crate::spec::{Contact, Stack};
use crate::sql::Database;

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The run whose steps to show: its id, or the beginning or end of it
    pub run: Option<String>,
    /// Most runs to show
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
    let clients = Clients::new(stack, Purpose::Observe, false)?;
    let database = match clients.system.presence().await? {
        Presence::Missing => return nothing(ui),
        Presence::Present => clients.system.database().await?,
    };
    let (journal, _) = journal::observe(&database).await?;
    if journal.bookkeeping == Bookkeeping::Missing {
        return nothing(ui);
    }
    let limit = if args.run.is_some() { i64::MAX } else { i64::from(args.limit) };
    let runs = judged(journal::history(&database, limit).await?, stack).await?;
    match &args.run {
        None => {
            list(&runs, args.format, ui);
            Ok(Exit::Done)
        }
        Some(wanted) => steps(&database, &runs, wanted, args.format, ui).await,
    }
}

/// The runs, with those that died told from the one that is at work: that one holds the lock.
async fn judged(runs: Vec<Run>, stack: &Stack) -> Result<Vec<Run>, Failure> {
    if runs.iter().all(|run| run.status != journal::RunStatus::Running) {
        return Ok(runs);
    }
    let holder = lock::status(&system_url(stack)?, &stack.name).await?;
    let holder = holder.as_ref().and_then(|holder| holder.run.as_deref());
    Ok(runs.into_iter().map(|run| run.judged(holder)).collect())
}

fn nothing(ui: &Ui) -> Result<Exit, Failure> {
    ui.note("nothing was applied to this system database yet");
    Ok(Exit::Done)
}

fn list(runs: &[Run], format: EventFormat, ui: &Ui) {
    for run in runs {
        ui.answer(&match format {
            EventFormat::Json => format!("{}\n", json!(run)),
            EventFormat::Text => run_line(run, ui),
        });
    }
}

fn run_line(run: &Run, ui: &Ui) -> String {
    let tone = match run.status {
        journal::RunStatus::Succeeded => Tone::Good,
        journal::RunStatus::Running | journal::RunStatus::Interrupted => Tone::Warning,
        journal::RunStatus::Failed | journal::RunStatus::Died => Tone::Bad,
    };
    let status = ui.paint().tone(tone, &format!("{:11}", run.status.as_str()));
    let commit = run.git_commit.as_ref().and_then(|commit| commit.get(..10)).unwrap_or("-");
    format!(
        "{}  {status} {}  {}  {} {}  {}  {commit}  {}\n",
        one_line(run.id.as_str()),
        one_line(&run.command),
        one_line(&run.started_at),
        one_line(&run.stack),
        one_line(&run.environment),
        one_line(&run.who),
        one_line(run.summary.as_deref().unwrap_or("")),
        commit = one_line(commit),
    )
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
    if format == EventFormat::Text {
        ui.answer(&run_line(run, ui));
    }
    for step in journal::steps(database, &run.id).await? {
        ui.answer(&match format {
            EventFormat::Json => format!("{}\n", json!(step)),
            EventFormat::Text => step_line(&step, ui),
        });
    }
    Ok(Exit::Done)
}

fn step_line(step: &StepRecord, ui: &Ui) -> String {
    let StepRecord { position: _, address, action, outcome, finished_at, milliseconds } = step;
    let (word, tone, detail) = match outcome {
        Outcome::Done => ("done", Tone::Good, String::new()),
        Outcome::Failed(error) => ("failed", Tone::Bad, format!("  {}", block(error))),
        Outcome::Blocked(reason) => ("blocked", Tone::Warning, format!("  {}", one_line(reason))),
    };
    let word = ui.paint().tone(tone, &format!("{word:8}"));
    let (address, action) = (one_line(address), one_line(action));
    let finished_at = one_line(finished_at);
    format!("  {finished_at}  {word} {action:8} {milliseconds:>6} ms  {address}{detail}\n")
}
