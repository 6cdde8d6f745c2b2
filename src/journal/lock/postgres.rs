//! The lock of a PostgreSQL database: an advisory lock in a session that does nothing else. Its connection
//! is in no pool, and a task checks continuously that the lock is held.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::moment::Moment;
use super::{Error, Holder, Lost, POLL, session_name};
use crate::digest::hex;
use crate::journal::RunId;
use crate::sql::{self, Database};
use crate::stack::RedactedUrl;

/// The key of the advisory lock: `trueup` in ASCII. There is one per database, for all stacks. PostgreSQL
/// shows the upper half as `classid`, the lower half as `objid`, and 1 as `objsubid`.
const KEY: i64 = 0x0074_7275_6575_7000;
/// The class of a second lock that publishes when the first was taken: `trup`, with the seconds since
/// [`EPOCH`] as the object. Locks with two keys of 32 bits have 2 as `objsubid`.
const SINCE: i32 = 0x7472_7570;
/// 2023-11-14T22:13:20Z, so that 32 bits last until 2091.
const EPOCH: i64 = 1_700_000_000;
/// Takes the place of the run id in the names of sessions that wait for the lock or query its
/// holder.
const WAITING: &str = "waiting";
/// How long to wait for a statement of a dead run, independent of `patience`: the server checks every two
/// seconds whether a client is alive.
const LINGER: Duration = Duration::from_secs(10);
/// The timeout of statements in the lock's own session. It is shorter than the server needs to detect a
/// host that disappeared, so that this run stops before another one can take the lock.
const ANSWER: Duration = Duration::from_secs(30);
/// The interval at which the holder checks the lock.
const WATCH: Duration = Duration::from_secs(1);

/// The session that holds the lock, and the task that checks it.
#[derive(Debug)]
pub struct Held {
    holding: Arc<Holding>,
    watcher: JoinHandle<()>,
    holder: (RedactedUrl, String, RunId),
}

/// The state of a lock that was taken.
#[derive(Debug)]
pub(super) struct Holding {
    connection: Mutex<PgConnection>,
    /// The process id of the server's backend.
    pid: i32,
    /// When the last query was sent that confirmed the lock.
    confirmed: std::sync::Mutex<Moment>,
    /// The reason why the lock is lost, once it is.
    lost: watch::Sender<Option<String>>,
}

impl Holding {
    fn new(connection: PgConnection, pid: i32, confirmed: Moment) -> Self {
        let (connection, confirmed) = (Mutex::new(connection), std::sync::Mutex::new(confirmed));
        Self { connection, pid, confirmed, lost: watch::Sender::new(None) }
    }

    /// Whether the server confirmed the lock recently, and it was not reported as lost since.
    pub(super) fn is_fresh(&self) -> bool {
        self.lost.borrow().is_none()
            && self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).is_fresh()
    }

    /// Returns an error when the lock is lost. Queries the server, unless a recent answer is valid.
    pub(super) async fn check(&self) -> Result<(), Lost> {
        let mut connection = self.connection.lock().await;
        if let Some(reason) = self.lost.borrow().clone() {
            return Err(Lost { reason });
        }
        // Another task may have confirmed the lock while this one waited for the connection.
        if self.is_fresh() {
            return Ok(());
        }
        let asked = Moment::now();
        let reason = match holds(&mut connection, self.pid).await {
            Ok(true) => {
                *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                return Ok(());
            }
            Ok(false) => "the server does not have it any more".to_owned(),
            Err(Error::Database { cause } | Error::ConnectionLost { cause }) => sql::error_message(&cause),
            Err(error) => error.to_string(),
        };
        self.lost.send_replace(Some(reason.clone()));
        Err(Lost { reason })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The task holds the last reference to the connection, so this closes it.
        self.watcher.abort();
    }
}

impl Held {
    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.holding.lost.subscribe()
    }

    pub(super) fn holding(&self) -> &Arc<Holding> {
        &self.holding
    }

    /// The server, stack and run that hold it.
    pub(super) fn holder(&self) -> (&RedactedUrl, &str, &RunId) {
        let (url, stack, run) = &self.holder;
        (url, stack, run)
    }

    pub(super) async fn release(self) {
        self.watcher.abort();
        let mut connection = self.holding.connection.lock().await;
        // If this fails, closing the session releases the lock.
        let free = sqlx::raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut *connection);
        let _ = tokio::time::timeout(Duration::from_secs(2), free).await;
    }
}

