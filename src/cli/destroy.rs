//! `trueup destroy`: an apply of the emptied stack, with the same guards.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::apply::{self, ApplyArgs};
use super::approval::Command;
use super::args::{AllowArg, EventFormat, duration};
use super::exit::{Exit, Failure};
use super::ui::Ui;
use super::{ending, listening, load};
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
    /// Steps that run at one time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallelism: u16,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// How long observing may take, each time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub refresh_timeout: Duration,
    /// Permit what does not run unless it is named
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<AllowArg>,
    /// How to print what happens: text, or one JSON object a line
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

impl DestroyArgs {
    /// The same wishes, as `apply` takes them. The vector store is emptied though training is off.
    pub(super) fn as_apply(&self) -> ApplyArgs {
        let Self { auto_approve, parallelism, lock_timeout, refresh_timeout, allow, format } = self;
        ApplyArgs {
            plan: None,
            auto_approve: *auto_approve,
            parallelism: *parallelism,
            lock_timeout: *lock_timeout,
            wait: Duration::ZERO,
            refresh_timeout: *refresh_timeout,
            allow: allow.clone(),
            only: None,
            train: true,
            format: *format,
        }
    }
}

pub(super) async fn run(args: &DestroyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let cancel = listening()?;
    let loading = load::stack(file, Contact::Live, ui);
    let Some(stack) = cancel.unless_asked(loading).await else {
        return Ok(ending::before_the_first_step(ui));
    };
    apply::execute(&stack?.emptied(), None, &args.as_apply(), Command::Destroy, cancel, ui).await
}
