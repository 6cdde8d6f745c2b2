//! A Redis server. Keys are walked with SCAN, a page at a time, so that no command holds the server
//! up; every answer has a deadline. Observing writes nothing, not even to prove that it could.

mod streams;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ClientTlsConfig, Cmd, ConnectionAddr, ErrorKind, Pipeline, RedisError,
    RedisResult, TlsCertificates, Value,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Error, config};
use crate::cache::observed::{KeysSeen, RedisSeen};
use crate::digest::Fingerprint;
use crate::redact::redact;
use crate::spec::{RedactedUrl, TlsFiles};
use streams::{read_streams, remove_idle};

/// For one attempt to connect, the handshake of TLS and the login in it.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// For all attempts.
const CONNECT_BUDGET: Duration = Duration::from_secs(6);
/// For the answer to one command or pipeline; pages are small, so that a slow link is enough.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// For looking at the TTLs of all namespaces; a million keys take about 3 s.
const KEYS_BUDGET: Duration = Duration::from_secs(6);
/// Keys that the server looks at for one page: well under a millisecond of its time.
const PAGE: usize = 1_000;
/// Commands in one pipeline.
const BATCH: usize = 500;

/// The way to one server.
pub(super) struct Redis {
    client: redis::Client,
    address: String,
    /// Made by the first change, and anew after a failure.
    connection: Mutex<Option<MultiplexedConnection>>,
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
        Ok(Self { client, address, connection: Mutex::new(None) })
    }

    pub(super) async fn observe(
        &self,
        prefixes: &BTreeSet<&str>,
        streams: &BTreeSet<&str>,
    ) -> Result<RedisSeen, Error> {
        let mut connection = self.connect().await?;
        let failed = |error: RedisError| self.failed(&error);
        let version = server_version(&mut connection).await.map_err(failed)?;
        let version = match version {
            Server { is_cluster: true, .. } => {
                let message = "it is a node of a Redis Cluster, which is not supported yet".to_owned();
                return Err(Error::Unusable { address: self.address.clone(), message });
            }
            Server { version, is_cluster: false } => version,
        };
        let config = read_config(&mut connection).await.map_err(failed)?;
        let asked = streams;
        let (streams, streams_complete) = read_streams(&mut connection, asked).await.map_err(failed)?;
        let deadline = Instant::now() + KEYS_BUDGET;
        let mut keys = BTreeMap::new();
        for prefix in prefixes {
            let seen = read_keys(&mut connection, prefix, asked, deadline).await.map_err(failed)?;
            keys.insert((*prefix).to_owned(), seen);
        }
        Ok(RedisSeen { version, place: Some(self.place()), config, keys, streams, streams_complete })
    }

    /// Of host, port and db number.
    pub(super) fn place(&self) -> Fingerprint {
        let db = self.client.get_connection_info().redis_settings().db();
        Fingerprint::of_text(&format!("{}/{db}", self.address))
    }

    /// Sets a setting until the server restarts: where it has a configuration file, that file is
    /// its owner's to change.
    pub(super) async fn set_config(&self, key: &str, value: &str) -> Result<(), Error> {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(key).arg(value);
        self.write(&format!("CONFIG SET {key}"), async |connection| command.exec_async(connection).await)
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
            let has_nx = server_version(connection).await?.has_expire_nx();
            let mut scan = Scan::keys_under(prefix);
            while let Some(mut keys) = scan.page(connection).await? {
                keys.retain(|key| !std::str::from_utf8(key).is_ok_and(|key| spare.contains(key)));
                for keys in keys.chunks(BATCH) {
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
                    Err(error) => return Err(error),
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
        let mut connection = self.connect().await?;
        let (address, command) = (self.address.clone(), "XGROUP DESTROY".to_owned());
        remove_idle(&mut connection, name, groups).await.map_err(|error| Error::Refused {
            address,
            command,
            message: told(&error),
        })
    }

    /// Runs commands on the kept connection, and drops it when it broke.
    async fn write(
        &self,
        command: &str,
        commands: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<()>,
    ) -> Result<(), Error> {
        let mut connection = {
            let mut kept = self.connection.lock().await;
            match &*kept {
                Some(connection) => connection.clone(),
                None => kept.insert(self.connect().await?).clone(),
            }
        };
        let Err(error) = commands(&mut connection).await else { return Ok(()) };
        if error.is_io_error() {
            *self.connection.lock().await = None;
            return Err(self.failed(&error));
        }
        let (address, command) = (self.address.clone(), command.to_owned());
        Err(Error::Refused { address, command, message: told(&error) })
    }

    /// A connection that has answered a PING. Only what may pass by itself is tried again.
    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        let deadlines = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(ANSWER_DEADLINE));
        let attempt = async || {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&deadlines).await?;
            redis::cmd("PING").exec_async(&mut connection).await.map(|()| connection)
        };
        let pauses =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(2);
        let attempts = attempt.retry(pauses).when(is_passing);
        if let Ok(connected) = timeout(CONNECT_BUDGET, attempts).await {
            return connected.map_err(|error| self.failed(&error));
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

/// What a server says of itself.
struct Server {
    version: Option<String>,
    is_cluster: bool,
}

impl Server {
    /// `EXPIRE key seconds NX` came with Redis 7.0; Valkey began with 7.2.
    fn has_expire_nx(&self) -> bool {
        let major = self.version.as_deref().and_then(|version| version.split('.').next()?.parse().ok());
        major.is_some_and(|major: u32| major >= 7)
    }
}

/// HELLO, because any user may ask it; INFO is among the dangerous commands.
async fn server_version(connection: &mut MultiplexedConnection) -> RedisResult<Server> {
    let hello: HashMap<String, Value> = match redis::cmd("HELLO").query_async(connection).await {
        Ok(hello) => hello,
        Err(error) if is_forbidden(&error) => HashMap::new(),
        Err(error) => return Err(error),
    };
    let text = |key| hello.get(key).and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
    let version = text("version").map(|version| redact(&version).into_owned());
    Ok(Server { version, is_cluster: text("mode").as_deref() == Some("cluster") })
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

/// Whether some key under a prefix has no TTL, but for the streams that the spec wants. Stops at the
/// first.
async fn read_keys(
    connection: &mut MultiplexedConnection,
    prefix: &str,
    spare: &BTreeSet<&str>,
    deadline: Instant,
) -> RedisResult<KeysSeen> {
    let mut scan = Scan::keys_under(prefix);
    loop {
        let lasting = match scan.page(connection).await {
            Ok(None) => return Ok(KeysSeen::Expiring),
            Ok(Some(keys)) => without_ttl(connection, keys, |key| spare.contains(key)).await,
            Err(error) => Err(error),
        };
        match lasting {
            Ok(lasting) if !lasting.is_empty() => return Ok(KeysSeen::SomeWithoutTtl),
            Ok(_) if Instant::now() >= deadline => return Ok(KeysSeen::OverBudget),
            Ok(_) => {}
            Err(error) if is_forbidden(&error) => return Ok(KeysSeen::Forbidden),
            Err(error) => return Err(error),
        }
    }
}

/// Gives those of some keys that have no TTL one.
async fn expire_lasting(
    connection: &mut MultiplexedConnection,
    keys: &[Vec<u8>],
    seconds: u64,
    has_nx: bool,
) -> RedisResult<()> {
    /// What EXPIRE NX does: a script is one step of the server.
    const EXPIRE_NX: &str = "for _, key in ipairs(KEYS) do \
        if redis.call('TTL', key) == -1 then redis.call('EXPIRE', key, ARGV[1]) end end";
    if has_nx {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("EXPIRE").arg(key).arg(seconds).arg("NX").ignore();
        }
        pipeline.exec_async(connection).await
    } else {
        let mut script = redis::cmd("EVAL");
        script.arg(EXPIRE_NX).arg(keys.len()).arg(keys).arg(seconds).exec_async(connection).await
    }
}

/// Those of some keys that exist, have no TTL and are not to be spared.
async fn without_ttl(
    connection: &mut MultiplexedConnection,
    keys: Vec<Vec<u8>>,
    is_spared: impl Fn(&str) -> bool,
) -> RedisResult<Vec<Vec<u8>>> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut pipeline = Pipeline::with_capacity(keys.len());
    for key in &keys {
        pipeline.cmd("TTL").arg(key);
    }
    let ttls: Vec<i64> = pipeline.query_async(connection).await?;
    let lasts = |(key, ttl): (Vec<u8>, i64)| {
        let spared = std::str::from_utf8(&key).is_ok_and(&is_spared);
        // -1 is no TTL, -2 no key: it expired since the scan saw it.
        (ttl == -1 && !spared).then_some(key)
    };
    Ok(keys.into_iter().zip(ttls).filter_map(lasts).collect())
}

