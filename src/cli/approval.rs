//! What of a plan may run: what a saved plan still has, what is denied, and what a person says.

use std::collections::BTreeSet;

use super::apply::ApplyArgs;
use super::args::EventFormat;
use super::exit::{Exit, Failure, Plain};
use super::ui::Ui;
use crate::address::Address;
use crate::change::Held;
use crate::journal::{self, Bookkeeping, RunId};
use crate::plan::{self, Allow, Anothers, Document, Plan};
use crate::render;
use crate::stack::Stack;
use crate::stores::Clients;

/// Which command a run belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// `apply`
    Apply,
    /// `destroy`
    Destroy,
}

impl Command {
    /// As history shows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Destroy => "destroy",
        }
    }

    fn question(self) -> &'static str {
        match self {
            Self::Apply => "Apply this plan?",
            Self::Destroy => "Take all this back?",
        }
    }
}

/// The last run of a saved plan.
pub(super) async fn earlier(
    saved: &Document,
    bookkeeping: Bookkeeping,
    clients: &Clients,
) -> Result<Option<RunId>, Failure> {
    if bookkeeping == Bookkeeping::Missing {
        return Ok(None);
    }
    let runs = journal::runs_of_plan(&clients.system.database().await?, &saved.plan_digest).await?;
    Ok(runs.into_iter().last().map(|run| run.id))
}

/// What of a plan is to run.
#[derive(Debug, Default)]
pub(super) struct ToRun {
    /// The changes.
    pub addresses: BTreeSet<Address>,
    /// Changes of a saved plan that cannot be planned now.
    pub held: Vec<Held>,
    /// Changes of a saved plan that an earlier run of it did.
    pub skipped: BTreeSet<Address>,
}

impl ToRun {
    /// All changes of a plan.
    pub(super) fn all_of(plan: &Plan) -> Self {
        let addresses = plan.document.changes.iter().map(|change| change.address.clone()).collect();
        Self { addresses, ..Self::default() }
    }
}

/// What of a saved plan is still to run, compared with the fresh one. What this run has done itself is
/// not mentioned.
pub(super) fn reconciled(
    saved: &Document,
    fresh: &Plan,
    earlier: Option<&RunId>,
    own: Option<&Address>,
    ui: &Ui,
) -> Result<ToRun, Failure> {
    let plan::Reconciled { run, skipped, extra, held } =
        plan::reconcile(saved, &fresh.document, earlier.map(RunId::as_str))?;
    for address in extra {
        ui.note(&format!("{address} is not in the saved plan and is not run"));
    }
    for Held { address, reason } in &held {
        ui.warn(&format!("{address} cannot be done now: {reason}"));
    }
    let skipped = skipped.into_iter().filter(|address| Some(address) != own).collect();
    Ok(ToRun { addresses: run.into_iter().collect(), held, skipped })
}

/// Shows the plan, unless events are asked for.
pub(super) fn show(plan: &Plan, args: &ApplyArgs, ui: &Ui) {
    if args.format == EventFormat::Text {
        ui.answer(&render::plan_text(&plan.document, ui.style()));
    }
}

/// Whether something in the plan may not run: a policy denies it, or it was not allowed by name.
pub(super) fn refused(plan: &Plan, approved: &BTreeSet<Address>, args: &ApplyArgs, ui: &Ui) -> Option<Exit> {
    let allowed = args.allowed();
    let mut is_refused = false;
    for denied in &plan.denied {
        ui.say(&format!("error: {}: {}", denied.address, denied.reason));
        is_refused = true;
    }
    for (address, allow) in plan.refusals(&allowed) {
        if allow == Allow::Environment || approved.contains(&address) {
            ui.say(&format!("error: {}", refusal(plan, &address, allow)));
            ui.help(&ways_out(allow));
            is_refused = true;
        }
    }
    is_refused.then_some(Exit::Denied)
}

/// Refuses what only writes the bookkeeping, where that is another stack's or production's.
pub(super) async fn refuse_anothers(stack: &Stack, clients: &Clients) -> Result<(), Failure> {
    let (journal, _) = journal::observe(&clients.system.database().await?).await?;
    match Anothers::of(stack, &journal) {
        Some(anothers) => Err(Failure::with(Exit::Denied, anothers)),
        None => Ok(()),
    }
}

/// What to do about something that runs only when it is allowed.
fn ways_out(allow: Allow) -> String {
    let meant = format!("if that is meant, add `--allow {}`", allow.as_str());
    match allow {
        Allow::Destructive | Allow::MassDelete | Allow::Environment => meant,
        Allow::Takeover => format!(
            "{meant}: its bookkeeping is lost. If another environment uses it, give this one a `prefix`, a `tenant` \
             or a `database` of its own under `vector:`"
        ),
    }
}

fn refusal(plan: &Plan, address: &Address, allow: Allow) -> String {
    match (allow, plan.document.is_anothers()) {
        (Allow::Destructive, _) => format!("{address} loses data"),
        (Allow::MassDelete, _) => format!("{address} deletes because a source of the spec yields nothing"),
        (Allow::Takeover, _) => format!("{address} takes over what another bookkeeping made"),
        (Allow::Environment, Some(anothers)) => anothers.to_string(),
        (Allow::Environment, None) => "this system database is another environment's".to_owned(),
    }
}

/// What a run has done before it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    /// It made the database, in which it found another plan than the one that was approved.
    Database,
}

/// Asks for approval.
pub(super) async fn ask(command: Command, done: Done, ui: &Ui) -> Result<(), Failure> {
    let no_way = || {
        let plain = Plain::new("no_approval", "there is no terminal to ask on");
        Failure::with(
            Exit::Usage,
            plain.help("add `--auto-approve`, or apply a saved plan: `trueup apply PLAN`"),
        )
    };
    let (exit, what) = match done {
        Done::Nothing => (Exit::Failed, "nothing was applied"),
        Done::Database => (Exit::Partial, "the database was made, and nothing else was applied"),
    };
    match ui.confirm(command.question()).await {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::with(exit, Plain::new("not_approved", format!("not approved; {what}")))),
        None => Err(no_way()),
    }
}
