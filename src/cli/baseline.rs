//! `trueup baseline`: adopts a database that another tool migrated.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::args::duration;
use super::exit::{Exit, Failure, Plain};
use super::ui::Ui;
use super::{approval, ending, listening, load};
use crate::address::Kind;
use crate::catalog::Snapshot;
use crate::connection::{Presence, Purpose};
use crate::digest::Digest;
use crate::journal::{self, Bookkeeping, Outcome, Run, RunId, RunStatus, StepRecord, lock};
use crate::migrations;
use crate::plan::Failure as PlanFailure;
use crate::stack::{Contact, Migration, Stack};
use crate::stores::{Clients, system_url};
use crate::system::{self, Desired, Until, Verdict};

/// Arguments of `baseline`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs the migrations up to VERSION in a scratch database, compares the schemas, and records them as
applied when they agree. Tables that no migration makes are left out. No migration is run on the
database itself.

Exit codes: 0 recorded, or nothing to do · 1 failed · 3 the schemas differ, or the database is
another stack's: nothing recorded · 4 the lock is held

Example:
  trueup baseline --to 12")]
pub(super) struct BaselineArgs {
    /// The last migration that the database has: its number, or the name of its file
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub to: i64,
    /// Record them without trying and comparing them, where a scratch database cannot have what they need
    #[arg(long)]
    pub unchecked: bool,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
}

/// The number of a migration, alone or before a name: `12`, `0012`, `0012_users.sql`.
fn version(text: &str) -> Result<i64, String> {
    let number = text.split('_').next().unwrap_or(text);
    let help = "a version is the number of a migration: `12`, `0012` or `0012_users`";
    number.parse().map_err(|_| help.to_owned())
}

pub(super) async fn run(args: &BaselineArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let cancel = listening()?;
    let loading = load::stack(file, Contact::Live, ui);
    let Some(stack) = cancel.unless_asked(loading).await else { return Ok(Exit::Interrupted) };
    let stack = stack?;
    let run = RunId::new();
    let clients = Clients::new(&stack, Purpose::Apply(run.clone()), false)?;
    let opening = open(&stack, &clients, &run, args.lock_timeout);
    let Some(held) = cancel.unless_asked(opening).await else { return Ok(Exit::Interrupted) };
    let held = held?;
    let desired = Desired::new(&stack, clients.system.dialect());
    if args.unchecked {
        ui.warn("the schema was not compared with what the migrations would make");
    } else {
        ui.note("running the migrations in a scratch database, to compare what they make");
    }
    let books = journal::observe(&clients.system.database().await?).await?.0;
    let is_recorded = books.snapshots.contains_key(journal::SYSTEM_SCHEMA);
    let stop = async {
        tokio::select! {
            _ = held.lost() => {}
            () = cancel.asked(1) => {}
        }
    };
    let until = Until { version: args.to, is_recorded, is_compared: !args.unchecked };
    let comparing = system::compare(&desired, until, &clients.system, stop);
    let verdict = tokio::select! {
        verdict = comparing => verdict?,
        () = cancel.asked(2) => {
            ui.warn("stopped at once: a database trueup_scratch_… that is left on a server is dropped by a later run");
            return Ok(Exit::Interrupted);
        }
    };
    // Until here nothing was written.
    held.check().await.map_err(|error| Failure::with(Exit::Failed, error))?;
    if cancel.is_asked() {
        return Ok(Exit::Interrupted);
    }
    let exit = match verdict {
        Verdict::Stopped => Exit::Interrupted,
        Verdict::Recorded => {
            ui.answer("the history has these migrations already; nothing to do\n");
            Exit::Done
        }
        Verdict::Faults(faults) => return Err(load::no_plan(PlanFailure::Faults(faults), ui)),
        Verdict::Differs { objects, diff } => {
            ui.answer(&diff);
            return Err(differs(objects, args.to));
        }
        Verdict::Same { lacking, schema } => {
            let begun = ending::run_record("baseline", &run, &stack, &stack.digest, &Digest::of("baseline"));
            let summary = held.while_held(record(&begun, &stack, &clients, &lacking, &schema)).await??;
            for file in &lacking {
                ui.answer(&format!("recorded system.migration.{}\n", file.stem));
            }
            let why = if args.unchecked { "" } else { ": the schema is what they would make" };
            ui.answer(&format!("\n{summary}{why}\n"));
            Exit::Done
        }
    };
    held.release().await;
    Ok(exit)
}

/// Takes the lock of a database that may be adopted.
async fn open(
    stack: &Stack,
    clients: &Clients,
    run: &RunId,
    patience: Duration,
) -> Result<lock::Lock, Failure> {
    if clients.system.presence().await? == Presence::Missing {
        let plain =
            Plain::new("nothing_to_adopt", "the system database does not exist: there is nothing to adopt");
        return Err(Failure::new(plain.help("`trueup apply` makes it and runs the migrations")));
    }
    let (url, database) = (system_url(stack)?, clients.system.database().await?);
    let held = lock::acquire(&url, &database, &stack.name, run, patience).await?;
    approval::refuse_anothers(stack, clients).await?;
    Ok(held)
}

fn differs(objects: usize, to: i64) -> Failure {
    let what = match objects {
        1 => "one thing is".to_owned(),
        _ => format!("{objects} things are"),
    };
    let message = format!("{what} not what the migrations up to {to} would make; nothing was recorded");
    let help = "`-` is what they would make, `+` is what is there: change the database or the files until they \
                agree, or choose another version";
    Failure::with(Exit::Denied, Plain::new("schema_differs", message).help(help))
}

/// Records the migrations, all or none, and the run that did so; gives what the history says of it.
async fn record(
    run: &Run,
    stack: &Stack,
    clients: &Clients,
    lacking: &[Migration],
    schema: &Snapshot,
) -> Result<String, Failure> {
    let database = clients.system.database().await?;
    let (books, _) = journal::observe(&database).await?;
    if books.bookkeeping != Bookkeeping::Present {
        // What is protected already stays so; `apply` alone takes a protection away.
        let protected = books.protected.union(&stack.protected).cloned().collect();
        journal::ensure(&database, &stack.name, &protected).await?;
    }
    journal::begin(&database, run).await?;
    if !lacking.is_empty() {
        system::record(lacking, &clients.system, &run.id).await?;
    }
    journal::record_snapshot(&database, &run.id, journal::SYSTEM_SCHEMA, schema).await?;
    let desired = Desired::new(stack, clients.system.dialect());
    let known = journal::observe(&database).await?.0.inventory;
    migrations::remember_elsewhere(&desired.migrations, &known, &clients.system, &run.id).await?;
    let steps: Vec<StepRecord> = lacking.iter().zip(0..).map(|(file, at)| step(&file.stem, at)).collect();
    journal::record_steps(&database, &run.id, &steps).await?;
    let plural = if lacking.len() == 1 { "" } else { "s" };
    let summary = match lacking.len() {
        0 => "the history has these migrations already; the schema is recorded".to_owned(),
        count => format!("{count} migration{plural} recorded, none run"),
    };
    journal::finish(&database, &run.id, RunStatus::Succeeded, &summary).await?;
    Ok(summary)
}

fn step(stem: &str, position: i64) -> StepRecord {
    StepRecord {
        position,
        address: Kind::Migration.named(stem).to_string(),
        action: "record".to_owned(),
        outcome: Outcome::Done,
        finished_at: journal::now(),
        milliseconds: 0,
    }
}