/// A walk over keys of the db, a page at a time.
struct Scan {
    /// Where it goes on; `None` at the end.
    cursor: Option<u64>,
    options: Vec<String>,
}

impl Scan {
    fn keys_under(prefix: &str) -> Self {
        let mut pattern = String::with_capacity(prefix.len() + 1);
        for letter in prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        Self { cursor: Some(0), options: vec!["MATCH".to_owned(), pattern] }
    }

    fn streams() -> Self {
        Self { cursor: Some(0), options: vec!["TYPE".to_owned(), "stream".to_owned()] }
    }

    /// The next keys, which may be none; `None` at the end. A key may come twice.
    async fn page(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<Option<Vec<Vec<u8>>>> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut command = Cmd::new();
        command.arg("SCAN").arg(cursor).arg(&self.options).arg("COUNT").arg(PAGE);
        let (next, keys): (u64, Vec<Vec<u8>>) = command.query_async(connection).await?;
        self.cursor = (next != 0).then_some(next);
        Ok(Some(keys))
    }
}

/// Whether the server refuses who asks, at login.
fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED"))
}

/// Whether it may answer when it is asked again: it starts, loads its data, or changes its role.
fn is_passing(error: &RedisError) -> bool {
    error.is_io_error() || matches!(error.code(), Some("LOADING" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN"))
}

/// Whether the server refuses one command: by its ACL, or because a provider removed it.
fn is_forbidden(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
        || error.code() == Some("ERR")
            && error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}

/// What a server or the driver says, in its own words.
fn told(error: &RedisError) -> String {
    let told = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    };
    redact(&told).into_owned()
}
