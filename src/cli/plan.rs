//! `trueup plan`: observe, diff, print.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::ui::Ui;
use super::values::duration;
use super::{LEAVES_NOTHING, cancel_on_signals, cancel_on_signals_within, load};
use crate::address::Address;
use crate::apply::{rehearse, text_changes};
use crate::plan::{self, Document, Options, Plan};
use crate::render;
use crate::stack::Contact;
use crate::stores::Clients;

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 planned (with changes too) · 1 failed · 2 with --detailed-exitcode: changes · 3 a policy
denies something, or a check failed

Examples:
  trueup plan --format markdown > comment.md
  trueup plan --world world.json                plan where no server can be reached
  trueup plan --rehearse                        try it in a scratch database first
  trueup plan --only vector")]
pub(super) struct PlanArgs {
    /// Save the plan, for `apply PLAN`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How to print the plan
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
    /// Exit 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// A component or an address; what it needs is planned too
    #[arg(long, value_name = "COMPONENT|ADDRESS")]
    pub only: Option<String>,
    /// Train the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// Maximum size of the Markdown in bytes; destructive changes are never cut
    #[arg(long, value_name = "N", default_value = "60000")]
    pub max_bytes: usize,
    /// Plan against a saved observation, without contacting a server
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Run the pending changes of the system database in a scratch copy of its schema, and report
    /// failures
    #[arg(long, conflicts_with = "world")]
    pub rehearse: bool,
    /// How long observing may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub refresh_timeout: Duration,
}

/// `--format` of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For a terminal.
    Text,
    /// For programs; see schemas/plan.schema.json.
    Json,
    /// For the comment of a pull request.
    Markdown,
}

pub(super) async fn run(args: &PlanArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    // A rehearsal must drop its scratch database first.
    let cancel = if args.rehearse { cancel_on_signals()? } else { cancel_on_signals_within(LEAVES_NOTHING)? };
    let contact = if args.world.is_some() { Contact::Offline } else { Contact::Live };
    let Some(stack) = cancel.unless_cancelled(load::stack(file, contact, ui)).await else {
        return Ok(Exit::Interrupted);
    };
    let stack = stack?;
    load::note_unset_secrets(&stack, ui);
    load::note_unset_addresses(&stack, ui);
    let looking = load::world(&stack, args.world.as_deref(), args.train, args.refresh_timeout, ui);
    let Some(observed) = cancel.unless_cancelled(looking).await else {
        return Ok(Exit::Interrupted);
    };
    let (desired, world) = observed?;
    let options = Options { only: args.only.clone(), train: args.train, ..Options::default() };
    let mut plan = plan::plan(&desired, &world, &options).map_err(|failure| load::no_plan(failure, ui))?;
    if args.rehearse {
        let Some(checks) = Box::pin(rehearse(&stack, &world, &plan.document, &cancel)).await? else {
            ui.warn("interrupted; the scratch database is gone, and nothing was planned");
            return Ok(Exit::Interrupted);
        };
        plan.add_checks(checks);
    }
    if let Some(path) = &args.out {
        plan::write(path, &plan.document)?;
    }
    let printed = match args.format {
        PlanFormat::Text if args.world.is_none() => {
            let clients = Clients::reading(&stack, args.train)?;
            let mut report = |note| ui.note(&render::note_text(&note));
            let reading = text_changes(&plan, &clients, &mut report);
            let Some(texts) = cancel.unless_cancelled(reading).await else { return Ok(Exit::Interrupted) };
            render::live_plan_text(&plan.document, &texts, ui.style())
        }
        format => print(&plan.document, format, args.max_bytes, ui),
    };
    ui.answer(&printed);
    let exit = exit_code(&plan, args.detailed_exitcode && plan.document.has_changes());
    hints(&plan, args, exit, ui);
    Ok(exit)
}

/// Formats a plan, ending in a newline.
pub(super) fn print(document: &Document, format: PlanFormat, most_bytes: usize, ui: &Ui) -> String {
    match format {
        PlanFormat::Text => render::plan_text(document, ui.style()),
        PlanFormat::Json => render::plan_json(document),
        PlanFormat::Markdown => render::markdown(document, most_bytes),
    }
}

/// Prints the next commands. `apply` is suggested only if it would do exactly this plan.
fn hints(plan: &Plan, args: &PlanArgs, exit: Exit, ui: &Ui) {
    let is_denied = |address: &Address| plan.denied.iter().any(|held| held.address == *address);
    // No option allows a change that a policy denies.
    for (address, allow) in plan.refusals(&[]).iter().filter(|(address, _)| !is_denied(address)) {
        ui.note(&format!("{address} runs only with `apply --allow {}`", allow.as_str()));
    }
    match &args.out {
        Some(_) if exit == Exit::Denied => {
            ui.note("the plan is saved but cannot be applied: fix the denied changes and failed checks, then plan again");
        }
        Some(path) => ui.note(&format!("the plan is saved; `trueup apply {}` runs it", path.display())),
        None if exit == Exit::Denied || args.world.is_some() || args.format == PlanFormat::Json => {}
        None if plan.document.has_changes() => {
            ui.note("run `trueup apply` to make these changes; it asks first");
        }
        None if !plan.moves.is_empty() => ui.note("`trueup apply` records the new names"),
        None => {}
    }
}

/// If several codes apply, a denied plan or a failed check takes precedence over differences.
pub(super) fn exit_code(plan: &Plan, is_different: bool) -> Exit {
    if !plan.denied.is_empty() || plan.has_failed_check() {
        Exit::Denied
    } else if is_different {
        Exit::Changes
    } else {
        Exit::Done
    }
}