/// Resolves with the reason when the lock is lost, and never while it is held.
pub(super) async fn lost(mut watch: watch::Receiver<Option<String>>) -> String {
    match watch.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
        Ok(Some(reason)) => reason,
        // The lock was released.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

/// A dedicated connection on which the lock can be taken.
#[derive(Debug)]
pub struct LockConnection {
    connection: PgConnection,
    url: RedactedUrl,
    stack: String,
}

impl LockConnection {
    pub(super) async fn open(url: &RedactedUrl, stack: &str) -> Result<Self, Error> {
        // Until it holds the lock, the session must not look like one of a run: a new holder waits
        // for those.
        let waiting = format!("trueup/{}/{WAITING}", stack.chars().take(40).collect::<String>());
        let connection = connect(url, &waiting).await?;
        Ok(Self { connection, url: url.clone(), stack: stack.to_owned() })
    }

    /// Takes the lock. `database` provides the second connection that detecting a pooler needs.
    pub(super) async fn take(
        self,
        database: &Database,
        run: &RunId,
        patience: Duration,
    ) -> Result<Held, Error> {
        let Self { mut connection, url, stack } = self;
        let started = Instant::now();
        if let Database::Postgres(pool) = database {
            let mut second = pool.take().await?;
            let asked = refuse_pooler(&mut connection, &mut second).await;
            // A connection that timed out in the middle of a response is closed instead.
            if asked.is_ok() {
                second.give_back(Ok(()))?;
            }
            asked?;
        }
        while !try_take(&mut connection).await? {
            if started.elapsed() >= patience {
                let holder = holder(&mut connection).await?.unwrap_or_else(Holder::unknown);
                return Err(Error::Held { holder });
            }
            tokio::time::sleep(POLL.min(patience.saturating_sub(started.elapsed()))).await;
        }
        let pid = sign(&mut connection, &session_name(&stack, run)).await?;
        let patience = patience.saturating_sub(started.elapsed()).max(LINGER);
        let confirmed = wait_for_dead_runs(&mut connection, pid, patience).await?;

        let holding = Arc::new(Holding::new(connection, pid, confirmed));
        let watcher = tokio::spawn(watch_lock(Arc::clone(&holding)));
        Ok(Held { holding, watcher, holder: (url, stack, run.clone()) })
    }
}

pub(super) async fn status(url: &RedactedUrl, stack: &str) -> Result<Option<Holder>, Error> {
    let mut connection = ask(url, stack, "status").await?;
    let holder = holder(&mut connection).await?;
    // The server ends the session even if this fails.
    drop(connection.close().await);
    Ok(holder)
}

/// The ids of runs that have a session in this database.
pub(super) async fn runs(url: &RedactedUrl, stack: &str) -> Result<Vec<String>, Error> {
    const RUNS: &str = "
        SELECT DISTINCT split_part(application_name, '/', 3) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'trueup/%/%'
          AND split_part(application_name, '/', 3) ~ '^[0-9a-f-]{36}$'
        ORDER BY 1";
    let mut connection = ask(url, stack, "break").await?;
    let rows = answered("the runs", sqlx::query(RUNS).fetch_all(&mut connection)).await?;
    // The server ends the session even if this fails.
    drop(connection.close().await);
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?)
}

/// Ends all sessions of a run in this database, and waits until no new one appears.
pub(super) async fn end_sessions(url: &RedactedUrl, stack: &str, run: &str) -> Result<u64, Error> {
    // Returns the number of sessions of the run; each is terminated.
    const END: &str = "
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND application_name LIKE 'trueup/%/%' AND split_part(application_name, '/', 3) = $1";
    let mut connection = ask(url, stack, "break").await?;
    let started = Instant::now();
    let (mut ended, mut quiet) = (0, Instant::now());
    // A living run notices within a second that its lock is gone, and may reconnect until then.
    while quiet.elapsed() < WATCH + WATCH / 2 && started.elapsed() < LINGER {
        let row = answered("ending a session", sqlx::query(END).bind(run).fetch_one(&mut connection)).await?;
        let left = u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0);
        ended = ended.max(left);
        if ended == 0 {
            break;
        }
        if left > 0 {
            quiet = Instant::now();
        }
        tokio::time::sleep(POLL).await;
    }
    // The server ends the session even if this fails.
    drop(connection.close().await);
    Ok(ended)
}

