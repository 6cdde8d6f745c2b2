//! One run of `apply` or `destroy`: lock, observe, decide, execute, verify, record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decide::{Approved, Decision};
use super::record::{self, Recorder};
use super::{Cancel, End, Error, Event, Finished, Frontend, Note, Totals, Verified};
use crate::address::Kind;
use crate::connection::{self, Presence, Purpose};
use crate::desired::Desired;
use crate::journal::{self, Move, RunId, RunStatus, lock};
use crate::plan::{self, Allow, Document, Options, Plan, Step};
use crate::stack::Stack;
use crate::stores::{Clients, observe_within, system_url};
use crate::world::World;

/// The command of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Apply,
    /// Applies an emptied stack.
    Destroy,
}

impl Command {
    /// Returns the name used by `history`.
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Destroy => "destroy",
        }
    }
}

/// The options of a run.
#[derive(Debug)]
pub struct Request {
    pub command: Command,
    /// A saved plan: exactly its changes run, without a question.
    pub saved: Option<Document>,
    pub only: Option<String>,
    pub train: bool,
    pub allowed: Vec<Allow>,
    /// Run without a question.
    pub auto_approve: bool,
    /// Steps that run at the same time.
    pub parallelism: usize,
    pub lock_timeout: Duration,
    /// How long to wait for a server that is still starting.
    pub wait: Duration,
    /// Timeout of an observation.
    pub refresh_timeout: Duration,
}

impl Request {
    /// Whether later rounds may run changes that the first plan did not have. Not for a saved plan.
    pub(super) fn may_grow(&self) -> bool {
        self.saved.is_none()
    }
}

/// An observed world, and its plan.
#[derive(Debug)]
pub(super) struct Observation {
    pub world: World,
    pub plan: Plan,
}

/// The state of a run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub desired: Desired<'a>,
    pub request: &'a Request,
    pub options: Options,
    pub clients: Arc<Clients>,
    pub cancel: &'a Cancel,
    pub id: RunId,
    /// Whether the database exists, so that it can be locked.
    pub presence: Presence,
    /// Nothing but the database itself is written without the lock.
    pub lock: Option<lock::Lock>,
    /// Whether this run created the database.
    pub has_made_database: bool,
    /// The plan that was approved, if this run has to look again.
    pub approved_before: Option<Document>,
}

/// Runs `apply` or `destroy`, from taking the lock to the final observation.
pub async fn run(
    stack: &Stack,
    request: &Request,
    cancel: &Cancel,
    frontend: &mut dyn Frontend,
) -> Result<End, Error> {
    let mut run = Run::new(stack, request, cancel)?;
    match cancel.unless_cancelled(run.open(frontend)).await {
        Some(opened) => opened?,
        None => return Ok(End::Interrupted),
    }
    if run.presence == Presence::Missing && request.command == Command::Destroy {
        return Ok(End::Idle { totals: Totals::default(), is_incomplete: false, bookkeeping: None });
    }
    let end = Box::pin(run.execute(frontend)).await;
    if let Some(lock) = run.lock.take() {
        lock.release().await;
    }
    end
}

impl<'a> Run<'a> {
    fn new(stack: &'a Stack, request: &'a Request, cancel: &'a Cancel) -> Result<Self, Error> {
        let id = RunId::new();
        let take_back = request.command == Command::Destroy;
        let (only, train) = (request.only.clone(), request.train);
        let clients = Clients::new(stack, Purpose::Apply(id.clone()), train)?;
        Ok(Self {
            desired: Desired::new(stack, clients.system.dialect()),
            request,
            options: Options { only, train, take_back, ..Options::default() },
            clients: Arc::new(clients),
            cancel,
            id,
            presence: Presence::Missing,
            lock: None,
            has_made_database: false,
            approved_before: None,
        })
    }

