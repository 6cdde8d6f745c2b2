//! `trueup history`: lists the runs that changed something or failed, and the steps of a run.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure, Plain};
use super::load;
use super::ui::Ui;
use super::values::EventFormat;
use crate::journal::{self, Bookkeeping, Run};
use crate::render::{history_text, steps_text};
use crate::sql::Database;
use crate::stack::{Contact, Stack};
use crate::stores::{Clients, mark_crashed};

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

fn print_no_runs(ui: &Ui) -> Result<Exit, Failure> {
    ui.note("nothing was applied to this system database yet");
    Ok(Exit::Done)
}

fn list(runs: &[Run], format: EventFormat, ui: &Ui) {
    match format {
        EventFormat::Json => runs.iter().for_each(|run| ui.answer(&format!("{}\n", json!(run)))),
        EventFormat::Text => ui.answer(&history_text(runs, ui.style())),
    }
}

async fn steps(
    database: &Database,
    runs: &[Run],
    wanted: &str,
    format: EventFormat,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let matches = |run: &&Run| run.id.as_str().starts_with(wanted) || run.id.as_str().ends_with(wanted);
    let matching: Vec<&Run> = runs.iter().filter(matches).collect();
    let run = match matching.as_slice() {
        [run] => *run,
        [] => {
            let plain = Plain::new("no_run", format!("no run is named {wanted}"));
            return Err(Failure::new(plain.help("`trueup history` lists them")));
        }
        _ => {
            let plain = Plain::new("many_runs", format!("{} runs match {wanted}", matching.len()));
            return Err(Failure::new(plain.help("give more of the id; its end differs most")));
        }
    };
    let steps = journal::steps(database, &run.id).await?;
    match format {
        EventFormat::Json => steps.iter().for_each(|step| ui.answer(&format!("{}\n", json!(step)))),
        EventFormat::Text => {
            let run = history_text(std::slice::from_ref(run), ui.style());
            ui.answer(&format!("{run}\n{}", steps_text(&steps, ui.style())));
        }
    }
    Ok(Exit::Done)
}
