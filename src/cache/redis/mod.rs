//! A Redis server. Keys are read with SCAN, page by page, so that no command blocks the server. Every
//! response has a deadline. Observing writes nothing.

mod connect;
mod keys;
mod server;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use redis::{Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Error, config};
use crate::cache::observed::ObservedRedis;
use crate::digest::Fingerprint;
use crate::journal::lock::{Fence, Lost};
use crate::stack::RedactedUrl;
use connect::{Connection, Way, error_text};
use keys::{Scan, expire_lasting, read_keys};
use server::{Server, is_broken, is_forbidden, is_not_redis, is_refusal, is_transient};
use streams::{read_streams, remove_idle};

/// For all attempts to connect.
const CONNECT_BUDGET: Duration = Duration::from_secs(6);
/// For reading the TTLs of all namespaces; a million keys take about 3 s.
const KEYS_BUDGET: Duration = Duration::from_secs(6);
/// The maximum number of commands in a pipeline.
const BATCH: usize = 500;

/// A client of one server.
pub(super) struct Redis {
    way: Way,
    address: String,
    /// Opened by the first change, and again after a failure.
    connection: Mutex<Option<Connection>>,
    /// The check that precedes every write.
    pub(super) fence: Fence,
}

/// Why a write failed.
enum Failure {
    Redis(RedisError),
    LockLost(Lost),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::LockLost(lost)
    }
}

impl fmt::Debug for Redis {
    /// The login contains the password; the address does not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Redis {
    pub(super) fn new(url: &RedactedUrl) -> Result<Self, Error> {
        let mut address = url.address();
        if url.expose().port().is_none() {
            address.push_str(":6379");
        }
        let way = Way::new(url).map_err(|message| Error::Unusable { address: address.clone(), message })?;
        Ok(Self { way, address, connection: Mutex::new(None), fence: Fence::default() })
    }

    /// Observes the server, and retries once where the connection was lost.
    pub(super) async fn observe(
        &self,
        prefixes: &BTreeSet<&str>,
        streams: &BTreeSet<&str>,
        databases: &BTreeSet<u32>,
    ) -> Result<ObservedRedis, Error> {
        let asked = (prefixes, streams, databases);
        let (connection, server) = self.connect().await?;
        let looked = match self.look(connection, server, asked).await {
            Err(error) if error.is_io_error() => {
                let (connection, server) = self.connect().await?;
                self.look(connection, server, asked).await
            }
            looked => looked,
        };
        looked.map_err(|error| self.failed(&error))
    }

    async fn look(
        &self,
        mut connection: Connection,
        Server { version, .. }: Server,
        (prefixes, asked, databases): (&BTreeSet<&str>, &BTreeSet<&str>, &BTreeSet<u32>),
    ) -> RedisResult<ObservedRedis> {
        let config = read_config(&mut connection).await?;
        let absent_databases = match config {
            Some(_) => BTreeSet::new(),
            None => read_absent_databases(&mut connection, databases, self.way.db()).await?,
        };
        let (streams, streams_complete) = read_streams(&mut connection, asked).await?;
        let deadline = Instant::now() + KEYS_BUDGET;
        let mut keys = BTreeMap::new();
        for prefix in prefixes {
            let seen = read_keys(&mut connection, prefix, asked, deadline).await?;
            keys.insert((*prefix).to_owned(), seen);
        }
        let place = Some(self.place());
        Ok(ObservedRedis { version, place, config, absent_databases, keys, streams, streams_complete })
    }

    /// The fingerprint of host, port and db number.
    pub(super) fn place(&self) -> Fingerprint {
        Fingerprint::of_text(&format!("{}/{}", self.address, self.way.db()))
    }

    /// Changes a setting until the server restarts. Its configuration file belongs to its owner and
    /// is not changed.
    pub(super) async fn set_config(&self, key: &str, value: &str) -> Result<(), Error> {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(key).arg(value);
        self.write(&format!("CONFIG SET {key}"), async |connection| {
            Ok(command.exec_async(connection).await?)
        })
        .await
    }

