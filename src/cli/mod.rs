//! The command line: arguments, one file per command, prompts, progress, exit codes. The only room
//! that prints. Contains no SQL, no HTTP and no YAML.

mod apply;
mod args;
mod bars;
mod baseline;
mod console;
mod destroy;
mod diagnostic;
mod drift;
mod ending;
mod exit;
mod graph;
mod history;
mod init;
mod load;
mod lock;
mod migration;
mod observe;
mod plan;
mod reference;
mod show;
mod status;
mod ui;
mod validate;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use tokio::runtime::Builder;

use args::{Cli, Command};
use exit::{Exit, Failure};
use ui::{Colour, Ui};

use crate::apply::{Cancel, Grace};

/// Parses the arguments, runs the command, reports its error and returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Ui::new(cli.color, cli.quiet, cli.verbose > 0);
    log_to_stderr(cli.verbose);
    let exit = match run(&cli, &ui) {
        Ok(exit) => exit,
        Err(failure) => {
            ui.report(&failure);
            failure.exit()
        }
    };
    match ui.write_error() {
        Some(source) => report_write_error(exit, source, &ui).into(),
        None => exit.into(),
    }
}

/// An incomplete result must not end with a success code.
fn report_write_error(exit: Exit, source: &std::io::Error, ui: &Ui) -> Exit {
    ui.report(&Failure::new(exit::Plain::io("write", "the answer to stdout", source)));
    match exit {
        Exit::Done | Exit::Changes => Exit::Failed,
        worse => worse,
    }
}

/// Help and version are results; other parser errors exit with 64 (`EX_USAGE`).
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.kind(), printed) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, Err(source))
            if source.kind() != std::io::ErrorKind::BrokenPipe =>
        {
            report_write_error(Exit::Done, &source, &Ui::new(Colour::Auto, false, false)).into()
        }
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => Exit::Done.into(),
        (_, _) => Exit::Usage.into(),
    }
}

/// Logs have no colours, because their escape sequences could not be distinguished from those sent
/// by a server.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "trueup=info",
        2 => "trueup=debug",
        _ => "debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(crate::redact::Log::default)
        .with_ansi(false)
        .init();
}

fn run(cli: &Cli, ui: &Ui) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Init(args) => run_offline(|| init::run(args, ui)),
        Command::Validate(args) => run_offline(|| validate::run(args, cli.file.as_deref(), ui)),
        Command::Schema(args) => reference::schema(args, ui),
        Command::Completions(args) => reference::completions(args, Cli::command(), ui),
        Command::Man => reference::man(Cli::command(), ui),
        Command::Show(args) => run_offline(|| show::run(args, ui)),
        Command::Migration(args) => run_offline(|| migration::run(args, cli.file.as_deref(), ui)),
        Command::Plan(args) => run_async(plan::run(args, cli.file.as_deref(), ui)),
        Command::Apply(args) => run_async(apply::run(args, cli.file.as_deref(), ui)),
        Command::Drift(args) => run_async(until_interrupted(drift::run(args, cli.file.as_deref(), ui))),
        Command::Destroy(args) => run_async(destroy::run(args, cli.file.as_deref(), ui)),
        Command::Observe(args) => run_async(until_interrupted(observe::run(args, cli.file.as_deref(), ui))),
        Command::Status(args) => run_async(until_interrupted(status::run(args, cli.file.as_deref(), ui))),
        Command::Graph(args) => run_async(until_interrupted(graph::run(args, cli.file.as_deref(), ui))),
        Command::History(args) => run_async(until_interrupted(history::run(args, cli.file.as_deref(), ui))),
        Command::Baseline(args) => run_async(baseline::run(args, cli.file.as_deref(), ui)),
        Command::Lock(args) => run_async(until_interrupted(lock::run(args, cli.file.as_deref(), ui))),
    }
}

/// Handles SIGINT and SIGTERM from here on, because a process with PID 1 in a container has no
/// default handlers. After two signals a command stops at once.
fn cancel_on_signals() -> Result<Cancel, Failure> {
    cancel_on_signals_within(Grace { times: 2, most: Duration::from_secs(10) })
}

/// For a command that has nothing to clean up, as an alternative to [`cancel_on_signals`].
const LEAVES_NOTHING: Grace = Grace { times: 1, most: Duration::from_secs(2) };

fn cancel_on_signals_within(grace: Grace) -> Result<Cancel, Failure> {
    let cancel = Cancel::new();
    cancel.listen(grace).map_err(|error| exit::Plain::io("listen to", "signals", &error))?;
    Ok(cancel)
}

/// Runs a command that can be dropped at any point, until the first Ctrl-C.
async fn until_interrupted(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let cancel = cancel_on_signals_within(LEAVES_NOTHING)?;
    cancel.unless_cancelled(command).await.unwrap_or(Ok(Exit::Interrupted))
}

/// Runs a command that needs no connection and can be dropped at any point.
fn run_offline(command: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    cancel_on_signals_within(Grace { times: 1, most: Duration::ZERO })?;
    command()
}

/// Runs a command that uses connections, on a single thread: parallel steps mostly wait for
/// responses, and waking another thread costs more than most steps. Long computations (password
/// hashes) and SQLite use their own threads.
fn run_async(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::new(exit::Plain::io("start", "the runtime", &source)))?;
    let result = runtime.block_on(command);
    // A hanging DNS lookup must not keep a finished command from ending.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}