/// Ends the sessions of a run that execute a statement or have an open transaction, except the one that
/// holds the lock, and returns their number.
pub(super) async fn end_statements(url: &RedactedUrl, stack: &str, run: &RunId) -> Result<i64, Error> {
    let sql = format!(
        "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.state <> 'idle'
           AND a.application_name = $1 AND NOT {}",
        held_by("a.pid")
    );
    let mut connection = connect(url, &session_name(stack, &RunId::from_text("stop"))).await?;
    let query = sqlx::query(AssertSqlSafe(sql)).bind(session_name(stack, run)).fetch_one(&mut connection);
    let ended = answered("ending a statement", query).await?.try_get(0)?;
    // The server ends the session even if this fails.
    drop(connection.close().await);
    Ok(ended)
}

/// Opens a connection for queries about the lock. Rejects a pooler, which would answer from sessions of
/// other clients.
async fn ask(url: &RedactedUrl, stack: &str, what: &str) -> Result<PgConnection, Error> {
    let name = session_name(stack, &RunId::from_text(what));
    let (mut connection, mut second) = tokio::try_join!(connect(url, &name), connect(url, &name))?;
    refuse_pooler(&mut connection, &mut second).await?;
    // Closed in the background; a failure has no effect.
    tokio::spawn(second.close());
    Ok(connection)
}

async fn connect(url: &RedactedUrl, name: &str) -> Result<PgConnection, Error> {
    let options: PgConnectOptions = sql::postgres_options(url.expose(), name)?;
    let mut connection = answered("connecting", sql::connect_again(&options)).await?;
    answered("connecting", sql::end_with_the_client(&mut connection)).await?;
    Ok(connection)
}

/// Applies the timeout to a query.
async fn answered<T>(
    what: &'static str,
    question: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, Error> {
    let no_answer = |_| Error::NoAnswer { what, seconds: ANSWER.as_secs() };
    Ok(tokio::time::timeout(ANSWER, question).await.map_err(no_answer)??)
}

/// Rejects a pooler in transaction mode before anything is locked through it.
///
/// Two open connections to PostgreSQL have two backends, and each keeps its own. A pooler in transaction
/// mode assigns a backend per transaction: a single pair of clients gets the same one in turn, and with
/// many clients each gets any free one. The order of the queries prevents that a pooler's strategy (last
/// used first, round robin) makes two connections look like two backends. No statement is prepared, because
/// that would fail earlier with a misleading message.
async fn refuse_pooler(first: &mut PgConnection, second: &mut PgConnection) -> Result<(), Error> {
    let ours = backend(first).await?;
    let theirs = backend(second).await?;
    let mut is_pooler = ours == theirs;
    for ask_first in [false, true, true, false, true, false, false, true] {
        let (connection, expected) = if ask_first { (&mut *first, ours) } else { (&mut *second, theirs) };
        is_pooler |= backend(connection).await? != expected;
    }
    if is_pooler { Err(Error::Pooler) } else { Ok(()) }
}

async fn backend(connection: &mut PgConnection) -> Result<i32, Error> {
    let asked = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection);
    Ok(answered("a second connection", asked).await?.try_get(0)?)
}

/// Tries to take the lock. If the backend holds it already, the backend is shared with another client and
/// would grant it a second time, so this is an error.
async fn try_take(connection: &mut PgConnection) -> Result<bool, Error> {
    let sql = format!(
        "SELECT CASE WHEN {} THEN 'shared' WHEN pg_try_advisory_lock({KEY}) THEN 'taken' ELSE 'held' END",
        held_by("pg_backend_pid()")
    );
    let row = answered("the lock", sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection)).await?;
    match row.try_get::<&str, _>(0)? {
        "taken" => Ok(true),
        "shared" => Err(Error::Pooler),
        _ => Ok(false),
    }
}

/// Publishes on the session which run holds the lock and since when; returns the backend's process
/// id.
async fn sign(connection: &mut PgConnection, name: &str) -> Result<i32, Error> {
    let sql = format!(
        "SELECT pg_backend_pid(), set_config('application_name', convert_from(decode('{}', 'hex'), 'UTF8'), false),
                pg_try_advisory_lock({SINCE}, (extract(epoch FROM now())::bigint - {EPOCH})::int)",
        hex(name.as_bytes())
    );
    let signed = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection);
    Ok(answered("the lock", signed).await?.try_get(0)?)
}

/// A condition: the backend holds the lock. Uses the functions behind the catalog views, because expanding
/// a view takes a new session longer than the query.
fn held_by(pid: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_lock_status() WHERE locktype = 'advisory' AND granted AND pid = {pid} \
         AND classid = {} AND objid = {} AND objsubid = 1)",
        KEY >> 32,
        KEY & 0xffff_ffff
    )
}

