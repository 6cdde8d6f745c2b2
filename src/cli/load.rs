//! What every command that reads a spec does first: find it, load it, say its warnings.

use std::path::{Path, PathBuf};

use super::exit::{Failure, Plain};
use super::ui::Ui;
use crate::apply::LookError;
use crate::change::Fault;
use crate::plan::Failure as PlanFailure;
use crate::redact;
use crate::spec::{self, Contact, Stack};

/// The spec that is meant: the one named, or the first of two names in the current folder.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    const NAMES: [&str; 2] = ["trueup.yaml", "stack.yaml"];
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let found = NAMES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        let message = "there is no trueup.yaml and no stack.yaml in the current folder";
        let help = "name one with `--file FILE` or TRUEUP_FILE, or write one with `trueup init`";
        Failure::new(Plain::new("no_spec", message).help(help))
    })
}

/// Loads the spec that is meant and says its warnings. Reads on a thread of its own, so that a disk that
/// hangs or a very large folder does not keep the command from seeing Ctrl-C.
pub(super) async fn stack(named: Option<&Path>, contact: Contact, ui: &Ui) -> Result<Stack, Failure> {
    let path = find(named)?;
    let reading = tokio::task::spawn_blocking(move || load(&path, contact));
    let stack = match reading.await {
        Ok(stack) => stack?,
        Err(error) => return Err(Failure::new(Plain::new("load", format!("reading the spec: {error}")))),
    };
    warnings(&stack, ui);
    Ok(stack)
}

/// Loads one spec with the variables of this process.
pub(super) fn load(path: &Path, contact: Contact) -> Result<Stack, Failure> {
    let stack = spec::load(path, &|name| std::env::var(name).ok(), contact)?;
    redact::remember(&stack);
    Ok(stack)
}

/// Says what is remarkable about a valid spec.
pub(super) fn warnings(stack: &Stack, ui: &Ui) {
    for warning in &stack.warnings {
        let place = warning.at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
        ui.warn(&format!("{place}{}", warning.message));
        if let Some(help) = &warning.help {
            ui.help(help);
        }
    }
}

/// Secrets of managed objects that are unset: a note, since planning needs none of them.
pub(super) fn note_unset_secrets(stack: &Stack, ui: &Ui) {
    for secret in stack.unset_secrets() {
        ui.note(&format!("{}: {} is unset; `apply` will need it", secret.at, secret.placeholder()));
    }
}

/// Addresses and tokens of servers that are not known: a note, where nothing is contacted.
pub(super) fn note_unset_addresses(stack: &Stack, ui: &Ui) {
    for (at, names) in stack.unset_addresses() {
        let names = names.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(", ");
        ui.note(&format!("{at}: {names} is unset; whatever contacts the server will need it"));
    }
}

/// The same as an error, since apply does need them.
pub(super) fn refuse_unset_secrets(stack: &Stack) -> Result<(), Failure> {
    let unset = stack.unset_secrets();
    let Some(first) = unset.first() else { return Ok(()) };
    let names: Vec<&str> = unset.iter().map(|secret| secret.placeholder()).collect();
    let message = format!("{} must be set to apply", names.join(", "));
    Err(Failure::new(
        Plain::new("unset", message).help("set it in the environment").at(Some(first.at.clone())),
    ))
}

/// Why there is no plan of what is there now.
pub(super) fn no_look(error: LookError, ui: &Ui) -> Failure {
    match error {
        LookError::Observe(error) => error.into(),
        LookError::Plan(failure) => no_plan(failure, ui),
    }
}

/// Why there is no plan, as a failure with every fault.
pub(super) fn no_plan(failure: PlanFailure, ui: &Ui) -> Failure {
    match failure {
        PlanFailure::Faults(faults) => {
            let count = faults.len();
            for fault in faults {
                ui.diagnostic(&plain(fault));
            }
            let what =
                if count == 1 { "one thing stands".to_owned() } else { format!("{count} things stand") };
            Failure::new(Plain::new("no_plan", format!("there is no plan: {what} against it")))
        }
        PlanFailure::NothingSelected(only) => {
            let help = "give a component (system, target, vector, cache, flags) or an address of the plan";
            Failure::with(
                super::exit::Exit::Usage,
                Plain::new("only", format!("`--only {only}` names nothing")).help(help),
            )
        }
        PlanFailure::Cycle(cycle) => Failure::new(
            Plain::new("cycle", cycle.to_string()).help("this is a defect of trueup: please report it"),
        ),
    }
}

fn plain(fault: Fault) -> Plain {
    let Fault { address, message, help, at } = fault;
    let plain = Plain::new("fault", format!("{address}: {message}")).at(at);
    match help {
        Some(help) => plain.help(help),
        None => plain,
    }
}
