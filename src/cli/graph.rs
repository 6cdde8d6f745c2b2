//! `trueup graph`: prints the dependency graph of a plan.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use super::values::duration;
use crate::plan::{self, Options};
use crate::render::{graph_dot, graph_mermaid, graph_text};
use crate::stack::Contact;

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: GraphArg,
    /// Plan against a saved observation, without contacting a server
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Include the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// How long observing may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub refresh_timeout: Duration,
}

/// `--format` of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphArg {
    /// A list.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

pub(super) async fn run(args: &GraphArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let contact = if args.world.is_some() { Contact::Offline } else { Contact::Live };
    let stack = load::stack(file, contact, ui).await?;
    let (desired, world) =
        load::world(&stack, args.world.as_deref(), args.train, args.refresh_timeout, ui).await?;
    let options = Options { train: args.train, ..Options::default() };
    let plan = plan::plan(&desired, &world, &options).map_err(|failure| load::no_plan(failure, ui))?;
    if !plan.document.has_changes() {
        ui.note("nothing is planned, so the graph is empty");
    }
    ui.answer(&match args.format {
        GraphArg::Text => graph_text(&plan.document),
        GraphArg::Dot => graph_dot(&plan.document),
        GraphArg::Mermaid => graph_mermaid(&plan.document),
    });
    Ok(Exit::Done)
}
