//! A Redis server. Keys are walked with SCAN, a page at a time, so that no command holds the server
//! up; every answer has a deadline. Observing writes nothing, not even to prove that it could.

mod keys;
mod server;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ClientTlsConfig, ConnectionAddr, Pipeline, RedisError, RedisResult,
    TlsCertificates, Value,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Error, config};
use crate::cache::observed::RedisSeen;
use crate::digest::Fingerprint;
use crate::journal::lock::{Fence, Lost};
use crate::spec::{RedactedUrl, TlsFiles};
use keys::{Scan, expire_lasting, read_keys};
use server::{Server, is_forbidden, is_passing, is_refusal, told};
use streams::{read_streams, remove_idle};

/// For one attempt to connect, the handshake of TLS and the login in it.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// For all attempts.
const CONNECT_BUDGET: Duration = Duration::from_secs(6);
/// For the answer to one command or pipeline; pages are small, so that a slow link is enough.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// For looking at the TTLs of all namespaces; a million keys take about 3 s.
const KEYS_BUDGET: Duration = Duration::from_secs(6);
/// Commands in one pipeline.
const BATCH: usize = 500;

/// The way to one server.
pub(super) struct Redis {
    client: redis::Client,
    address: String,
    /// Made by the first change, and anew after a failure.
    connection: Mutex<Option<MultiplexedConnection>>,
    /// What all that is written must pass.
    pub(super) fence: Fence,
}

