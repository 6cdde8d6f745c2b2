//! `trueup baseline`: adopts a database that another tool migrated.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failure, Plain};
use super::ui::Ui;
use super::values::duration;
use super::{cancel_on_signals, load};
use crate::apply::{Baselined, Locked};
use crate::stack::Contact;

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
    /// Record them without running and comparing them, if a scratch database cannot provide what
    /// they need
    #[arg(long)]
    pub unchecked: bool,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
}

/// Parses the number of a migration, with or without a name: `12`, `0012`, `0012_users.sql`.
fn version(text: &str) -> Result<i64, String> {
    let number = text.split('_').next().unwrap_or(text);
    let help = "a version is the number of a migration: `12`, `0012` or `0012_users`";
    number.parse().map_err(|_| help.to_owned())
}

pub(super) async fn run(args: &BaselineArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let cancel = cancel_on_signals()?;
    let loading = load::stack(file, Contact::Live, ui);
    let Some(stack) = cancel.unless_cancelled(loading).await else { return Ok(Exit::Interrupted) };
    let stack = stack?;
    let failed = |error| load::failure(error, ui);
    let opening = Locked::open(&stack, args.lock_timeout);
    let Some(opened) = cancel.unless_cancelled(opening).await else { return Ok(Exit::Interrupted) };
    let locked = opened.map_err(failed)?.ok_or_else(nothing_to_adopt)?;
    if args.unchecked {
        ui.warn("the schema was not compared with what the migrations would make");
    } else {
        ui.note("running the migrations in a scratch database, to compare what they make");
    }
    let exit = match locked.baseline(args.to, !args.unchecked, &cancel).await.map_err(failed)? {
        Baselined::Interrupted => Exit::Interrupted,
        Baselined::StoppedAtOnce => {
            ui.warn("stopped at once: a database trueup_scratch_… that is left on a server is dropped by a later run");
            return Ok(Exit::Interrupted);
        }
        Baselined::Nothing => {
            ui.answer("the history has these migrations already; nothing to do\n");
            Exit::Done
        }
        Baselined::Differs { objects, diff } => {
            ui.answer(&diff);
            return Err(differs(objects, args.to));
        }
        Baselined::Recorded { files, summary } => {
            for file in &files {
                ui.answer(&format!("recorded system.migration.{}\n", file.stem));
            }
            let why = if args.unchecked { "" } else { ": the schema is what they would make" };
            ui.answer(&format!("\n{summary}{why}\n"));
            Exit::Done
        }
    };
    locked.release().await;
    Ok(exit)
}

fn nothing_to_adopt() -> Failure {
    let message = "the system database does not exist: there is nothing to adopt";
    let help = "`trueup apply` makes it and runs the migrations";
    Failure::new(Plain::new("nothing_to_adopt", message).help(help))
}

fn differs(objects: usize, to: i64) -> Failure {
    let what = match objects {
        1 => "one object is".to_owned(),
        _ => format!("{objects} objects are"),
    };
    let message = format!("{what} not what the migrations up to {to} would make; nothing was recorded");
    let help = "`-` is what they would make, `+` is what is there: change the database or the files until they \
                agree, or choose another version";
    Failure::with(Exit::Denied, Plain::new("schema_differs", message).help(help))
}
