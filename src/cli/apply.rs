//! `trueup apply`: lock, observe, plan, ask, walk, verify.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{ApplyArgs, EventFormat};
use super::exit::{Exit, Failure, Plain};
use super::load;
use super::progress::Progress;
use super::ui::Ui;
use crate::apply::{Cancel, Clients, Limits, Recorder, Session, Verified, system_url};
use crate::change::Address;
use crate::journal::{self, Bookkeeping, Run, RunId, RunStatus, lock};
use crate::plan::{self, Allow, ChangeEntry, Document, Options, Plan};
use crate::render::{self, Totals};
use crate::spec::{Contact, Stack};
use crate::system::{Presence, Purpose};

pub(super) async fn run(args: &ApplyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui)?;
    load::refuse_unset_secrets(&stack)?;
    let saved = args.plan.as_deref().map(plan::read).transpose()?;
    let run = RunId::new();
    let clients = Arc::new(Clients::new(&stack, Purpose::Apply(run.clone()), args.train)?);
    let presence = wait_for_system(&clients, args.wait, ui).await?;

    let mut applying = Applying { args, ui, stack: &stack, saved, run, clients, held: None };
    if presence == Presence::Present {
        applying.take_lock().await?;
    }
    let ended = applying.run().await;
    if let Some(held) = applying.held.take() {
        held.release().await;
    }
    ended
}

/// One run of the command.
struct Applying<'a> {
    args: &'a ApplyArgs,
    ui: &'a Ui,
    stack: &'a Stack,
    saved: Option<Document>,
    run: RunId,
    clients: Arc<Clients>,
    held: Option<lock::Lock>,
}

/// What was shown, and what of it may run.
struct Approved {
    plan: Plan,
    addresses: BTreeSet<Address>,
}

impl Applying<'_> {
    async fn run(&mut self) -> Result<Exit, Failure> {
        let (args, ui, clients) = (self.args, self.ui, Arc::clone(&self.clients));
        let options = Options { only: args.only.clone(), train: args.train };
        let session = Session { stack: self.stack, clients: &clients, options: &options };
        let mut approved = match self.approve(&session, None).await? {
            Ok(approved) => approved,
            Err(exit) => return Ok(exit),
        };

        let cancel = Cancel::new();
        cancel.listen().map_err(|error| Plain::io("listen to", "signals", &error))?;
        let record =
            run_record(&self.run, self.stack, self.saved.as_ref().unwrap_or(&approved.plan.document));
        let mut recorder = Recorder::new(record);
        let mut progress = Progress::new(ui, args.format, approved.addresses.len());
        let limits = Limits { parallelism: usize::from(args.parallelism) };
        let unchanged = approved.plan.document.summary.unchanged;
        let mut totals = Totals { unchanged, ..Totals::default() };

        if self.held.is_none() {
            // Nothing can be locked before there is a database: make it, take the lock, look again.
            let database = Address::new("system.database");
            let walked = session
                .walk_only(&approved.plan, &database, limits, &cancel, &mut recorder, &mut |event| {
                    progress.event(event);
                })
                .await;
            totals.take(&walked);
            if walked.interrupted || !walked.failed.is_empty() {
                return finish(recorder, &progress, totals, &Verified::failed(&walked), &cancel, args, ui)
                    .await;
            }
            self.take_lock().await?;
            progress.clear();
            approved = match self.approve(&session, Some(&approved)).await? {
                Ok(approved) => approved,
                Err(exit) => return Ok(exit),
            };
        }
        if let Some(held) = &self.held {
            let (lost, cancel) = (held.lost(), cancel.clone());
            tokio::spawn(async move { cancel.stop(format!("the lock was lost: {}", lost.await)) });
        }
        let Approved { plan, addresses } = approved;
        let verified = session
            .converge(plan, &addresses, self.saved.is_none(), limits, &cancel, &mut recorder, &mut |event| {
                progress.event(event);
            })
            .await?;
        let verified = verified.map_err(|failure| load::no_plan(failure, ui))?;
        totals.take(&verified.walked);
        totals.blocked += verified.blocked;
        totals.deferred = verified.deferred;
        finish(recorder, &progress, totals, &verified, &cancel, args, ui).await
    }

    /// Looks, shows, refuses, asks. What was shown `before` and comes again is not asked for again:
    /// another run may have done some of it while this one waited for the lock.
    async fn approve(
        &self,
        session: &Session<'_>,
        before: Option<&Approved>,
    ) -> Result<Result<Approved, Exit>, Failure> {
        let (args, ui) = (self.args, self.ui);
        let seen = session.look().await?.map_err(|failure| load::no_plan(failure, ui))?;
        let bookkeeping = seen.world.journal.bookkeeping;
        let addresses = match &self.saved {
            Some(saved) => reconciled(saved, &seen.plan, bookkeeping, &self.clients, ui).await?,
            None => seen.plan.document.changes.iter().map(|change| change.address.clone()).collect(),
        };
        let is_new = before.is_none_or(|before| !comes_again(&seen.plan, &before.plan));
        if is_new {
            if before.is_some() {
                ui.note("another run was at work meanwhile; this is what is left to do");
            }
            show(&seen.plan, args, ui);
        }
        if let Some(exit) = refused(&seen.plan, &addresses, args, ui) {
            return Ok(Err(exit));
        }
        if addresses.is_empty() {
            if self.held.is_some() {
                session.record_unrecorded_schema(&seen, &self.run).await?;
            }
            return Ok(Err(nothing_to_do(&seen.plan, args, ui)));
        }
        if is_new && !args.auto_approve && self.saved.is_none() {
            approve(ui)?;
        }
        if self.held.is_some() {
            session.record_unrecorded_schema(&seen, &self.run).await?;
        }
        if before.is_none() && bookkeeping == Bookkeeping::Present {
            self.mention_the_dead().await?;
        }
        Ok(Ok(Approved { plan: seen.plan, addresses }))
    }

    /// Names the run that left off in the middle, where the last one did.
    async fn mention_the_dead(&self) -> Result<(), Failure> {
        let last = journal::history(&self.clients.system.database().await?, 1).await?;
        if let Some(dead) = last.into_iter().next().map(|run| run.judged(None))
            && dead.status == RunStatus::Died
        {
            self.ui.note(&format!(
                "run {} of {}, by {}, died in the middle; this one goes on from what is there",
                dead.id, dead.started_at, dead.who
            ));
        }
        Ok(())
    }

    async fn take_lock(&mut self) -> Result<(), Failure> {
        let url = system_url(self.stack)?;
        let lock = lock::acquire(&url, &self.stack.name, &self.run, self.args.lock_timeout).await?;
        self.held = Some(lock);
        Ok(())
    }
}