    /// Sets a TTL on every key under a prefix that has none, except for streams. The server compares and
    /// sets atomically, so that a TTL that the application sets at the same time is kept.
    pub(super) async fn expire(
        &self,
        prefix: &str,
        ttl: Duration,
        spare: &BTreeSet<String>,
    ) -> Result<(), Error> {
        self.write("EXPIRE", async |connection| {
            let has_nx = Server::ask(connection).await?.has_expire_nx();
            let mut scan = Scan::keys_under(prefix);
            while let Some(mut keys) = scan.page(connection).await? {
                keys.retain(|key| !std::str::from_utf8(key).is_ok_and(|key| spare.contains(key)));
                for keys in keys.chunks(BATCH) {
                    self.fence.check().await?;
                    expire_lasting(connection, keys, ttl.as_secs(), has_nx).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Creates a stream and groups of it; an existing group keeps its position. Returns the groups
    /// that existed.
    pub(super) async fn make_stream(
        &self,
        name: &str,
        groups: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let mut found = BTreeSet::new();
        self.write("XGROUP CREATE", async |connection| {
            let mut pipeline = Pipeline::new();
            pipeline.ignore_errors();
            for group in groups {
                pipeline.cmd("XGROUP").arg("CREATE").arg(name).arg(group).arg("0").arg("MKSTREAM");
            }
            if groups.is_empty() {
                // A stream is created by its first entry or group, and remains without any.
                const PASSING: &str = "trueup";
                pipeline.cmd("XGROUP").arg("CREATE").arg(name).arg(PASSING).arg("0").arg("MKSTREAM");
                pipeline.cmd("XGROUP").arg("DESTROY").arg(name).arg(PASSING);
            }
            let answers: Vec<Value> = pipeline.query_async(connection).await?;
            let mut groups = groups.iter();
            for answer in answers {
                let group = groups.next();
                match answer.extract_error() {
                    Ok(_) => {}
                    Err(error) if error.code() == Some("BUSYGROUP") => found.extend(group.cloned()),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Deletes idle groups and returns those in use. If another client changes the stream between the check
    /// and the deletion, nothing is deleted.
    pub(super) async fn remove_groups(
        &self,
        name: &str,
        groups: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        if groups.is_empty() {
            return Ok(BTreeSet::new());
        }
        // WATCH applies to a whole connection, so a dedicated one is used.
        let (mut connection, _) = self.connect().await?;
        remove_idle(&mut connection, name, groups, &self.fence).await.map_err(|failure| match failure {
            Failure::Redis(error) => self.refused("XGROUP DESTROY", &error),
            Failure::LockLost(lost) => lost.into(),
        })
    }

    /// Runs commands on the shared connection while the run holds its lock. Drops a broken
    /// connection.
    async fn write(
        &self,
        command: &str,
        commands: impl AsyncFnOnce(&mut Connection) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        let mut connection = self.writable().await?;
        self.fence.check().await?;
        match commands(&mut connection).await {
            Ok(()) => Ok(()),
            Err(Failure::LockLost(lost)) => Err(lost.into()),
            Err(Failure::Redis(error)) if is_broken(&error) => {
                *self.connection.lock().await = None;
                Err(self.failed(&error))
            }
            Err(Failure::Redis(error)) => Err(self.refused(command, &error)),
        }
    }

    fn refused(&self, command: &str, error: &RedisError) -> Error {
        let (address, command) = (self.address.clone(), command.to_owned());
        Error::Refused { address, command, message: error_text(error) }
    }

    /// The shared connection, after checking that the server is not a replica: it may have become one, or
    /// the connection may have been lost, since its last use.
    async fn writable(&self) -> Result<Connection, Error> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_mut() {
            match Server::ask(connection).await {
                Ok(server) => return self.accept(connection.clone(), server).await.map(|(usable, _)| usable),
                Err(error) if is_broken(&error) => *kept = None,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        let (connection, _) = self.connect().await?;
        Ok(kept.insert(connection).clone())
    }

    /// Opens a connection to a server that may be changed, and returns the server's facts. Only transient
    /// errors are retried.
    async fn connect(&self) -> Result<(Connection, Server), Error> {
        let attempt = async || {
            let mut connection = self.way.connect().await?;
            let server = Server::ask(&mut connection).await?;
            Ok((connection, server))
        };
        let pauses =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(2);
        let attempts = attempt.retry(pauses).when(is_transient);
        match timeout(CONNECT_BUDGET, attempts).await {
            Ok(Ok((connection, server))) => return self.accept(connection, server).await,
            Ok(Err(error)) => return Err(self.failed(&error)),
            Err(_) => {}
        }
        let without_tls =
            if self.way.answers_plainly().await { "; what answers there does so without TLS" } else { "" };
        let message = format!("no answer in {} s{without_tls}", CONNECT_BUDGET.as_secs());
        Err(Error::Down { address: self.address.clone(), message })
    }

    /// Rejects a server that `cache.url` must not lead to.
    async fn accept(
        &self,
        mut connection: Connection,
        server: Server,
    ) -> Result<(Connection, Server), Error> {
        match server.objection(&mut connection).await {
            Some(message) => Err(Error::Unusable { address: self.address.clone(), message }),
            None => Ok((connection, server)),
        }
    }

    fn failed(&self, error: &RedisError) -> Error {
        let (address, message) = (self.address.clone(), error_text(error));
        if is_refusal(error) {
            Error::Authentication { address, message }
        } else if is_not_redis(error) || error.code().is_some() && !is_transient(error) {
            Error::Unusable { address, message }
        } else {
            Error::Down { address, message }
        }
    }
}

/// All settings except secret ones; `None` where the server forbids CONFIG.
async fn read_config(connection: &mut Connection) -> RedisResult<Option<BTreeMap<String, String>>> {
    let answer =
        redis::cmd("CONFIG").arg("GET").arg("*").query_async::<BTreeMap<String, String>>(connection).await;
    match answer {
        Ok(mut settings) => {
            settings.retain(|key, _| !config::is_secret(key));
            Ok(Some(settings))
        }
        Err(error) if is_forbidden(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Which of the given db numbers the server does not have. Needed where it forbids CONFIG, which has their
/// number.
async fn read_absent_databases(
    connection: &mut Connection,
    asked: &BTreeSet<u32>,
    current: i64,
) -> RedisResult<BTreeSet<u32>> {
    let mut absent = BTreeSet::new();
    if asked.is_empty() {
        return Ok(absent);
    }
    let mut pipeline = Pipeline::with_capacity(asked.len());
    pipeline.ignore_errors();
    for number in asked {
        pipeline.cmd("SELECT").arg(number);
    }
    let answers: Vec<Value> = pipeline.query_async(connection).await?;
    for (number, answer) in asked.iter().zip(answers) {
        // The code differs for a db number that the user may not select.
        if answer.extract_error().is_err_and(|error| error.code() == Some("ERR")) {
            absent.insert(*number);
        }
    }
    redis::cmd("SELECT").arg(current).exec_async(connection).await?;
    Ok(absent)
}
