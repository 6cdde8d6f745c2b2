//! Connections to one PostgreSQL database, kept open between questions. Knows nothing of what is asked.
//! One comes back only when it has answered: what is left in the middle is closed, and the server
//! takes back what it had not committed.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgRow, PgSeverity};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::guard::Guard;
use super::is_lost;
use super::session::{connect_again, end_with_the_client};

/// Long enough for a TLS handshake over an ocean, short enough to be noticed.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that answered so long ago is used untested.
const FRESH: Duration = Duration::from_millis(250);
/// How long a connection that is tested may take to answer.
const TEST_DEADLINE: Duration = Duration::from_secs(3);
/// How long every connection is tested after one was lost.
const IN_DOUBT: Duration = Duration::from_secs(30);

/// The connections to a database.
///
/// The driver's own pool takes one back in a task of its own, with a round trip, and opens another
/// for who asks meanwhile: for questions that follow each other that is twice of everything.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

/// What the holders of connections share.
#[derive(Debug)]
pub(super) struct Shared {
    options: PgConnectOptions,
    ends_with_client: bool,
    free: Mutex<Vec<Free>>,
    /// When a connection was last lost.
    lost: Mutex<Option<Instant>>,
    most: usize,
    /// How many may be open now: one until there was a second, then `most`.
    open: AtomicUsize,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Free {
    session: Session,
    since: Instant,
}

/// A connection, and the server's process for it where that is known.
#[derive(Debug)]
struct Session {
    connection: PgConnection,
    pid: Option<i32>,
}

/// A connection in use. Dropping it closes it.
#[derive(Debug)]
pub struct Held {
    session: Session,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Opens the first connection: so a wrong address fails here, with its cause. A second one is opened while the
    /// first has its first questions: a server or pooler that has none to spare, or lets it wait, answers all of
    /// them on the first.
    pub(super) async fn open(
        options: PgConnectOptions,
        ends_with_client: bool,
        most: usize,
    ) -> sqlx::Result<Self> {
        let permits = Arc::new(Semaphore::new(1));
        let (free, lost, open) = (Mutex::default(), Mutex::default(), AtomicUsize::new(1));
        let shared = Arc::new(Shared { options, ends_with_client, free, lost, most, open, permits });
        let connecting = tokio::time::timeout(CONNECT_DEADLINE, shared.connect());
        let first = connecting.await.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
        shared.keep(first);
        if most > 1 {
            tokio::spawn(Arc::clone(&shared).connect_second());
        }
        Ok(Self(shared))
    }

    /// The server's version as a number, 150004, as it said on connecting. None comes through some
    /// poolers.
    pub(super) fn version(&self) -> Option<u32> {
        self.0.free().last().and_then(|free| free.session.connection.server_version_num())
    }

    /// A connection: the one that was used last, or a new one. Waits for one while all are in use.
    pub async fn take(&self) -> sqlx::Result<Held> {
        let Self(shared) = self;
        // A queue is no failure: whoever holds a connection gives it back, or is stopped.
        let permit = Arc::clone(&shared.permits).acquire_owned().await;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let taking = async {
            match shared.alive().await {
                Some(session) => Ok(session),
                None => shared.connect_at_last().await,
            }
        };
        let taken = tokio::time::timeout(CONNECT_DEADLINE, taking).await;
        let session = taken.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
        Ok(Held { session, shared: Arc::clone(shared), permit })
    }

    /// Takes a connection back that was taken out, and forgets what was set, made or locked in its session.
    /// One that cannot be tidied is closed.
    pub async fn take_back(&self, mut connection: PgConnection) {
        let Self(shared) = self;
        let tidying = async {
            // The driver remembers what it prepared, and the server forgets it.
            connection.clear_cached_statements().await?;
            sqlx::raw_sql("DISCARD ALL").execute(&mut connection).await?;
            shared.prepare(&mut connection).await
        };
        if let Ok(Ok(pid)) = tokio::time::timeout(CONNECT_DEADLINE, tidying).await {
            shared.keep(Session { connection, pid });
        }
    }

