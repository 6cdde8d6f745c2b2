//! `trueup lock`: shows the holder of the lock, and breaks the lock of a dead run.

use std::path::Path;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use crate::journal::lock;
use crate::neutral::one_line;
use crate::stack::{CacheUrl, Contact, Stack, VectorUrl};
use crate::stores::{system_exists, system_url};

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
    /// Show who holds the lock and since when; exit 4 if it is held
    Status,
    /// Free a lock whose holder is known to be dead
    Break {
        /// The run that holds it, as `lock status` shows it, or the beginning or end of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        run: String,
    },
}

pub(super) async fn run(args: &LockArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    // Of all addresses in the spec, only that of the system database must be known.
    let stack = load::stack(file, Contact::Offline, ui).await?;
    let url = system_url(&stack)?;
    if !system_exists(&stack).await? {
        return Ok(print_not_held(ui));
    }
    match &args.command {
        LockCommand::Status => {
            let Some(holder) = lock::status(&url, &stack.name).await? else { return Ok(print_not_held(ui)) };
            let run = holder.run.as_deref().unwrap_or("unknown");
            // Any session of the database can set its own name, so it is not trusted.
            let (run, since, who) = (one_line(run), one_line(&holder.since), one_line(&holder.who));
            ui.answer(&format!("run {run} holds the lock since {since}: {who}\n"));
            Ok(Exit::Locked)
        }
        LockCommand::Break { run } => {
            let lock::Broken { run, sessions } = lock::break_run(&url, &stack.name, run).await?;
            let plural = if sessions == 1 { "" } else { "s" };
            ui.answer(&format!(
                "ended {sessions} session{plural} of run {}: its lock is free\n",
                one_line(&run)
            ));
            warn_about_other_stores(&stack, ui);
            Ok(Exit::Done)
        }
    }
}

/// Warns of the stores that a run may still write to after its sessions on the system database were
/// terminated.
fn warn_about_other_stores(stack: &Stack, ui: &Ui) {
    ui.note(
        "if its process still lives (stopped, or cut off from the network), it begins nothing more: it asks \
         for its lock before each batch",
    );
    let vector = stack.vector.as_ref().and_then(|vector| vector.endpoint.to.as_ref().ok());
    let cache = stack.cache.as_ref().and_then(|cache| cache.endpoint.to.as_ref().ok());
    let servers = [
        matches!(vector, Some(VectorUrl::Chroma(_))).then_some("Chroma"),
        matches!(cache, Some(CacheUrl::Redis(_))).then_some("Redis"),
    ];
    let servers: Vec<&str> = servers.into_iter().flatten().collect();
    if !servers.is_empty() {
        ui.note(&format!(
            "one request that it had sent to {} may still be carried out there, which nothing can call back; \
             `trueup plan` shows what came of it, and `trueup apply` repairs it",
            servers.join(" or ")
        ));
    }
}

fn print_not_held(ui: &Ui) -> Exit {
    ui.answer("the lock is free\n");
    Exit::Done
}
