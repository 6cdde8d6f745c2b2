//! `trueup apply`: applies the changes between the spec and the observed state. `destroy` uses it
//! with an emptied stack.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::ui::Ui;
use super::values::{AllowArg, EventFormat, duration};
use super::{cancel_on_signals, ending, load};
use crate::apply::{Cancel, Command, Request};
use crate::plan::{self, Allow, Document};
use crate::stack::{Contact, Stack};

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done · 1 failed, nothing applied · 3 denied, nothing applied · 4 the lock is held ·
5 the saved plan cannot be used · 6 applied in part · 64 no way to approve · 130 interrupted

Examples:
  trueup apply --auto-approve --wait 60s        in a pipeline, while servers still start
  trueup apply plan.json                        exactly the plan that was reviewed
  trueup apply --only system")]
pub(super) struct ApplyArgs {
    /// A saved plan: runs exactly its changes, or refuses
    pub plan: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Maximum number of parallel steps
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallelism: u16,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// How long to wait for servers that are still starting
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub wait: Duration,
    /// How long observing may take, each time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub refresh_timeout: Duration,
    /// Allow changes that are refused by default
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<AllowArg>,
    /// A component or an address; what it needs is applied too
    #[arg(long, value_name = "COMPONENT|ADDRESS")]
    pub only: Option<String>,
    /// Train the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// How to print progress: text, or one JSON object per line
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

impl ApplyArgs {
    /// Returns the options of the run.
    fn request(&self, saved: Option<Document>) -> Request {
        Request {
            command: Command::Apply,
            saved,
            only: self.only.clone(),
            train: self.train,
            allowed: self.allow.iter().copied().map(Allow::from).collect(),
            auto_approve: self.auto_approve,
            parallelism: usize::from(self.parallelism),
            lock_timeout: self.lock_timeout,
            wait: self.wait,
            refresh_timeout: self.refresh_timeout,
        }
    }
}

pub(super) async fn run(args: &ApplyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let cancel = cancel_on_signals()?;
    let Some(loaded) = cancel.unless_cancelled(load(args, file, ui)).await else {
        return Ok(ending::report_interrupted(ui));
    };
    let (stack, saved) = loaded?;
    execute(&stack, &args.request(saved), args.format, &cancel, ui).await
}

/// Loads the stack, and the saved plan if one is given.
async fn load(args: &ApplyArgs, file: Option<&Path>, ui: &Ui) -> Result<(Stack, Option<Document>), Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    load::refuse_unset_secrets(&stack)?;
    let Some(path) = args.plan.clone() else { return Ok((stack, None)) };
    let saved = load::on_thread("the saved plan", move || Ok(plan::read(&path)?)).await?;
    Ok((stack, Some(saved)))
}

/// Executes `apply` or `destroy`.
pub(super) async fn execute(
    stack: &Stack,
    request: &Request,
    format: EventFormat,
    cancel: &Cancel,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let mut console = Console::new(request.command, format, ui);
    match crate::apply::run(stack, request, cancel, &mut console).await {
        Ok(end) => Ok(ending::report(end, &console)),
        Err(error) => Err(load::failure(error, ui)),
    }
}
