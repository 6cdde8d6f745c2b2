//! `trueup lock`: who holds the lock, and freeing one whose holder is known to be dead.

use std::path::Path;

use super::args::{LockArgs, LockCommand};
use super::exit::{Exit, Failure, Plain};
use super::load;
use super::ui::Ui;
use crate::apply::{Clients, system_url};
use crate::journal::lock;
use crate::spec::Contact;
use crate::system::{Presence, Purpose};

pub(super) async fn run(args: &LockArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui)?;
    let clients = Clients::new(&stack, Purpose::Observe, false)?;
    let holder = match clients.system.presence().await? {
        Presence::Missing => None,
        Presence::Present => lock::status(&system_url(&stack)?, &stack.name).await?,
    };
    match &args.command {
        LockCommand::Status => {
            let Some(holder) = holder else {
                ui.answer("nobody holds the lock\n");
                return Ok(Exit::Done);
            };
            let run = holder.run.as_deref().unwrap_or("unknown");
            ui.answer(&format!("run {run} holds the lock since {}: {}\n", holder.since, holder.who));
            Ok(Exit::Locked)
        }
        LockCommand::Break { run } => {
            let Some(holder) = holder else {
                ui.answer("nobody holds the lock\n");
                return Ok(Exit::Done);
            };
            if holder.run.as_deref() != Some(run.as_str()) {
                let held = holder.run.as_deref().unwrap_or("an unknown run");
                let plain = Plain::new("other_run", format!("the lock is held by {held}, not by {run}"));
                return Err(Failure::new(plain.help("`trueup lock status` shows the holder")));
            }
            lock::break_run(&system_url(&stack)?, &stack.name, run).await?;
            ui.answer(&format!("the lock of run {run} is free\n"));
            Ok(Exit::Done)
        }
    }
}
