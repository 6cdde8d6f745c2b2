//! The arguments. A doc comment here is the help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::ui::Colour;
use crate::plan::Allow;
use crate::render::GraphFormat;
use crate::sql::Dialect;

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
    /// Show what differs between the spec and what is there
    Plan(PlanArgs),
    /// Do what a plan says, and prove that nothing is left to do
    Apply(ApplyArgs),
    /// Show what differs without the spec having changed
    Drift(DriftArgs),
    /// Take back all that this tool put there and may take back
    Destroy(DestroyArgs),
    /// Write what is there now to a file: schemas, ids, digests; no data, no secrets
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
    /// Write a new migration, or say what the existing ones may cost
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

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder, made when missing
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// What to write: everything embedded, or servers in three environments
    #[arg(long, value_enum, default_value = "quickstart")]
    pub preset: Preset,
}

/// `--preset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// Everything embedded, no server.
    Quickstart,
    /// PostgreSQL, Chroma and Redis; dev, hybrid and prod.
    Insight,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The specs [default: the one of --file]
    pub files: Vec<PathBuf>,
    /// Check the targets' contracts against a saved observation too
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 planned (with changes too) · 1 failed · 2 with --detailed-exitcode: changes · 3 a policy
denies something, or a check failed

Examples:
  trueup plan --format markdown > comment.md
  trueup plan --world world.json                plan where no server can be reached
  trueup plan --rehearse                        try it in a scratch database first
  trueup plan --only vector")]
pub(super) struct PlanArgs {
    /// Save the plan, for `apply PLAN`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How to print the plan
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
    /// Exit 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// A component or an address; what it needs is planned too
    #[arg(long, value_name = "COMPONENT|ADDRESS")]
    pub only: Option<String>,
    /// Train the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// Most bytes of Markdown; what destroys is never cut
    #[arg(long, value_name = "N", default_value = "60000")]
    pub max_bytes: usize,
    /// Plan against a saved observation, touching no server
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Run what is pending in the system database in a scratch copy of its schema, and report what fails
    #[arg(long, conflicts_with = "world")]
    pub rehearse: bool,
    /// How long observing may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub refresh_timeout: Duration,
}

/// `--format` of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For a terminal.
    Text,
    /// For programs; see schemas/plan.schema.json.
    Json,
    /// For the comment of a pull request.
    Markdown,
}

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
    /// Steps that run at one time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallelism: u16,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// How long to wait for servers that are still starting
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub wait: Duration,
    /// Permit what does not run unless it is named
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<AllowArg>,
    /// A component or an address; what it needs is applied too
    #[arg(long, value_name = "COMPONENT|ADDRESS")]
    pub only: Option<String>,
    /// Train the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// How to print what happens: text, or one JSON object a line
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

/// `--allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AllowArg {
    /// Changes that lose data.
    Destructive,
    /// Deletes because a source of the spec yields nothing.
    MassDelete,
    /// A change of the environment away from production.
    Environment,
}

impl From<AllowArg> for Allow {
    fn from(argument: AllowArg) -> Self {
        match argument {
            AllowArg::Destructive => Self::Destructive,
            AllowArg::MassDelete => Self::MassDelete,
            AllowArg::Environment => Self::Environment,
        }
    }
}

/// `--format` of what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EventFormat {
    /// For a person.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `drift`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
What a plan would change is drift as long as the spec is the one that was last applied whole.
A schema that was changed by hand is drift whatever the spec says, until `drift accept`.

Exit codes: 0 no drift · 1 failed · 2 drift · 3 a check failed, or something is denied"
)]
pub(super) struct DriftArgs {
    /// What to do about it
    #[command(subcommand)]
    pub command: Option<DriftCommand>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
    /// How long observing may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub refresh_timeout: Duration,
}

/// The commands of `drift`.
#[derive(Debug, Subcommand)]
pub(super) enum DriftCommand {
    /// Take the schema of the system database as it is: drift is measured from it
    Accept(AcceptArgs),
}

