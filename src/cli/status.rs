//! `trueup status`: reports the health of each component; the worst one determines the exit code.

use std::path::Path;

use clap::Args;

use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use super::values::EventFormat;
use crate::render::{status_json, status_text};
use crate::stack::Contact;
use crate::stores;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

pub(super) async fn run(args: &StatusArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    let health = stores::health(&stack, load::A_MINUTE).await?;
    ui.answer(&match args.format {
        EventFormat::Json => status_json(&stack.name, &stack.environment, &health),
        EventFormat::Text => status_text(&health, ui.style()),
    });
    Ok(if health.is_healthy() { Exit::Done } else { Exit::Failed })
}