    /// Waits for what is in use, closes all, and gives no more.
    pub async fn close(&self) {
        let Self(shared) = self;
        let open = shared.open.load(Ordering::Acquire);
        let unused = shared.permits.acquire_many(u32::try_from(open).unwrap_or(1));
        drop(tokio::time::timeout(CONNECT_DEADLINE, unused).await);
        shared.permits.close();
        let free = std::mem::take(&mut *shared.free());
        for Free { session, since: _ } in free {
            // What it says on leaving matters to nobody.
            drop(session.connection.close().await);
        }
    }
}

impl Shared {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, session: Session) {
        if !self.permits.is_closed() {
            self.free().push(Free { session, since: Instant::now() });
        }
    }

    /// A free connection that still answers; one that was used a moment ago is not asked.
    async fn alive(&self) -> Option<Session> {
        loop {
            let Free { mut session, since } = self.free().pop()?;
            if since.elapsed() < FRESH && !self.is_in_doubt() {
                return Some(session);
            }
            // One that does not answer is closed.
            if let Ok(Ok(())) = tokio::time::timeout(TEST_DEADLINE, session.connection.ping()).await {
                return Some(session);
            }
        }
    }

    /// Whether a connection was lost a moment ago: the others may be gone as well.
    fn is_in_doubt(&self) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.is_some_and(|lost| lost.elapsed() < IN_DOUBT)
    }

    async fn connect(&self) -> sqlx::Result<Session> {
        let mut connection = connect_again(&self.options).await?;
        let pid = self.prepare(&mut connection).await?;
        Ok(Session { connection, pid })
    }

    /// Opens the second connection. With it, as many are allowed as the pool may have.
    async fn connect_second(self: Arc<Self>) {
        let connecting = tokio::time::timeout(CONNECT_DEADLINE, self.connect());
        match connecting.await {
            Ok(Ok(second)) => {
                self.keep(second);
                self.open.store(self.most, Ordering::Release);
                self.permits.add_permits(self.most - 1);
            }
            Ok(Err(error)) => tracing::debug!(%error, "a second connection was refused: one must do"),
            Err(_) => tracing::debug!("a second connection did not come in time: one must do"),
        }
    }

    /// Sets what a new session is asked for; gives the server's process.
    async fn prepare(&self, connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
        if self.ends_with_client { end_with_the_client(connection).await } else { Ok(None) }
    }

    /// The rows of a query about the others: on a connection that is free, or, where all are in use, on one
    /// that is closed again.
    pub(super) async fn ask_beside(&self, sql: &str) -> sqlx::Result<Vec<PgRow>> {
        let permit = self.permits.try_acquire();
        let free = if permit.is_ok() { self.alive().await } else { None };
        let mut session = match free {
            Some(session) => session,
            None => self.connect().await?,
        };
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut session.connection).await?;
        if permit.is_ok() {
            self.keep(session);
        }
        Ok(rows)
    }

    /// As [`Self::connect`], and again while the server has no connection to spare.
    async fn connect_at_last(&self) -> sqlx::Result<Session> {
        const TOO_MANY_CONNECTIONS: &str = "53300";
        let is_full = |error: &sqlx::Error| {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            code.is_some_and(|code| code == TOO_MANY_CONNECTIONS)
        };
        let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(20)).with_max_times(8);
        (|| self.connect()).retry(pauses).when(is_full).await
    }
}

impl Held {
    /// Takes the connection out, and another may be opened for it: see [`Pool::take_back`].
    pub fn detach(self) -> (PgConnection, Guard) {
        let guard = Guard::of(&self);
        (self.session.connection, guard)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The server's process.
    pub(super) fn pid(&self) -> Option<i32> {
        self.session.pid
    }

    /// Gives the connection back after its answer: one that ended it is not kept.
    pub(crate) fn give_back<T>(self, answer: sqlx::Result<T>) -> sqlx::Result<T> {
        let Self { session, shared, permit } = self;
        match &answer {
            Err(error) if !goes_on(error) => {
                if is_lost(error) {
                    *shared.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
            }
            _ => shared.keep(session),
        }
        drop(permit);
        answer
    }
}

/// Whether an error is that of a statement, after which the connection goes on.
pub(crate) fn goes_on(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| error.severity() == PgSeverity::Error)
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.session.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.session.connection
    }
}
