//! `trueup observe`: writes the observed state to a file, to plan against it elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use super::values::duration;
use crate::stack::Contact;
use crate::stores::Clients;
use crate::world::File;

/// Arguments of `observe`.
#[derive(Debug, Args)]
pub(super) struct ObserveArgs {
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Observe the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// How long observing may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub refresh_timeout: Duration,
}

pub(super) async fn run(args: &ObserveArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    let clients = Clients::surveying(&stack, args.train)?;
    let (_, world) = load::observe(&stack, &clients, args.refresh_timeout, ui).await?;
    File::new(&stack.name, crate::journal::now(), world).write(&args.out)?;
    ui.note(&format!("`trueup plan --world {}` plans against it", args.out.display()));
    Ok(Exit::Done)
}
