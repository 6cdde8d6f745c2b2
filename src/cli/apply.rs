//! `trueup apply`: lock, observe, plan, ask, walk, verify.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{ApplyArgs, DestroyArgs, EventFormat};
use super::exit::{Exit, Failure, Plain};
use super::load;
use super::progress::Progress;
use super::ui::Ui;
use crate::apply::{Cancel, Clients, Limits, Recorder, Session, Verified, system_url};
use crate::change::Address;
use crate::digest::Digest;
use crate::journal::{self, Bookkeeping, Move, Run, RunId, RunStatus, lock};
use crate::plan::{self, Allow, Document, Options, Plan};
use crate::render::{self, Totals};
use crate::spec::{Contact, Stack};
use crate::system::{Presence, Purpose};

pub(super) async fn run(args: &ApplyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui)?;
    load::refuse_unset_secrets(&stack)?;
    let saved = args.plan.as_deref().map(plan::read).transpose()?;
    execute(&stack, saved, args, Command::Apply, ui).await
}

/// `trueup destroy`: an apply of the emptied stack, with the same guards.
pub(super) async fn destroy(args: &DestroyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui)?.emptied();
    execute(&stack, None, &args.as_apply(), Command::Destroy, ui).await
}

/// Which command a run belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Apply,
    Destroy,
}

