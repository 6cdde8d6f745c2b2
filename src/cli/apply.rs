//! `trueup apply`: lock, observe, plan, ask, walk, verify. `destroy` does the same with an emptied stack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::approval::{self, Command, Done, ToRun};
use super::args::{AllowArg, EventFormat, duration};
use super::ending::{self, Ending};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::ui::Ui;
use super::{listening, load};
use crate::address::{Address, Kind};
use crate::apply::{Approval, Cancel, Event, Execution, KnownSchema, Recorder, Seen, Session, Verified};
use crate::connection::{self, Presence, Purpose};
use crate::journal::{self, Bookkeeping, Move, Outcome, RunId, RunStatus, lock};
use crate::plan::{self, Allow, ChangeEntry, Document, Options, Plan};
use crate::render::Totals;
use crate::stack::{Contact, Stack};
use crate::stores::{Clients, system_url};

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done · 1 failed, nothing applied · 3 denied, nothing applied · 4 the lock is held ·
5 the saved plan cannot be used · 6 applied in part · 64 no way to approve · 130 interrupted

Examples:
  trueup apply --auto-approve --wait 60s        in a pipeline, while servers still start
  trueup apply plan.json                        exactly the plan that was reviewed
  trueup apply --only system")]
pub(super) struct ApplyArgs {
    /// A saved plan: runs exactly its changes, or refuses
    pub plan: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Steps that run at one time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallelism: u16,
    /// How long to wait for another run to end; 0s: do not wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// How long to wait for servers that are still starting
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub wait: Duration,
    /// How long observing may take, each time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub refresh_timeout: Duration,
    /// Permit what does not run unless it is named
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<AllowArg>,
    /// A component or an address; what it needs is applied too
    #[arg(long, value_name = "COMPONENT|ADDRESS")]
    pub only: Option<String>,
    /// Train the vector store though auto_train_vector is off
    #[arg(long)]
    pub train: bool,
    /// How to print what happens: text, or one JSON object a line
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

impl ApplyArgs {
    /// What `--allow` permits.
    pub(super) fn allowed(&self) -> Vec<Allow> {
        self.allow.iter().map(|allow| (*allow).into()).collect()
    }
}

pub(super) async fn run(args: &ApplyArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let cancel = listening()?;
    let Some(stack) = cancel.unless_asked(load::stack(file, Contact::Live, ui)).await else {
        return Ok(ending::before_the_first_step(ui));
    };
    let stack = stack?;
    load::refuse_unset_secrets(&stack)?;
    let saved = match args.plan.clone() {
        None => None,
        Some(path) => {
            let reading = load::aside("the saved plan", move || Ok(plan::read(&path)?));
            match cancel.unless_asked(reading).await {
                Some(saved) => Some(saved?),
                None => return Ok(ending::before_the_first_step(ui)),
            }
        }
    };
    execute(&stack, saved, args, Command::Apply, cancel, ui).await
}

/// One run of `apply` or `destroy`, from the lock to the last look.
pub(super) async fn execute(
    stack: &Stack,
    saved: Option<Document>,
    args: &ApplyArgs,
    command: Command,
    cancel: Cancel,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let run = RunId::new();
    let clients = Arc::new(Clients::new(stack, Purpose::Apply(run.clone()), args.train)?);
    let mut applying =
        Applying { command, args, ui, stack, saved, run, clients, cancel: cancel.clone(), held: None };
    let Some(presence) = cancel.unless_asked(applying.open()).await else {
        return Ok(ending::before_the_first_step(ui));
    };
    if presence? == Presence::Missing && command == Command::Destroy {
        ui.note("the system database does not exist: nothing was put there");
        return Ok(ending::of_nothing(&Totals::default(), args, ui));
    }
    let ended = Box::pin(applying.run()).await;
    if let Some(held) = applying.held.take() {
        held.release().await;
    }
    ended
}

/// One run of the command.
struct Applying<'a> {
    command: Command,
    args: &'a ApplyArgs,
    ui: &'a Ui,
    stack: &'a Stack,
    saved: Option<Document>,
    run: RunId,
    clients: Arc<Clients>,
    cancel: Cancel,
    held: Option<lock::Lock>,
}