    /// Opens the system database and takes its lock, if it exists.
    async fn open(&mut self, frontend: &mut dyn Frontend) -> Result<(), Error> {
        let (url, patience) = (system_url(self.desired.stack)?, self.request.wait);
        // Opening a connection takes longer than all queries on it, so both are opened at the same time. If the
        // database does not exist, the lock's connection fails too, which is no error.
        let opening = lock::open(&url, &self.desired.stack.name);
        let (presence, session) = tokio::join!(self.clients.system.presence(), opening);
        self.presence = match presence {
            Ok(Presence::Present) => return self.take(session?).await,
            Err(error) if error.is_unreachable() && !patience.is_zero() => {
                frontend.event(&Event::Note(Note::Unreachable { error: error.to_string(), patience }));
                self.wait_for_system(patience).await?
            }
            answered => answered?,
        };
        Ok(())
    }

    /// Retries until the system database answers.
    async fn wait_for_system(&self, patience: Duration) -> connection::Result<Presence> {
        const PAUSE: Duration = Duration::from_millis(500);
        let started = Instant::now();
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.clients.system.presence().await {
                Err(error) if error.is_unreachable() && started.elapsed() < patience => {}
                answered => return answered,
            }
        }
    }

    pub(super) async fn take_lock(&mut self) -> Result<(), Error> {
        let session = lock::open(&system_url(self.desired.stack)?, &self.desired.stack.name).await?;
        self.take(session).await
    }

    /// Takes and keeps the lock. From here on nothing is written without it.
    async fn take(&mut self, session: lock::LockSession) -> Result<(), Error> {
        let database = self.clients.system.database().await?;
        let lock = session.take(&database, &self.id, self.request.lock_timeout).await?;
        self.clients.system.fence().set(&lock);
        self.presence = Presence::Present;
        self.lock = Some(lock);
        Ok(())
    }

    /// Observes and plans. Emits an event when it waits for other sessions.
    pub(super) async fn observe_and_plan(
        &self,
        options: &Options,
        frontend: &mut dyn Frontend,
    ) -> Result<Observation, Error> {
        let mut on_wait = |on: &str| {
            let (address, on) = (Kind::System.alone(), on.to_owned());
            frontend.event(&Event::Note(Note::Waiting { address, on }));
        };
        let patience = self.request.refresh_timeout;
        let world = observe_within(&self.desired, &self.clients, patience, &mut on_wait).await?;
        let plan = plan::plan(&self.desired, &world, options).map_err(Error::Plan)?;
        Ok(Observation { world, plan })
    }

    async fn execute(&mut self, frontend: &mut dyn Frontend) -> Result<End, Error> {
        let mut approved = match self.decide(frontend).await? {
            Decision::Apply(approved) => approved,
            Decision::End(end) => return Ok(end),
        };
        let mut recorder = self.begin(&approved, frontend);
        let renaming = self.rename(&approved.plan.moves, &mut recorder, frontend);
        match self.cancel.unless_urgent(renaming).await {
            Some(renamed) => renamed?,
            None => return Ok(End::StoppedAtOnce),
        }
        if self.presence == Presence::Missing {
            match self.make_database(approved, &mut recorder, frontend).await {
                Decision::Apply(again) => approved = again,
                Decision::End(end) => return Ok(end),
            }
        }
        if let Some(lock) = &self.lock {
            let (lost, cancel) = (lock.lost(), self.cancel.clone());
            tokio::spawn(async move { cancel.stop(format!("the lock was lost: {}", lost.await)) });
        }
        let is_spec_recorded = approved.is_spec_recorded;
        let verified = self.converge(*approved, &mut recorder, frontend).await;
        let mut failure = None;
        if verified.converged && !is_spec_recorded {
            match self.cancel.unless_urgent(self.record_spec()).await {
                Some(recorded) => failure = recorded.err(),
                None => recorder.is_interrupted = true,
            }
        }
        Ok(self.finish(&mut recorder, verified, failure).await)
    }

    /// A recorder for the approved plan, with the changes that an earlier run of a saved plan did.
    fn begin(&self, approved: &Approved, frontend: &mut dyn Frontend) -> Recorder {
        let Approved { plan, to_run, .. } = approved;
        let document = self.request.saved.as_ref().unwrap_or(&plan.document);
        let digests = (&document.spec_digest, &document.plan_digest);
        let run = record::beginning(self.request.command.name(), &self.id, self.desired.stack, digests);
        let mut recorder = Recorder::new(run, plan.document.summary.unchanged);
        frontend.event(&Event::Begun { steps: to_run.addresses.len() });
        for change in document.changes.iter().filter(|change| to_run.skipped.contains(&change.address)) {
            recorder.skip(change, frontend);
        }
        recorder
    }

    /// Records new names of the spec in the bookkeeping, before a step looks there for what it owns.
    async fn rename(
        &self,
        moves: &[Move],
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Result<(), Error> {
        if moves.is_empty() {
            return Ok(());
        }
        let database = self.clients.system.database().await?;
        journal::rename(&database, &self.desired.stack.name, moves).await?;
        recorder.renamed(moves);
        recorder.begin(database).await.map_err(Error::Unrecorded)?;
        for renamed in moves {
            frontend.event(&Event::Note(Note::Renamed(renamed.clone())));
        }
        Ok(())
    }

    /// Creates the database, without which there is no lock; then takes the lock and looks again.
    async fn make_database(
        &mut self,
        approved: Box<Approved>,
        recorder: &mut Recorder,
        frontend: &mut dyn Frontend,
    ) -> Decision {
        let Approved { plan, to_run, .. } = *approved;
        let (first, mut rest): (Vec<Step>, Vec<Step>) =
            plan.steps.into_iter().partition(|step| step.address.kind() == Kind::Database);
        rest.retain(|step| to_run.addresses.contains(&step.address));
        self.walk(first, recorder, frontend).await;
        let (why, failure) = if recorder.totals.failed > 0 {
            (format!("needs {}", Kind::Database.alone()), None)
        } else {
            self.presence = Presence::Present;
            self.has_made_database = true;
            self.approved_before = Some(plan.document);
            match self.decide(frontend).await {
                Ok(Decision::End(End::Interrupted)) => {
                    recorder.is_interrupted = true;
                    ("interrupted".to_owned(), None)
                }
                Ok(decision) => return decision,
                Err(error) => ("the run ended before it".to_owned(), Some(error)),
            }
        };
        recorder.block(rest, &why, frontend);
        Decision::End(self.finish(recorder, Verified::default(), failure).await)
    }

    /// Determines how the run ended and records it.
    async fn finish(&self, recorder: &mut Recorder, verified: Verified, failure: Option<Error>) -> End {
        let mut totals = recorder.totals;
        totals.blocked += verified.blocked + verified.undone.len();
        totals.deferred = verified.deferred;
        let stopped = self.cancel.reason().map(str::to_owned);
        let status = if stopped.is_some() {
            RunStatus::Failed
        } else if recorder.is_interrupted {
            RunStatus::Interrupted
        } else if failure.is_none() && recorder.is_complete() && verified.is_complete() {
            RunStatus::Succeeded
        } else {
            RunStatus::Failed
        };
        let unrecorded = recorder.finish(status, &totals.to_string(), self.cancel).await.err();
        let has_changed = recorder.has_renamed || totals.has_changed();
        let run = self.id.clone();
        End::Finished(Box::new(Finished {
            run,
            status,
            totals,
            verified,
            has_changed,
            stopped,
            failure,
            unrecorded,
        }))
    }

    /// Records the spec as the last applied one, if there is a bookkeeping and the spec was applied whole.
    pub(super) async fn record_spec(&self) -> Result<(), Error> {
        if self.request.only.is_some() {
            return Ok(());
        }
        let database = self.clients.system.database().await?;
        if journal::exists(&database).await? {
            journal::record_spec(&database, &self.desired.stack.digest).await?;
        }
        Ok(())
    }
}
