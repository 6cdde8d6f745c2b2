//! A pool of connections to one PostgreSQL database. A connection returns only after its response is
//! complete. Others are closed, and the server rolls back what they had not committed.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::is_lost;
use super::session::{connect_again, end_with_the_client, is_usable_after};

/// Long enough for a TLS handshake between continents.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that was used so recently is not tested.
const FRESH: Duration = Duration::from_millis(250);
/// The timeout of a test.
const TEST_DEADLINE: Duration = Duration::from_secs(3);
/// How long all connections are tested after one was lost.
const IN_DOUBT: Duration = Duration::from_secs(30);

/// The connections to a database.
///
/// The driver's own pool returns connections in a background task with a round trip, and opens another one
/// for a query in the meantime: sequential queries would use two connections and twice the round trips.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

/// The state that all users of connections share.
#[derive(Debug)]
pub(super) struct Shared {
    options: PgConnectOptions,
    ends_with_client: bool,
    free: Mutex<Vec<Free>>,
    /// When a connection was last lost.
    lost: Mutex<Option<Instant>>,
    most: usize,
    /// How many may be open now: one until the second was opened, then `most`.
    open: AtomicUsize,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Free {
    session: PooledConnection,
    since: Instant,
}

/// A connection, with the process id of its backend where known.
#[derive(Debug)]
struct PooledConnection {
    connection: PgConnection,
    pid: Option<i32>,
}

/// A connection in use. Dropping it closes it.
#[derive(Debug)]
pub struct Held {
    session: PooledConnection,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Opens the first connection, so that a wrong address fails here with its cause. It is the only one until
    /// [`Self::open_second`].
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
        Ok(Self(shared))
    }

    /// Opens a second connection while the first has its first queries. Where a server or pooler has none to
    /// spare, or does not answer, all queries run on the first.
    pub(super) fn open_second(&self) {
        let Self(shared) = self;
        if shared.most > 1 {
            tokio::spawn(Arc::clone(shared).connect_second());
        }
    }

    /// The server's version as a number, such as 150004. `None` with some poolers, which do not
    /// report it.
    pub(super) fn version(&self) -> Option<u32> {
        self.0.free().last().and_then(|free| free.session.connection.server_version_num())
    }

    /// Returns the most recently used connection, or opens one. Waits while all are in use.
    pub async fn take(&self) -> sqlx::Result<Held> {
        let Self(shared) = self;
        // No timeout: whoever uses a connection returns it, or is cancelled.
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

    /// Takes back a detached connection, and resets its session. It is closed where that fails.
    pub async fn take_back(&self, mut connection: PgConnection) {
        let Self(shared) = self;
        let tidying = async {
            // The driver caches prepared statements, which DISCARD ALL deallocates on the server.
            connection.clear_cached_statements().await?;
            sqlx::raw_sql("DISCARD ALL").execute(&mut connection).await?;
            shared.prepare(&mut connection).await
        };
        if let Ok(Ok(pid)) = tokio::time::timeout(CONNECT_DEADLINE, tidying).await {
            shared.keep(PooledConnection { connection, pid });
        }
    }

    /// Waits for connections in use, closes all, and returns no more.
    pub async fn close(&self) {
        let Self(shared) = self;
        let open = shared.open.load(Ordering::Acquire);
        let unused = shared.permits.acquire_many(u32::try_from(open).unwrap_or(1));
        drop(tokio::time::timeout(CONNECT_DEADLINE, unused).await);
        shared.permits.close();
        let free = std::mem::take(&mut *shared.free());
        for Free { session, since: _ } in free {
            // Errors are ignored, because the connection is no longer needed.
            drop(session.connection.close().await);
        }
    }
}

impl Shared {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, session: PooledConnection) {
        if !self.permits.is_closed() {
            self.free().push(Free { session, since: Instant::now() });
        }
    }

    /// Returns a free connection that responds. A recently used one is not tested.
    async fn alive(&self) -> Option<PooledConnection> {
        loop {
            let Free { mut session, since } = self.free().pop()?;
            if since.elapsed() < FRESH && !self.is_in_doubt() {
                return Some(session);
            }
            // A connection that does not respond is closed.
            if let Ok(Ok(())) = tokio::time::timeout(TEST_DEADLINE, session.connection.ping()).await {
                return Some(session);
            }
        }
    }

    /// Whether a connection was lost recently, so that the others may be lost too.
    fn is_in_doubt(&self) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.is_some_and(|lost| lost.elapsed() < IN_DOUBT)
    }

    async fn connect(&self) -> sqlx::Result<PooledConnection> {
        let mut connection = connect_again(&self.options).await?;
        let pid = self.prepare(&mut connection).await?;
        Ok(PooledConnection { connection, pid })
    }

    /// Opens the second connection. After that, the pool may grow to its maximum.
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

    /// Sets the session's parameters, and returns the process id of its backend.
    async fn prepare(&self, connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
        if self.ends_with_client { end_with_the_client(connection).await } else { Ok(None) }
    }

    /// Runs a query about other sessions, on a free connection or on a temporary one where all are
    /// in use.
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

    /// Like [`Self::connect`], with retries while the server has too many connections.
    async fn connect_at_last(&self) -> sqlx::Result<PooledConnection> {
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
    /// Removes the connection from the pool, which may open another one: see [`Pool::take_back`].
    pub fn detach(self) -> PgConnection {
        self.session.connection
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The process id of the server's backend.
    pub(super) fn pid(&self) -> Option<i32> {
        self.session.pid
    }

    /// Returns the connection to the pool, unless the response shows that it is lost.
    pub(crate) fn give_back<T>(self, answer: sqlx::Result<T>) -> sqlx::Result<T> {
        let Self { session, shared, permit } = self;
        match &answer {
            Err(error) if !is_usable_after(error) => {
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
