//! `trueup drift`: reports differences that are not caused by the spec; `drift accept` accepts the
//! current schema.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure, Plain};
use super::load;
use super::ui::Ui;
use super::values::{EventFormat, duration};
use crate::apply::{Accepted, Locked};
use crate::plan::{self, Baseline, Options, SchemaBaseline, find_drift};
use crate::render;
use crate::stack::Contact;

/// Arguments of `drift`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
What a plan would change is drift as long as the spec is the one that was last applied whole.
A schema that was changed by hand is drift whatever the spec says, until `drift accept`.

Exit codes: 0 no drift · 1 failed · 2 drift · 3 a check failed, or something is denied"
)]
pub(super) struct DriftArgs {
    /// What to do about it
    #[command(subcommand)]
    pub command: Option<DriftCommand>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
    /// How long observing may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub refresh_timeout: Duration,
}

/// The commands of `drift`.
#[derive(Debug, Subcommand)]
pub(super) enum DriftCommand {
    /// Accept the current schema of the system database: later drift is measured against it
    Accept(AcceptArgs),
}

/// Arguments of `drift accept`.
#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
}

pub(super) async fn run(args: &DriftArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    match &args.command {
        Some(DriftCommand::Accept(args)) => Box::pin(accept(args, file, ui)).await,
        None => show(args, file, ui).await,
    }
}

async fn show(args: &DriftArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    let (desired, world) = load::world(&stack, None, false, args.refresh_timeout, ui).await?;
    let plan =
        plan::plan(&desired, &world, &Options::default()).map_err(|failure| load::no_plan(failure, ui))?;
    let schema = SchemaBaseline::of(&desired, &world);
    let drifted = find_drift(&plan.document, &world.journal, schema);
    ui.answer(&match args.format {
        EventFormat::Text => render::drift_text(&drifted, ui.style()),
        EventFormat::Json => render::drift_json(&drifted),
    });
    if drifted.unlisted > 0 {
        let count = drifted.unlisted;
        let why = match drifted.baseline {
            Baseline::NeverApplied => "this spec was not applied whole yet",
            Baseline::SpecChanged | Baseline::Same => "the spec is not the one that was last applied",
        };
        ui.warn(&format!(
            "{why}: {count} planned changes may be its own and are not called drift; `trueup plan` shows them"
        ));
    }
    for check in &drifted.failed_checks {
        ui.print_line(&format!("error: {}: {}", check.address, check.message));
    }
    Ok(super::plan::exit_code(&plan, !drifted.changes.is_empty() || !drifted.drift.is_empty()))
}

async fn accept(args: &AcceptArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    let failed = |error| load::failure(error, ui);
    let accepted = match Locked::open(&stack, args.lock_timeout).await.map_err(failed)? {
        None => Accepted::NeverApplied,
        Some(locked) => {
            let accepted = locked.accept_schema().await.map_err(failed)?;
            locked.release().await;
            accepted
        }
    };
    match accepted {
        Accepted::Recorded => ui.answer("the schema of the system database is recorded as it is now\n"),
        Accepted::Nothing => ui.answer("there is no drift to accept\n"),
        Accepted::NeverApplied => {
            let plain = Plain::new("never_applied", "this tool has no bookkeeping in the system database");
            return Err(Failure::new(plain.help("`trueup apply` makes it")));
        }
    }
    Ok(Exit::Done)
}