impl Command {
    fn name(self) -> &'static str {
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

async fn execute(
    stack: &Stack,
    saved: Option<Document>,
    args: &ApplyArgs,
    command: Command,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let run = RunId::new();
    let clients = Arc::new(Clients::new(stack, Purpose::Apply(run.clone()), args.train)?);
    let presence = wait_for_system(&clients, args.wait, ui).await?;

    let mut held = match presence {
        Presence::Present => Some(take_lock(stack, &run, args).await?),
        Presence::Missing if command == Command::Destroy => {
            ui.note("the system database does not exist: nothing was put there");
            return Ok(ended(&Totals::default(), args, ui));
        }
        Presence::Missing => None,
    };
    let take_back = command == Command::Destroy;
    let options = Options { only: args.only.clone(), train: args.train, take_back };
    let session = Session { stack, clients: &clients, options: &options };
    let seen = session.look().await?.map_err(|failure| load::no_plan(failure, ui))?;
    let approved = match &saved {
        Some(saved) => reconciled(saved, &seen.plan, seen.world.journal.bookkeeping, &clients, ui).await?,
        None => seen.plan.document.changes.iter().map(|change| change.address.clone()).collect(),
    };
    show(&seen.plan, args, ui);
    if let Some(exit) = refused(&seen.plan, &approved, args, ui) {
        return Ok(exit);
    }
    let knows_spec = seen.world.journal.spec_digest.as_ref() == Some(&stack.digest);
    if approved.is_empty() && seen.plan.moves.is_empty() {
        let has_bookkeeping = seen.world.journal.bookkeeping != Bookkeeping::Missing;
        if seen.plan.is_empty() && args.only.is_none() && has_bookkeeping && !knows_spec {
            // Another spec that wants the same: the one thing that has to be taken down.
            journal::record_spec(&clients.system.database().await?, &stack.digest).await?;
        }
        if take_back {
            ui.note("there is nothing left to take back");
        }
        return Ok(nothing_to_do(&seen.plan, args, ui));
    }
    if !args.auto_approve && saved.is_none() && !approved.is_empty() {
        approve(command, ui)?;
    }

    let cancel = Cancel::new();
    cancel.listen();
    let document = saved.as_ref().unwrap_or(&seen.plan.document);
    let (spec_digest, plan_digest) = (&document.spec_digest, &document.plan_digest);
    let record = run_record(command.name(), &run, stack, spec_digest, plan_digest);
    let mut recorder = Recorder::new(record);
    let mut progress = Progress::new(ui, args.format, approved.len());
    let limits = Limits { parallelism: usize::from(args.parallelism) };
    let mut totals = Totals { unchanged: seen.plan.document.summary.unchanged, ..Totals::default() };

    let mut plan = seen.plan;
    rename(&plan.moves, &clients, &mut recorder, ui).await?;
    if held.is_none() {
        // Nothing can be locked before there is a database: make it, take the lock, look again.
        let walked = session
            .walk_only(
                &plan,
                &Address::new("system.database"),
                limits,
                &cancel,
                &mut recorder,
                &mut |event| progress.event(event),
            )
            .await;
        totals.take(&walked);
        if walked.interrupted || !walked.failed.is_empty() {
            return finish(recorder, &progress, totals, &Verified::failed(&walked), args, ui).await;
        }
        held = Some(take_lock(stack, &run, args).await?);
        plan = session.look().await?.map_err(|failure| load::no_plan(failure, ui))?.plan;
    }
    let verified = session
        .converge(plan, &approved, saved.is_none(), limits, &cancel, &mut recorder, &mut |event| {
            progress.event(event);
        })
        .await?;
    let verified = verified.map_err(|failure| load::no_plan(failure, ui))?;
    totals.take(&verified.walked);
    totals.blocked += verified.blocked;
    totals.deferred = verified.deferred;
    let exit = finish(recorder, &progress, totals, &verified, args, ui).await;
    if verified.converged && args.only.is_none() && !knows_spec {
        let database = clients.system.database().await?;
        if journal::observe(&database).await?.0.bookkeeping != Bookkeeping::Missing {
            journal::record_spec(&database, &stack.digest).await?;
        }
    }
    drop(held);
    exit
}

/// Things that the spec calls otherwise than the bookkeeping: it learns their names, before a step
/// looks there for what is its own.
async fn rename(moves: &[Move], clients: &Clients, recorder: &mut Recorder, ui: &Ui) -> Result<(), Failure> {
    if moves.is_empty() {
        return Ok(());
    }
    let database = clients.system.database().await?;
    journal::rename(&database, moves).await?;
    recorder.renamed(moves);
    recorder.begin(database).await?;
    for Move { from, to } in moves {
        ui.note(&format!("{from} is called {to} in the bookkeeping now"));
    }
    Ok(())
}

/// Waits until the system database answers, for as long as `--wait` says.
async fn wait_for_system(clients: &Clients, patience: Duration, ui: &Ui) -> Result<Presence, Failure> {
    const PAUSE: Duration = Duration::from_millis(500);
    let started = Instant::now();
    let mut said = false;
    loop {
        match clients.system.presence().await {
            Ok(presence) => return Ok(presence),
            Err(error) if error.is_unreachable() && started.elapsed() < patience => {
                if !said {
                    ui.note(&format!("{error}; waiting up to {patience:?}"));
                    said = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn take_lock(stack: &Stack, run: &RunId, args: &ApplyArgs) -> Result<lock::Lock, Failure> {
    Ok(lock::acquire(&system_url(stack)?, &stack.name, run, args.lock_timeout).await?)
}

/// What of a saved plan is still to run, held against the fresh one.
async fn reconciled(
    saved: &Document,
    fresh: &Plan,
    bookkeeping: Bookkeeping,
    clients: &Clients,
    ui: &Ui,
) -> Result<BTreeSet<Address>, Failure> {
    let earlier = match bookkeeping {
        Bookkeeping::Missing => None,
        Bookkeeping::Outdated | Bookkeeping::Present => {
            let runs = journal::runs_of_plan(&clients.system.database().await?, &saved.plan_digest).await?;
            runs.last().map(|run| run.id.to_string())
        }
    };
    let plan::Reconciled { run, skipped, extra } =
        plan::reconcile(saved, &fresh.document, earlier.as_deref())?;
    for address in skipped {
        ui.note(&format!("{address} was done by an earlier run of this plan"));
    }
    for address in extra {
        ui.note(&format!("{address} is not in the saved plan and is not run"));
    }
    Ok(run.into_iter().collect())
}

fn show(plan: &Plan, args: &ApplyArgs, ui: &Ui) {
    if args.format == EventFormat::Text {
        ui.answer(&render::plan_text(&plan.document, ui.paint()));
    }
}

/// Whether something in the plan may not run: a policy denies it, or it was not allowed by name.
fn refused(plan: &Plan, approved: &BTreeSet<Address>, args: &ApplyArgs, ui: &Ui) -> Option<Exit> {
    let allowed: Vec<Allow> = args.allow.iter().map(|allow| (*allow).into()).collect();
    let mut is_refused = false;
    for denied in &plan.denied {
        ui.say(&format!("error: {}: {}", denied.address, denied.reason));
        is_refused = true;
    }
    for (address, allow) in plan.refusals(&allowed) {
        if allow == Allow::Environment || approved.contains(&address) {
            ui.say(&refusal(plan, &address, allow));
            is_refused = true;
        }
    }
    is_refused.then_some(Exit::Denied)
}

fn refusal(plan: &Plan, address: &Address, allow: Allow) -> String {
    let why = match allow {
        Allow::Destructive => format!("{address} loses data"),
        Allow::MassDelete => format!("{address} deletes because a source of the spec yields nothing"),
        Allow::Environment => format!(
            "this system database was last applied as {}, and the spec says {}",
            plan.document.environment_before.as_deref().unwrap_or("production"),
            plan.document.environment
        ),
    };
    format!("error: {why}\n  help: if that is meant, add `--allow {}`", allow.as_str())
}

fn nothing_to_do(plan: &Plan, args: &ApplyArgs, ui: &Ui) -> Exit {
    let totals = Totals {
        unchanged: plan.document.summary.unchanged,
        blocked: plan.document.blocked.len(),
        deferred: plan.document.deferred.len(),
        ..Totals::default()
    };
    let exit = ended(&totals, args, ui);
    if plan.has_failed_check() || totals.blocked > 0 { Exit::Partial } else { exit }
}

/// The end of a run that did nothing.
fn ended(totals: &Totals, args: &ApplyArgs, ui: &Ui) -> Exit {
    if args.format == EventFormat::Json {
        ui.answer(&format!("{}\n", render::summary_json(totals, None)));
    }
    Exit::Done
}

fn approve(command: Command, ui: &Ui) -> Result<(), Failure> {
    let no_way = || {
        let plain = Plain::new("no_approval", "there is no terminal to ask on");
        Failure::with(
            Exit::Usage,
            plain.help("add `--auto-approve`, or apply a saved plan: `trueup apply PLAN`"),
        )
    };
    match ui.confirm(command.question()) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(Plain::new("not_approved", "not approved; nothing was applied"))),
        None => Err(no_way()),
    }
}

/// A run that begins now.
pub(super) fn run_record(
    command: &str,
    run: &RunId,
    stack: &Stack,
    spec_digest: &Digest,
    plan_digest: &Digest,
) -> Run {
    Run {
        id: run.clone(),
        command: command.to_owned(),
        stack: stack.name.clone(),
        environment: stack.environment.clone(),
        status: RunStatus::Running,
        started_at: journal::now(),
        finished_at: None,
        who: lock::who(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: git_commit(&stack.file),
        spec_digest: spec_digest.to_string(),
        plan_digest: plan_digest.to_string(),
        summary: None,
    }
}

/// The commit that the spec was read from; `None` outside of a git checkout, or without git.
fn git_commit(spec: &Path) -> Option<String> {
    let folder = spec.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let git =
        std::process::Command::new("git").arg("-C").arg(folder).args(["rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(git.stdout).ok()?.trim().to_owned();
    (git.status.success() && !commit.is_empty()).then_some(commit)
}

/// Says how it ended and records it.
async fn finish(
    recorder: Recorder,
    progress: &Progress,
    totals: Totals,
    verified: &Verified,
    args: &ApplyArgs,
    ui: &Ui,
) -> Result<Exit, Failure> {
    progress.clear();
    let run = recorder.run().clone();
    let (status, exit) = if verified.walked.interrupted {
        (RunStatus::Interrupted, Exit::Interrupted)
    } else if verified.is_whole() {
        (RunStatus::Succeeded, Exit::Done)
    } else {
        (RunStatus::Failed, Exit::Partial)
    };
    let summary = render::summary_text(&totals, render::Paint::Plain);
    let recorded = recorder.finish(status, &summary).await;
    for address in &verified.left {
        ui.say(&format!("error: {address} still differs after it was applied"));
    }
    for check in &verified.failed_checks {
        ui.say(&format!("error: {}: {}", check.address, check.message));
    }
    ui.answer(&match args.format {
        EventFormat::Json => format!("{}\n", render::summary_json(&totals, Some(run.as_str()))),
        EventFormat::Text => format!("\n{}\n", render::summary_text(&totals, ui.paint())),
    });
    if exit == Exit::Partial || exit == Exit::Interrupted {
        ui.note("the same command goes on from here");
    }
    recorded?;
    Ok(exit)
}
