//! Finds and loads the spec, prints its warnings, and observes: the first steps of most commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::exit::{Exit, Failure, Plain};
use super::ui::Ui;
use crate::apply;
use crate::change::Fault;
use crate::desired::Desired;
use crate::plan::PlanError;
use crate::redact;
use crate::stack::{self, Contact, Stack};
use crate::stores::{Clients, observe_within};
use crate::world::{File, World};

/// Default timeout of short operations.
pub(super) const A_MINUTE: Duration = Duration::from_mins(1);

/// Returns the path of the spec: the given one, or one of two default names in the current folder.
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

/// Loads the spec and prints its warnings. Reads on another thread, so that a hanging disk or a
/// very large folder does not block Ctrl-C.
pub(super) async fn stack(named: Option<&Path>, contact: Contact, ui: &Ui) -> Result<Stack, Failure> {
    let path = find(named)?;
    let stack = on_thread("the spec", move || load(&path, contact)).await?;
    warnings(&stack, ui);
    Ok(stack)
}

/// Runs a short request with a timeout.
pub(super) async fn within_a_minute<T>(
    what: &str,
    asking: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(A_MINUTE, asking).await.unwrap_or_else(|_| {
        let help =
            "another session may hold a lock on the bookkeeping (`pg_locks`), or the server is overloaded";
        Err(Failure::new(Plain::new("timeout", format!("{what} took longer than {A_MINUTE:?}")).help(help)))
    })
}

/// Runs blocking I/O on another thread.
pub(super) async fn on_thread<T: Send + 'static>(
    what: &str,
    reading: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(reading).await {
        Ok(read) => read,
        Err(error) => Err(Failure::new(Plain::new("load", format!("reading {what}: {error}")))),
    }
}

/// Returns the desired state, and the world from a saved file, whose age is printed, or by observing it now.
pub(super) async fn world<'s>(
    stack: &'s Stack,
    saved: Option<&Path>,
    train: bool,
    most: Duration,
    ui: &Ui,
) -> Result<(Desired<'s>, World), Failure> {
    let Some(path) = saved else {
        return observe(stack, &Clients::reading(stack, train)?, most, ui).await;
    };
    let (path, name) = (path.to_owned(), stack.name.clone());
    let file = on_thread("the saved observation", move || Ok(File::read(&path, &name)?)).await?;
    ui.note(&age(&file.observed_at));
    let world = file.world.as_asked(stack);
    Ok((Desired::new(stack, world.system.dialect), world))
}

/// Formats the age of an observation. It depends on the clock, so it is not part of the plan.
fn age(observed_at: &str) -> String {
    let Ok(moment) = observed_at.parse::<Timestamp>() else {
        return format!("planned against what was observed at {observed_at}");
    };
    let minutes = Timestamp::now().duration_since(moment).as_mins();
    let age = match minutes {
        ..0 => "in the future by this clock".to_owned(),
        0 => "less than a minute ago".to_owned(),
        1..120 => format!("{minutes} min ago"),
        120..2880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 60 / 24),
    };
    format!("planned against what was observed {age} ({observed_at})")
}

/// Loads a spec with the environment variables of this process.
pub(super) fn load(path: &Path, contact: Contact) -> Result<Stack, Failure> {
    let stack = stack::load(path, &|name| std::env::var(name).ok(), contact)?;
    redact::remember(&stack.secrets);
    Ok(stack)
}

/// Derives the desired state, observes all stores with a timeout, and prints lock waits meanwhile.
pub(super) async fn observe<'s>(
    stack: &'s Stack,
    clients: &Clients,
    most: Duration,
    ui: &Ui,
) -> Result<(Desired<'s>, World), Failure> {
    let desired = Desired::new(stack, clients.system.dialect());
    let mut on_wait = |on: &str| ui.note(&format!("system waits for {on}"));
    let world = observe_within(&desired, clients, most, &mut on_wait).await?;
    Ok((desired, world))
}

/// Prints the warnings of a valid spec.
pub(super) fn warnings(stack: &Stack, ui: &Ui) {
    for warning in &stack.warnings {
        let place = warning.at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
        ui.warn(&format!("{place}{}", warning.message));
        if let Some(help) = &warning.help {
            ui.help(help);
        }
    }
}

/// Prints a note about unset secrets, which planning does not need.
pub(super) fn note_unset_secrets(stack: &Stack, ui: &Ui) {
    for secret in stack.unset_secrets() {
        ui.note(&format!("{}: {} is unset; `apply` will need it", secret.at, secret.placeholder()));
    }
}

/// Prints a note about unset addresses and tokens, which an offline command does not need.
pub(super) fn note_unset_addresses(stack: &Stack, ui: &Ui) {
    for (at, names) in stack.unset_addresses() {
        let names = names.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(", ");
        ui.note(&format!("{at}: {names} is unset; whatever contacts the server will need it"));
    }
}

/// Fails on unset secrets, because `apply` needs them.
pub(super) fn refuse_unset_secrets(stack: &Stack) -> Result<(), Failure> {
    let unset = stack.unset_secrets();
    let Some(first) = unset.first() else { return Ok(()) };
    let names: Vec<&str> = unset.iter().map(|secret| secret.placeholder()).collect();
    let message = format!("{} must be set to apply", names.join(", "));
    Err(Failure::new(
        Plain::new("unset", message).help("set it in the environment").at(Some(first.at.clone())),
    ))
}

/// Converts the error of a run to a failure. Faults of the plan are printed here.
pub(super) fn failure(error: apply::Error, ui: &Ui) -> Failure {
    use apply::Error as E;
    match error {
        E::Observe(error) => error.into(),
        E::Plan(failure) => no_plan(failure, ui),
        E::Lock(error) => error.into(),
        E::LockLost(error) => Failure::with(Exit::Failed, error),
        E::Saved(error) => error.into(),
        E::ForeignDatabase(foreign) => Failure::with(Exit::Denied, foreign),
        E::Unrecorded(error) => Failure::from(error).after_changes(),
        E::NotApproved { has_made_database } => {
            let (exit, what) = if has_made_database {
                (Exit::Partial, "the database was made, and nothing else was applied")
            } else {
                (Exit::Failed, "nothing was applied")
            };
            Failure::with(exit, Plain::new("not_approved", format!("not approved; {what}")))
        }
        E::NoTerminal => {
            let plain = Plain::new("no_approval", "there is no terminal to ask on");
            let help = "add `--auto-approve`, or apply a saved plan: `trueup apply PLAN`";
            Failure::with(Exit::Usage, plain.help(help))
        }
    }
}

/// Converts a planning error to a failure, with all faults.
pub(super) fn no_plan(failure: PlanError, ui: &Ui) -> Failure {
    match failure {
        PlanError::Faults(faults) => {
            let count = faults.len();
            for fault in faults {
                ui.diagnostic(&plain(fault));
            }
            let what = if count == 1 { "one problem".to_owned() } else { format!("{count} problems") };
            Failure::new(Plain::new("no_plan", format!("cannot plan because of {what}")))
        }
        PlanError::NothingSelected(only) => {
            let help = "give a component (system, target, vector, cache, flags) or an address of the plan";
            Failure::with(
                Exit::Usage,
                Plain::new("only", format!("`--only {only}` names nothing")).help(help),
            )
        }
        PlanError::Cycle(cycle) => Failure::new(
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