/// Why something was not written.
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
    /// The client knows the password; the address does not.
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
        let unusable = |message| Error::Unusable { address: address.clone(), message };
        let files = tls_files(url.tls()).map_err(unusable)?;
        let client = match files {
            None => redis::Client::open(url.expose().clone()),
            Some(files) => redis::Client::build_with_tls(url.expose().clone(), files),
        };
        let client = client.map_err(|error| unusable(told(&error)))?;
        Ok(Self { client, address, connection: Mutex::new(None), fence: Fence::default() })
    }

    pub(super) async fn observe(
        &self,
        prefixes: &BTreeSet<&str>,
        streams: &BTreeSet<&str>,
        databases: &BTreeSet<u32>,
    ) -> Result<RedisSeen, Error> {
        let (mut connection, Server { version, .. }) = self.connect().await?;
        let failed = |error: RedisError| self.failed(&error);
        let config = read_config(&mut connection).await.map_err(failed)?;
        let absent_databases = match config {
            Some(_) => BTreeSet::new(),
            None => read_absent_databases(&mut connection, databases, self.db()).await.map_err(failed)?,
        };
        let asked = streams;
        let (streams, streams_complete) = read_streams(&mut connection, asked).await.map_err(failed)?;
        let deadline = Instant::now() + KEYS_BUDGET;
        let mut keys = BTreeMap::new();
        for prefix in prefixes {
            let seen = read_keys(&mut connection, prefix, asked, deadline).await.map_err(failed)?;
            keys.insert((*prefix).to_owned(), seen);
        }
        let place = Some(self.place());
        Ok(RedisSeen { version, place, config, absent_databases, keys, streams, streams_complete })
    }

    fn db(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// Of host, port and db number.
    pub(super) fn place(&self) -> Fingerprint {
        Fingerprint::of_text(&format!("{}/{}", self.address, self.db()))
    }

    /// Sets a setting until the server restarts: where it has a configuration file, that file is
    /// its owner's to change.
    pub(super) async fn set_config(&self, key: &str, value: &str) -> Result<(), Error> {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(key).arg(value);
        self.write(&format!("CONFIG SET {key}"), async |connection| {
            Ok(command.exec_async(connection).await?)
        })
        .await
    }

    /// Gives every key under a prefix that has no TTL one, but for the streams among them. The
    /// server compares and sets in one step, so that a TTL that the application sets meanwhile stays.
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

    /// Makes a stream and groups of it; a group that exists keeps its position. Gives those that do.
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
                // A stream comes into being with its first entry or group, and stays without them.
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

    /// Removes groups that nobody works with; gives those that somebody does. Between the look and
    /// the removal nobody else touches the stream, or nothing is removed.
    pub(super) async fn remove_groups(
        &self,
        name: &str,
        groups: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        if groups.is_empty() {
            return Ok(BTreeSet::new());
        }
        // WATCH is of a connection, so that this one is not shared.
        let (mut connection, _) = self.connect().await?;
        remove_idle(&mut connection, name, groups, &self.fence).await.map_err(|failure| match failure {
            Failure::Redis(error) => self.refused("XGROUP DESTROY", &error),
            Failure::LockLost(lost) => lost.into(),
        })
    }

    /// Runs commands on the kept connection while the run holds its lock, and drops the connection when
    /// it broke.
    async fn write(
        &self,
        command: &str,
        commands: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        let mut connection = self.writable().await?;
        self.fence.check().await?;
        match commands(&mut connection).await {
            Ok(()) => Ok(()),
            Err(Failure::LockLost(lost)) => Err(lost.into()),
            Err(Failure::Redis(error)) if error.is_io_error() => {
                *self.connection.lock().await = None;
                Err(self.failed(&error))
            }
            Err(Failure::Redis(error)) => Err(self.refused(command, &error)),
        }
    }

    fn refused(&self, command: &str, error: &RedisError) -> Error {
        let (address, command) = (self.address.clone(), command.to_owned());
        Error::Refused { address, command, message: told(error) }
    }

    /// The kept connection, once the server has said again that it is no replica: it may have become
    /// one, or the connection may have been cut, since it was used last.
    async fn writable(&self) -> Result<MultiplexedConnection, Error> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_mut() {
            match Server::ask(connection).await {
                Ok(server) => return self.accept(connection.clone(), server).await.map(|(usable, _)| usable),
                Err(error) if error.is_io_error() => *kept = None,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        let (connection, _) = self.connect().await?;
        Ok(kept.insert(connection).clone())
    }

    /// A connection to a server that changes may be made on, and what it says of itself. Only what
    /// may pass by itself is tried again.
    async fn connect(&self) -> Result<(MultiplexedConnection, Server), Error> {
        let deadlines = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(ANSWER_DEADLINE));
        let attempt = async || {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&deadlines).await?;
            let server = Server::ask(&mut connection).await?;
            Ok((connection, server))
        };
        let pauses =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(2);
        let attempts = attempt.retry(pauses).when(is_passing);
        match timeout(CONNECT_BUDGET, attempts).await {
            Ok(Ok((connection, server))) => return self.accept(connection, server).await,
            Ok(Err(error)) => return Err(self.failed(&error)),
            Err(_) => {}
        }
        let without_tls =
            if self.answers_plainly().await { "; what answers there does so without TLS" } else { "" };
        let message = format!("no answer in {} s{without_tls}", CONNECT_BUDGET.as_secs());
        Err(Error::Down { address: self.address.clone(), message })
    }

    /// Whether the server of a `rediss://` address answers without TLS. A plain one waits for the end
    /// of a line, which the greeting of TLS need not have. Sends no secret.
    async fn answers_plainly(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        let ConnectionAddr::TcpTls { host, port, .. } = self.client.get_connection_info().addr() else {
            return false;
        };
        let asking = async {
            let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut first = [0; 1];
            stream.read_exact(&mut first).await?;
            std::io::Result::Ok(matches!(&first, b"+" | b"-"))
        };
        matches!(timeout(PATIENCE, asking).await, Ok(Ok(true)))
    }

    /// Turns away a server that is not what `cache.url` may lead to.
    async fn accept(
        &self,
        mut connection: MultiplexedConnection,
        server: Server,
    ) -> Result<(MultiplexedConnection, Server), Error> {
        match server.objection(&mut connection).await {
            Some(message) => Err(Error::Unusable { address: self.address.clone(), message }),
            None => Ok((connection, server)),
        }
    }

    fn failed(&self, error: &RedisError) -> Error {
        let (address, message) = (self.address.clone(), told(error));
        if is_refusal(error) {
            Error::Authentication { address, message }
        } else if error.code().is_some() && !is_passing(error) {
            Error::Unusable { address, message }
        } else {
            Error::Down { address, message }
        }
    }
}

/// The files of `connection.tls`, read; `None` when there are none.
fn tls_files(files: Option<&TlsFiles>) -> Result<Option<TlsCertificates>, String> {
    let Some(files) = files else { return Ok(None) };
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let client_tls = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        _ => None,
    };
    let root_cert = files.ca.as_deref().map(read).transpose()?;
    Ok(Some(TlsCertificates { client_tls, root_cert }))
}

/// All settings but the secret ones; `None` when the server forbids to ask.
async fn read_config(
    connection: &mut MultiplexedConnection,
) -> RedisResult<Option<BTreeMap<String, String>>> {
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

/// Which of some db numbers the server does not have. Asked where it forbids CONFIG, which says how
/// many it has.
async fn read_absent_databases(
    connection: &mut MultiplexedConnection,
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
        // A number that the user may not select has another code.
        if answer.extract_error().is_err_and(|error| error.code() == Some("ERR")) {
            absent.insert(*number);
        }
    }
    redis::cmd("SELECT").arg(current).exec_async(connection).await?;
    Ok(absent)
}