/// Whether every change of a plan was in an earlier one, with the same meaning and risk.
fn comes_again(plan: &Plan, before: &Plan) -> bool {
    let earlier: BTreeMap<&Address, &ChangeEntry> =
        before.document.changes.iter().map(|change| (&change.address, change)).collect();
    plan.document.changes.iter().all(|change| {
        earlier.get(&change.address).is_some_and(|earlier| {
            (earlier.action, &earlier.after) == (change.action, &change.after) && change.risk <= earlier.risk
        })
    })
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
        Bookkeeping::Present => {
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
    if args.format == EventFormat::Json {
        ui.answer(&format!("{}\n", render::summary_json(&totals, None)));
    }
    if plan.has_failed_check() || totals.blocked > 0 { Exit::Partial } else { Exit::Done }
}

fn approve(ui: &Ui) -> Result<(), Failure> {
    let no_way = || {
        let plain = Plain::new("no_approval", "there is no terminal to ask on");
        Failure::with(
            Exit::Usage,
            plain.help("add `--auto-approve`, or apply a saved plan: `trueup apply PLAN`"),
        )
    };
    match ui.confirm("Apply this plan?") {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(Plain::new("not_approved", "not approved; nothing was applied"))),
        None => Err(no_way()),
    }
}

fn run_record(run: &RunId, stack: &Stack, plan: &Document) -> Run {
    Run {
        id: run.clone(),
        command: "apply".to_owned(),
        stack: stack.name.clone(),
        environment: stack.environment.clone(),
        status: RunStatus::Running,
        started_at: journal::now(),
        finished_at: None,
        who: lock::who(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: git_commit(&stack.file),
        spec_digest: plan.spec_digest.to_string(),
        plan_digest: plan.plan_digest.to_string(),
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
    cancel: &Cancel,
    args: &ApplyArgs,
    ui: &Ui,
) -> Result<Exit, Failure> {
    progress.clear();
    let run = recorder.run().clone();
    let (status, exit) = if cancel.reason().is_some() {
        (RunStatus::Failed, Exit::Partial)
    } else if verified.walked.interrupted {
        (RunStatus::Interrupted, Exit::Interrupted)
    } else if verified.is_whole() {
        (RunStatus::Succeeded, Exit::Done)
    } else {
        (RunStatus::Failed, Exit::Partial)
    };
    let summary = render::summary_text(&totals, render::Paint::Plain);
    let recorded = recorder.finish(status, &summary).await;
    if let Some(reason) = cancel.reason() {
        ui.say(&format!("error: {reason}; this run stopped at once, and another may be at work"));
    }
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
