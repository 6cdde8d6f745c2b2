//! `trueup destroy`: applies the emptied stack, with the same safety checks as `apply`.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failure};
use super::ui::Ui;
use super::values::{AllowArg, EventFormat, duration};
use super::{apply, cancel_on_signals, ending, load};
use crate::apply::{Command, Request};
use crate::plan::Allow;
use crate::stack::Contact;

/// Arguments of `destroy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Applies an empty spec to the same stores: seed rows, terms and documents that nobody else changed or
uses go; databases, tables, accounts and what others wrote stay, and the plan says so. Policies and
protection are asked first.

Exit codes: as those of apply")]
pub(super) struct DestroyArgs {
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Maximum number of parallel steps
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallelism: u16,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// How long observing may take, each time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub refresh_timeout: Duration,
    /// Allow changes that are refused by default
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<AllowArg>,
    /// How to print progress: text, or one JSON object per line
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

impl DestroyArgs {
    /// Returns the options of the run. The vector store is emptied even if training is off.
    fn request(&self) -> Request {
        Request {
            command: Command::Destroy,
            saved: None,
            only: None,
            train: true,
            allowed: self.allow.iter().copied().map(Allow::from).collect(),
            auto_approve: self.auto_approve,
            parallelism: usize::from(self.parallelism),
            lock_timeout: self.lock_timeout,
            wait: Duration::ZERO,
            refresh_timeout: self.refresh_timeout,
        }
    }
}

pub(super) async fn run(args: &DestroyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let cancel = cancel_on_signals()?;
    let loading = load::stack(file, Contact::Live, ui);
    let Some(stack) = cancel.unless_cancelled(loading).await else {
        return Ok(ending::report_interrupted(ui));
    };
    apply::execute(&stack?.emptied(), &args.request(), args.format, &cancel, ui).await
}
