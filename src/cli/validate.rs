//! `trueup validate`: reads specs and every file that they name, without contacting a server.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use crate::address::Kind;
use crate::change::Status;
use crate::desired::Desired;
use crate::neutral::one_line;
use crate::plan;
use crate::stack::{Contact, Stack};
use crate::world::File;

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The specs [default: the one of --file]
    pub files: Vec<PathBuf>,
    /// Also check the targets' requirements against a saved observation
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
}

pub(super) fn run(args: &ValidateArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let files = if args.files.is_empty() { vec![load::find(file)?] } else { args.files.clone() };
    let mut exit = Exit::Done;
    for path in files {
        match load::load(&path, Contact::Offline) {
            Ok(stack) => {
                load::warnings(&stack, ui);
                load::note_unset_secrets(&stack, ui);
                load::note_unset_addresses(&stack, ui);
                if !contracts_hold(&stack, args, ui)? {
                    exit = Exit::Failed;
                    continue;
                }
                ui.answer(&format!(
                    "{}: valid ({}, {})\n",
                    one_line(&path.display().to_string()),
                    stack.name,
                    stack.environment
                ));
            }
            Err(failure) => {
                ui.report(&failure);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

/// Whether the saved observation meets the targets' requirements; true without one.
fn contracts_hold(stack: &Stack, args: &ValidateArgs, ui: &Ui) -> Result<bool, Failure> {
    let Some(path) = &args.world else { return Ok(true) };
    let world = File::read(path, &stack.name)?.world.as_asked(stack);
    let desired = Desired::new(stack, world.system.dialect);
    let plan = plan::plan(&desired, &world, &plan::Options::default())
        .map_err(|failure| load::no_plan(failure, ui))?;
    let broken = plan
        .document
        .checks
        .iter()
        .filter(|check| check.status == Status::Fail && check.address.kind() == Kind::TargetContract);
    let mut holds = true;
    for check in broken {
        ui.print_line(&format!("error: {}: {}", check.address, check.message));
        holds = false;
    }
    Ok(holds)
}
