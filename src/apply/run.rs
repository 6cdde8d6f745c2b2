//! The state of a run: its stores, its lock, and what it observes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cancel, Command, Error, Event, Frontend, Note, Request};
use crate::address::Kind;
use crate::connection::{self, Presence, Purpose};
use crate::desired::Desired;
use crate::journal::{self, RunId, lock};
use crate::plan::{self, Document, Options, Plan};
use crate::stack::Stack;
use crate::stores::{Clients, observe_within, system_url};
use crate::world::World;

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

impl<'a> Run<'a> {
    pub(super) fn new(stack: &'a Stack, request: &'a Request, cancel: &'a Cancel) -> Result<Self, Error> {
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
    pub(super) async fn open(&mut self, frontend: &mut dyn Frontend) -> Result<(), Error> {
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
