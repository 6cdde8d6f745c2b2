//! The command tree. The arguments of each command are in its file; their doc comments are the help text.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::apply::ApplyArgs;
use super::baseline::BaselineArgs;
use super::destroy::DestroyArgs;
use super::drift::DriftArgs;
use super::graph::GraphArgs;
use super::history::HistoryArgs;
use super::init::InitArgs;
use super::lock::LockArgs;
use super::migration::MigrationArgs;
use super::observe::ObserveArgs;
use super::plan::PlanArgs;
use super::reference::{CompletionsArgs, SchemaArgs};
use super::show::ShowArgs;
use super::status::StatusArgs;
use super::ui::Colour;
use super::validate::ValidateArgs;

/// Plan and apply for the data stack of an application that answers questions about business data.
///
/// One YAML file says what the system database, the target databases, the vector store and the
/// cache of an environment must be. `plan` shows what differs from what is there, `apply` does it
/// and proves that nothing is left to do.
#[derive(Debug, Parser)]
#[command(name = "trueup", version, max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Cli {
    /// The stack spec [default: trueup.yaml, then stack.yaml, in the current folder]
    #[arg(long, short, global = true, env = "TRUEUP_FILE", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: Colour,
    /// Print the answer and errors, no remarks and no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log what is done to stderr; twice for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  trueup init shop                              write a working stack into the folder shop
  trueup --file shop/stack.yaml plan            show what differs
  trueup --file shop/stack.yaml apply           do it, after asking
  trueup plan --out plan.json && trueup apply plan.json
  trueup plan --detailed-exitcode               exit 2 when there are changes";

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a working stack: spec, migrations, ontology, sample target
    Init(InitArgs),
    /// Read specs and every file they name; touch no server
    Validate(ValidateArgs),
    /// Show the changes between the spec and the observed state
    Plan(PlanArgs),
    /// Apply the changes of a plan, then verify that nothing is left to do
    Apply(ApplyArgs),
    /// Show what differs without the spec having changed
    Drift(DriftArgs),
    /// Delete everything that trueup created and may delete
    Destroy(DestroyArgs),
    /// Write the observed state to a file: schemas, ids, digests; no data, no secrets
    Observe(ObserveArgs),
    /// Show a saved plan
    Show(ShowArgs),
    /// Show the health of the four components
    Status(StatusArgs),
    /// Show the dependency graph of the plan
    Graph(GraphArgs),
    /// Show the runs, or the steps of one run
    History(HistoryArgs),
    /// Adopt a database that another tool migrated, after comparing its schema
    Baseline(BaselineArgs),
    /// Write a new migration, or report the risks of the existing ones
    Migration(MigrationArgs),
    /// Show or break the lock of the system database
    Lock(LockArgs),
    /// Print the JSON Schema of the spec, or of a plan
    Schema(SchemaArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
}
