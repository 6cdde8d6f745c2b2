//! `trueup show`: prints a saved plan, offline.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use super::plan::PlanFormat;
use super::ui::Ui;

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The saved plan
    pub plan: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
    /// Maximum size of the Markdown in bytes; destructive changes are never cut
    #[arg(long, value_name = "N", default_value = "60000")]
    pub max_bytes: usize,
}

pub(super) fn run(args: &ShowArgs, ui: &Ui) -> Result<Exit, Failure> {
    let document = crate::plan::read(&args.plan)?;
    ui.answer(&super::plan::print(&document, args.format, args.max_bytes, ui));
    Ok(Exit::Done)
}
