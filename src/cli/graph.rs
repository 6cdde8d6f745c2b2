//! `trueup graph`: the dependency graph of what is planned.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::duration;
use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use crate::connection::Purpose;
use crate::plan::{self, Options};
use crate::render::GraphFormat;
use crate::stack::Contact;
use crate::stores::Clients;

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: GraphArg,
    /// Plan against a saved observation, touching no server
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

impl From<GraphArg> for GraphFormat {
    fn from(argument: GraphArg) -> Self {
        match argument {
            GraphArg::Text => Self::Text,
            GraphArg::Dot => Self::Dot,
            GraphArg::Mermaid => Self::Mermaid,
        }
    }
}

pub(super) async fn run(args: &GraphArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let contact = if args.world.is_some() { Contact::Offline } else { Contact::Live };
    let stack = load::stack(file, contact, ui).await?;
    let world = if let Some(path) = &args.world {
        load::saved_world(path, &stack, ui).await?
    } else {
        let clients = Clients::new(&stack, Purpose::Observe, args.train)?;
        load::world(&stack, &clients, args.refresh_timeout, ui).await?
    };
    let options = Options { train: args.train, ..Options::default() };
    let plan = plan::plan(&stack, &world, &options).map_err(|failure| load::no_plan(failure, ui))?;
    if !plan.document.has_changes() {
        ui.note("nothing is planned, so the graph is empty");
    }
    ui.answer(&crate::render::graph(&plan.document, args.format.into()));
    Ok(Exit::Done)
}