/// What was shown, and what of it may run.
struct Approved {
    plan: Plan,
    to_run: ToRun,
    /// Whether the bookkeeping has this spec as the one last applied.
    knows_spec: bool,
    schema: KnownSchema,
}

/// What was shown before a look, and what this run had done by then.
#[derive(Clone, Copy)]
struct Before<'a> {
    plan: &'a Plan,
    done: Done,
}

/// What a look leads to.
enum Decision {
    /// The plan is to be applied.
    Apply(Box<Approved>),
    /// The command ends here: there is nothing to do, or it is refused.
    End(Exit),
}

/// What became of asking.
enum Asked {
    Decided(Decision),
    /// This plan was approved, and the lock was lost while the question was open.
    LockLost {
        plan: Box<Plan>,
        reason: String,
    },
}

impl Applying<'_> {
    async fn run(&mut self) -> Result<Exit, Failure> {
        let (args, ui, clients) = (self.args, self.ui, Arc::clone(&self.clients));
        let take_back = self.command == Command::Destroy;
        let options = Options { only: args.only.clone(), train: args.train, take_back, ..Options::default() };
        let session = Session {
            stack: self.stack,
            clients: &clients,
            options: &options,
            patience: args.refresh_timeout,
        };
        let cancel = self.cancel.clone();
        let Some(decision) = cancel.unless_asked(self.decide(&session, None)).await else {
            return Ok(ending::before_the_first_step(ui));
        };
        let mut approved = match decision? {
            Decision::Apply(approved) => approved,
            Decision::End(exit) => return Ok(exit),
        };

        let document = self.saved.as_ref().unwrap_or(&approved.plan.document);
        let (spec_digest, plan_digest) = (&document.spec_digest, &document.plan_digest);
        let name = self.command.name();
        let mut recorder =
            Recorder::new(ending::run_record(name, &self.run, self.stack, spec_digest, plan_digest));
        let mut progress = Progress::new(ui, args.format, approved.to_run.addresses.len());
        let parallelism = usize::from(args.parallelism);
        let unchanged = approved.plan.document.summary.unchanged;
        let mut totals = Totals { unchanged, ..Totals::default() };

        for change in
            document.changes.iter().filter(|change| approved.to_run.skipped.contains(&change.address))
        {
            let outcome = Outcome::Skipped("an earlier run of this plan did it".to_owned());
            progress.event(&Event::Ended {
                address: change.address.clone(),
                elapsed: None,
                outcome: outcome.clone(),
            });
            recorder.left_out(change.address.to_string(), change.action, outcome);
            totals.skipped += 1;
        }
        let renaming = self.rename(&approved.plan.moves, &mut recorder);
        let Some(has_written) = cancel.unless_urgent(renaming).await else { return Ok(Exit::Interrupted) };
        let has_written = has_written?;
        if self.held.is_none() {
            // Nothing can be locked before there is a database: make it, take the lock, look again.
            let database = Kind::Database.alone();
            let on_event = &mut |event: &Event| progress.event(event);
            let mut execution = Execution { parallelism, cancel: &cancel, recorder: &mut recorder, on_event };
            let mut walked = session.walk_only(&approved.plan, &database, &mut execution).await;
            progress.clear();
            let again = if walked.has_failure() {
                None
            } else {
                cancel.unless_asked(self.look_again(&session, &approved)).await
            };
            let (why, failure) = match again {
                Some(Ok(Decision::Apply(again))) => {
                    totals.take(&walked);
                    approved = again;
                    (None, None)
                }
                Some(Ok(Decision::End(exit))) => return Ok(exit.after_changes()),
                Some(Err(failure)) => (Some("the run ended before it".to_owned()), Some(failure)),
                None if !walked.has_failure() => {
                    walked.interrupted = true;
                    (Some("interrupted".to_owned()), None)
                }
                None => (Some(format!("needs {}", Kind::Database.alone())), None),
            };
            if let Some(why) = why {
                let on_event = &mut |event: &Event| progress.event(event);
                walked.block_rest(&approved.plan, &approved.to_run.addresses, &why, on_event);
                totals.take(&walked);
                let verified = Verified::failed(&walked);
                let ending = Ending { verified, totals, has_written, failure, cancel: &cancel };
                return ending.finish(recorder, &progress, args, ui).await;
            }
        }
        if let Some(held) = &self.held {
            let (lost, cancel) = (held.lost(), cancel.clone());
            tokio::spawn(async move { cancel.stop(format!("the lock was lost: {}", lost.await)) });
        }
        let Approved { plan, to_run: ToRun { addresses, held, skipped: _ }, knows_spec, schema } = *approved;
        let allowed = args.allowed();
        let may_grow = self.saved.is_none();
        let approval = Approval { addresses: &addresses, held: &held, may_grow, allowed: &allowed };
        let on_event = &mut |event: &Event| progress.event(event);
        let mut execution = Execution { parallelism, cancel: &cancel, recorder: &mut recorder, on_event };
        let mut verified = session.converge(plan, schema, approval, &mut execution).await;
        totals.take(&verified.walked);
        totals.blocked += verified.blocked + verified.undone.len();
        totals.deferred = verified.deferred;
        let mut failure = None;
        if verified.converged && !knows_spec {
            match cancel.unless_urgent(self.record_spec()).await {
                Some(recorded) => failure = recorded.err(),
                None => verified.walked.interrupted = true,
            }
        }
        let ending = Ending { verified, totals, has_written, failure, cancel: &cancel };
        ending.finish(recorder, &progress, args, ui).await
    }

    /// Takes the lock of the database that was just made, and looks again.
    async fn look_again(&mut self, session: &Session<'_>, before: &Approved) -> Result<Decision, Failure> {
        self.take_lock().await?;
        self.decide(session, Some(Before { plan: &before.plan, done: Done::Database })).await
    }

    /// Looks, shows, refuses, asks; and once more where the lock was lost while it asked, since nothing of
    /// the plan was done yet: a person may think for longer than a server or a firewall keeps a connection.
    async fn decide(
        &mut self,
        session: &Session<'_>,
        before: Option<Before<'_>>,
    ) -> Result<Decision, Failure> {
        let done = before.map_or(Done::Nothing, |before| before.done);
        let mut asked = self.approve(session, before).await?;
        loop {
            let (plan, reason) = match asked {
                Asked::Decided(decision) => return Ok(decision),
                Asked::LockLost { plan, reason } => (plan, reason),
            };
            let note = format!("the lock was lost while the question was open ({reason}): it is taken again");
            self.ui.note(&note);
            self.held = None;
            self.take_lock().await?;
            asked = self.approve(session, Some(Before { plan: &plan, done })).await?;
        }
    }

    /// Looks, shows, refuses, asks. What was shown `before` and comes again is not asked for again:
    /// another run may have done some of it while this one waited for the lock.
    async fn approve(&self, session: &Session<'_>, before: Option<Before<'_>>) -> Result<Asked, Failure> {
        let (args, ui) = (self.args, self.ui);
        let mut seen =
            session.look(&mut |on| load::waits(on, ui)).await.map_err(|error| load::no_look(error, ui))?;
        let bookkeeping = seen.world.journal.bookkeeping;
        let to_run = match &self.saved {
            Some(saved) => {
                let earlier = approval::earlier(saved, bookkeeping, &self.clients).await?;
                if earlier.is_some() {
                    let done = plan::done_of(saved, &seen.plan.document);
                    let going_on = Options { done, ..session.options.clone() };
                    let again = plan::plan(self.stack, &seen.world, &going_on);
                    seen.plan = again.map_err(|failure| load::no_plan(failure, ui))?;
                }
                let own = before.map(|_| Kind::Database.alone());
                let reconciled = approval::reconciled(saved, &seen.plan, earlier.as_ref(), own.as_ref(), ui);
                if reconciled.is_err() && earlier.is_some() && seen.plan.is_empty() {
                    self.say_last_words(session, saved, &seen).await?;
                }
                reconciled?
            }
            None => ToRun::all_of(&seen.plan),
        };
        let is_new = before.is_none_or(|before| !comes_again(&seen.plan, before.plan));
        if is_new {
            if before.is_some() {
                ui.note("what there is to do changed meanwhile; this is what is left");
            }
            approval::show(&seen.plan, args, ui);
        }
        if let Some(exit) = approval::refused(&seen.plan, &to_run.addresses, args, ui) {
            return Ok(Asked::Decided(Decision::End(exit)));
        }
        let knows_spec = seen.world.journal.spec_digest.as_ref() == Some(&self.stack.digest);
        let is_idle = to_run.addresses.is_empty() && seen.plan.moves.is_empty();
        let asks = is_new && !args.auto_approve && self.saved.is_none() && !to_run.addresses.is_empty();
        if asks {
            let done = before.map_or(Done::Nothing, |before| before.done);
            approval::ask(self.command, done, ui).await?;
        }
        if let Some(held) = &self.held {
            // A person may have thought for an hour.
            match held.check().await {
                Err(lock::Error::Lost { reason }) if asks => {
                    return Ok(Asked::LockLost { plan: Box::new(seen.plan), reason });
                }
                checked => checked.map_err(|error| Failure::with(Exit::Failed, error))?,
            }
            session.record_unrecorded_schema(&seen, &self.run).await?;
        }
        if is_idle {
            let exit = self.leave(&seen, knows_spec).await?;
            let is_held = exit == Exit::Done && !to_run.held.is_empty();
            let exit = if is_held { Exit::Partial } else { exit };
            return Ok(Asked::Decided(Decision::End(exit)));
        }
        if before.is_none() && bookkeeping != Bookkeeping::Missing {
            self.mention_the_dead().await?;
        }
        let Seen { world, plan } = seen;
        let schema = KnownSchema::of(self.stack, world);
        let approved = Approved { plan, to_run, knows_spec, schema };
        Ok(Asked::Decided(Decision::Apply(Box::new(approved))))
    }

    /// Records what a run of a saved plan left unsaid that was killed after its last step: the plan is used
    /// up, and no later run of it comes to its end.
    async fn say_last_words(
        &self,
        session: &Session<'_>,
        saved: &Document,
        seen: &Seen,
    ) -> Result<(), Failure> {
        let Some(held) = &self.held else { return Ok(()) };
        held.check().await.map_err(|error| Failure::with(Exit::Failed, error))?;
        session.record_unrecorded_schema(seen, &self.run).await?;
        let is_known = seen.world.journal.spec_digest.as_ref() == Some(&self.stack.digest);
        if !is_known && saved.spec_digest == self.stack.digest {
            self.record_spec().await?;
        }
        Ok(())
    }

    /// The end of a run that finds nothing to do.
    async fn leave(&self, seen: &Seen, knows_spec: bool) -> Result<Exit, Failure> {
        if seen.plan.is_empty() && !knows_spec {
            // Another spec that wants the same: the one thing that has to be taken down.
            self.record_spec().await?;
        }
        if self.command == Command::Destroy {
            self.ui.note(match seen.world.journal.bookkeeping {
                Bookkeeping::Missing => "nothing is known that could be taken back",
                Bookkeeping::Outdated | Bookkeeping::Present => "there is nothing left to take back",
            });
        }
        Ok(ending::nothing_to_do(&seen.plan, self.args, self.ui))
    }

    /// Records the spec as the one last applied, where there is a bookkeeping and all of it was.
    async fn record_spec(&self) -> Result<(), Failure> {
        if self.args.only.is_some() {
            return Ok(());
        }
        let database = self.clients.system.database().await?;
        if journal::exists(&database).await? {
            journal::record_spec(&database, &self.stack.digest).await?;
        }
        Ok(())
    }

    /// Records the new names of what the spec calls otherwise than the bookkeeping, before a step looks
    /// there for what is its own. Gives whether there were any.
    async fn rename(&self, moves: &[Move], recorder: &mut Recorder) -> Result<bool, Failure> {
        if moves.is_empty() {
            return Ok(false);
        }
        let database = self.clients.system.database().await?;
        journal::rename(&database, &self.stack.name, moves).await?;
        recorder.renamed(moves);
        recorder.begin(database).await.map_err(|error| Failure::from(error).after_changes())?;
        for Move { from, to } in moves {
            self.ui.note(&format!("{from} is called {to} in the bookkeeping now"));
        }
        Ok(true)
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

    /// Opens the system database and takes its lock, where it exists.
    async fn open(&mut self) -> Result<Presence, Failure> {
        let url = system_url(self.stack)?;
        // A connection takes longer than all that is asked on it. Without a database there is nothing to lock,
        // and that is no failure of the lock.
        let opening = async { Ok(lock::open(&url, &self.stack.name).await) };
        let first = match tokio::try_join!(self.clients.system.presence(), opening) {
            Ok((Presence::Present, opened)) => {
                self.take(opened?).await?;
                return Ok(Presence::Present);
            }
            Ok((Presence::Missing, _)) => Ok(Presence::Missing),
            Err(error) => Err(error),
        };
        let presence = wait_for_system(first, &self.clients, self.args.wait, self.ui).await?;
        if presence == Presence::Present {
            self.take_lock().await?;
        }
        Ok(presence)
    }

    async fn take_lock(&mut self) -> Result<(), Failure> {
        let opened = lock::open(&system_url(self.stack)?, &self.stack.name).await?;
        self.take(opened).await
    }

    async fn take(&mut self, session: lock::Session) -> Result<(), Failure> {
        let database = self.clients.system.database().await?;
        let lock = session.take(&database, &self.run, self.args.lock_timeout).await?;
        self.hold(lock);
        Ok(())
    }

    /// Keeps the lock. From here on nothing is written without it.
    fn hold(&mut self, lock: lock::Lock) {
        self.clients.system.fence().set(&lock);
        self.held = Some(lock);
    }
}

/// Whether every change of a plan was in an earlier one, with the same meaning and risk.
fn comes_again(plan: &Plan, before: &Plan) -> bool {
    let earlier: BTreeMap<&Address, &ChangeEntry> =
        before.document.changes.iter().map(|change| (&change.address, change)).collect();
    plan.document.changes.iter().all(|change| {
        earlier.get(&change.address).is_some_and(|earlier| {
            (earlier.action, &earlier.after) == (change.action, &change.after)
                && change.risks().are_within(earlier.risks())
        })
    })
}

/// Waits until the system database answers, for as long as `--wait` says. It was asked once already.
async fn wait_for_system(
    first: connection::Result<Presence>,
    clients: &Clients,
    patience: Duration,
    ui: &Ui,
) -> Result<Presence, Failure> {
    const PAUSE: Duration = Duration::from_millis(500);
    let started = Instant::now();
    let mut said = false;
    let mut answer = first;
    loop {
        match answer {
            Ok(presence) => return Ok(presence),
            Err(error) if error.is_unreachable() && started.elapsed() < patience => {
                if !said {
                    ui.note(&format!("{error}; waiting up to {patience:?}"));
                    said = true;
                }
                tokio::time::sleep(PAUSE).await;
                answer = clients.system.presence().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