/// A query: the connection still leads to the backend that took the lock, and that still holds it.
fn is_holding(pid: i32) -> String {
    format!("SELECT pg_backend_pid() = {pid} AND {}", held_by(&pid.to_string()))
}

async fn holds(connection: &mut PgConnection, pid: i32) -> Result<bool, Error> {
    let asked = sqlx::raw_sql(AssertSqlSafe(is_holding(pid))).fetch_one(connection);
    Ok(answered("the lock", asked).await?.try_get(0)?)
}

async fn watch_lock(holding: Arc<Holding>) {
    loop {
        tokio::time::sleep(WATCH).await;
        if holding.check().await.is_err() {
            return;
        }
    }
}

/// Waits until the server executes no statement of another run: the lock of a killed run is free at once,
/// but its statement may commit seconds later. Idle sessions are ignored. Returns when the lock was last
/// confirmed, by a query in a separate message, which reveals a pooler.
async fn wait_for_dead_runs(
    connection: &mut PgConnection,
    pid: i32,
    patience: Duration,
) -> Result<Moment, Error> {
    // Returns a row for each session of another run that executes a statement or has an open transaction.
    // The state of another role's session is hidden (NULL) and counts as busy.
    const BUSY: &str = "
        SELECT split_part(application_name, '/', 3),
               to_char(coalesce(query_start, backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
               regexp_replace(coalesce(query, ''), '[[:space:]]+', ' ', 'g')
        FROM pg_stat_get_activity(NULL)
        WHERE datid = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
          AND pid <> pg_backend_pid() AND backend_type = 'client backend'
          AND application_name LIKE 'trueup/%/%'
          AND split_part(application_name, '/', 3) ~ '^[0-9a-f-]{36}$'
          AND split_part(application_name, '/', 3) <> split_part(current_setting('application_name'), '/', 3)
          AND state IS DISTINCT FROM 'idle'
        ORDER BY 2 LIMIT 1";
    let sql = format!("{}; {BUSY}", is_holding(pid));
    let started = Instant::now();
    loop {
        let asked = Moment::now();
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_all(&mut *connection);
        let rows = answered("the lock", rows).await?;
        let (holds, busy) = (rows.first().map(|row| row.try_get(0)), rows.get(1));
        if !holds.transpose()?.unwrap_or(false) {
            return Err(Error::Pooler);
        }
        let Some(row) = busy else { return Ok(asked) };
        if started.elapsed() >= patience {
            let (run, since) = (row.try_get(0)?, row.try_get(1)?);
            let statement = sql::FileTables::default().masked(row.try_get(2)?).chars().take(60).collect();
            return Err(Error::Lingering { run, since, statement });
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn holder(connection: &mut PgConnection) -> Result<Option<Holder>, Error> {
    // Returns one row: the session that holds the lock in this database, the server's information about it,
    // and when it was taken, from the second lock.
    const HOLDER: &str = "
        SELECT split_part(a.application_name, '/', 3),
               coalesce(a.usename, '') || '@' || coalesce(host(a.client_addr), 'local'),
               to_char(coalesce(to_timestamp(s.objid::bigint + $4), a.backend_start) AT TIME ZONE 'UTC',
                       'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        FROM pg_locks l
             JOIN pg_stat_activity a ON a.pid = l.pid
             LEFT JOIN pg_locks s ON s.pid = l.pid AND s.locktype = 'advisory' AND s.granted
                                     AND s.database = l.database AND s.classid = $3 AND s.objsubid = 2
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.classid = $1 AND l.objid = $2";
    let query = sqlx::query(HOLDER)
        .bind(KEY >> 32)
        .bind(KEY & 0xffff_ffff)
        .bind(i64::from(SINCE))
        .bind(EPOCH)
        .fetch_optional(&mut *connection);
    let Some(row) = answered("the holder of the lock", query).await? else { return Ok(None) };
    let run = row.try_get::<&str, _>(0)?;
    let run = (!run.is_empty() && run != WAITING).then(|| run.to_owned());
    let said = match &run {
        Some(run) => recorded(connection, run).await,
        None => None,
    };
    Ok(Some(Holder { run, who: said.map_or_else(|| row.try_get(1), Ok)?, since: row.try_get(2)? }))
}

/// Who started the run, from the journal, which may not exist yet.
async fn recorded(connection: &mut PgConnection, run: &str) -> Option<String> {
    let query = sqlx::query("SELECT who FROM trueup.runs WHERE id = $1").bind(run);
    let row: PgRow = answered("the journal", query.fetch_optional(connection)).await.ok()??;
    row.try_get(0).ok()
}
