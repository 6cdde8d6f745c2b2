//! `trueup graph`: the dependency graph of what is planned.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use crate::apply::{Clients, observe};
use crate::plan::{self, Options};
use crate::render::GraphFormat;
use crate::spec::Contact;
use crate::system::Purpose;
use crate::world::File;

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
    let world = match &args.world {
        Some(path) => File::read(path, &stack.name)?.world.as_asked(&stack),
        None => observe(&stack, &Clients::new(&stack, Purpose::Observe, args.train)?).await?,
    };
    let options = Options { train: args.train, ..Options::default() };
    let plan = plan::plan(&stack, &world, &options).map_err(|failure| load::no_plan(failure, ui))?;
    if !plan.document.has_changes() {
        ui.note("nothing is planned, so the graph is empty");
    }
    ui.answer(&crate::render::graph(&plan.document, args.format.into()));
    Ok(Exit::Done)
}