/// Arguments of `drift accept`.
#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
}

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
        let Self { auto_approve, parallelism, lock_timeout, allow, format } = self;
        ApplyArgs {
            plan: None,
            auto_approve: *auto_approve,
            parallelism: *parallelism,
            lock_timeout: *lock_timeout,
            wait: Duration::ZERO,
            allow: allow.clone(),
            only: None,
            train: true,
            format: *format,
        }
    }
}

/// Arguments of `observe`.
#[derive(Debug, Args)]
pub(super) struct ObserveArgs {
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Observe the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The saved plan
    pub plan: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
    /// Most bytes of Markdown; what destroys is never cut
    #[arg(long, value_name = "N", default_value = "60000")]
    pub max_bytes: usize,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

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

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The run whose steps to show: its id, or the beginning or end of it
    pub run: Option<String>,
    /// Most runs to show
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: u16,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

/// Arguments of `baseline`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs the migrations up to VERSION in a scratch database, compares the schemas, and records them as
applied when they agree. Tables that no migration makes are left out. No migration is run on the
database itself.

Exit codes: 0 recorded, or nothing to do · 1 failed · 3 the schemas differ, nothing recorded · 4 the
lock is held

Example:
  trueup baseline --to 12")]
pub(super) struct BaselineArgs {
    /// The last migration that the database has: its number, or the name of its file
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub to: i64,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
}

/// Arguments of `migration`.
#[derive(Debug, Args)]
pub(super) struct MigrationArgs {
    /// What to do
    #[command(subcommand)]
    pub command: MigrationCommand,
}

/// The commands of `migration`.
#[derive(Debug, Subcommand)]
pub(super) enum MigrationCommand {
    /// Write the next numbered file, one for each dialect that the migrations are written in
    New {
        /// What it does, such as `add_projects`
        name: String,
        /// Only for this dialect
        #[arg(long, value_enum)]
        dialect: Option<DialectArg>,
    },
    /// Classify the statements of all files, without a database; exit 3 when one destroys data
    #[command(after_help = "\
Exit codes: 0 nothing destroys data, or what does asserts first that there is none · 1 the spec is in error ·
3 a statement is destructive

The rules are described in docs/reference/lint.md.")]
    Lint {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        format: EventFormat,
        /// Of files that are for no dialect in particular, where `system.url` does not tell
        #[arg(long, value_enum)]
        dialect: Option<DialectArg>,
    },
}

/// `--dialect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DialectArg {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl From<DialectArg> for Dialect {
    fn from(argument: DialectArg) -> Self {
        match argument {
            DialectArg::Postgres => Self::Postgres,
            DialectArg::Sqlite => Self::Sqlite,
        }
    }
}

/// Arguments of `lock`.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// What to do
    #[command(subcommand)]
    pub command: LockCommand,
}

/// The commands of `lock`.
#[derive(Debug, Subcommand)]
pub(super) enum LockCommand {
    /// Show who holds the lock since when; exit 4 when somebody does
    Status,
    /// Free a lock whose holder is known to be dead
    Break {
        /// The run that holds it, as `lock status` shows it
        run: String,
    },
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Of what
    #[arg(value_enum, default_value = "stack")]
    pub of: SchemaOf,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// The stack spec.
    Stack,
    /// A plan, as `plan --format json` prints it.
    Plan,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The number of a migration, alone or before a name: `12`, `0012`, `0012_users.sql`.
fn version(text: &str) -> Result<i64, String> {
    let number = text.split('_').next().unwrap_or(text);
    let help = "a version is the number of a migration: `12`, `0012` or `0012_users`";
    number.parse().map_err(|_| help.to_owned())
}

/// A duration as specs write them: `500ms`, `30s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let help = "a duration is a whole number and a unit: `500ms`, `5s`, `10m`, `24h`";
    crate::spec::parse_duration(text).ok_or_else(|| help.to_owned())
}
