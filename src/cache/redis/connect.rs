//! Connections to a Redis server, over TCP or TLS. The driver buffers a response until it is complete, so
//! each connection limits what the server may send.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, IntoConnectionInfo as _, Pipeline, RedisConnectionInfo,
    RedisError, RedisFuture, RedisResult, Value,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::redact::redact;
use crate::stack::{RedactedUrl, TlsFiles};

/// Covers one attempt to connect, with the TLS handshake and the login.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// For the response to one command or pipeline. Pages are small, so that a slow network is fast
/// enough.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// The number of bytes that a server may send after each request. A page of a thousand keys has less than a
/// hundred kilobytes. In memory, a response can take thirty times its size.
const MOST_BYTES: usize = 8 << 20;
const TOO_LONG: &str = "it sent an answer of more than 8 MB";

/// The address and login of a server.
pub(super) struct Way {
    host: String,
    port: u16,
    tls: Option<Tls>,
    settings: RedisConnectionInfo,
}

/// The parsed files of `connection.tls`.
#[derive(Default)]
struct Tls {
    /// Replaces the certificates that this machine trusts.
    roots: Option<RootCertStore>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Way {
    /// Parses a URL without connecting.
    pub(super) fn new(url: &RedactedUrl) -> Result<Self, String> {
        const PORT: u16 = 6379;
        let mut plain = url.expose().clone();
        let has_tls = plain.scheme() == "rediss";
        if has_tls && plain.fragment().is_some() {
            return Err("TLS without a check of the certificate (`#insecure`) is not supported; name the \
                        authority in `connection.tls.ca`"
                .to_owned());
        }
        let tls = match (has_tls, url.tls()) {
            (true, Some(files)) => Some(Tls::read(files)?),
            (true, None) => Some(Tls::default()),
            (false, _) => None,
        };
        // The driver parses only the login and the db number; TLS is done here.
        if has_tls && plain.set_scheme("redis").is_err() {
            return Err("its URL cannot be read".to_owned());
        }
        let port = plain.port().unwrap_or(PORT);
        let settings = plain.into_connection_info().map_err(|error| error_text(&error))?;
        Ok(Self { host: url.host(), port, tls, settings: settings.redis_settings().clone() })
    }

    pub(super) fn db(&self) -> i64 {
        self.settings.db()
    }

    /// Connects and logs in, without retries.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let connecting = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => self.log_in(stream).await,
                Some(tls) => {
                    let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                    self.log_in(tls.connector()?.connect(name, stream).await?).await
                }
            }
        };
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        timeout(CONNECT_DEADLINE, connecting).await.unwrap_or_else(late)
    }

    async fn log_in(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> RedisResult<Connection> {
        let is_over = Arc::<AtomicBool>::default();
        let stream = Bounded { stream, left: MOST_BYTES, is_over: Arc::clone(&is_over) };
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_DEADLINE));
        let opened = MultiplexedConnection::new_with_config(&self.settings, stream, config).await;
        let (inner, driver) = opened.map_err(|error| unless_too_long(&is_over, error))?;
        let driver = Arc::new(Driver(tokio::spawn(driver).abort_handle()));
        Ok(Connection { inner, is_over, _driver: driver })
    }

    /// Whether the server of a `rediss://` URL responds without TLS. A plain server waits for a newline,
    /// which a TLS greeting may lack, so one is sent. Sends no secret.
    pub(super) async fn answers_plainly(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        if self.tls.is_none() {
            return false;
        }
        let asking = async {
            let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut first = [0; 1];
            stream.read_exact(&mut first).await?;
            io::Result::Ok(matches!(&first, b"+" | b"-"))
        };
        matches!(timeout(PATIENCE, asking).await, Ok(Ok(true)))
    }
}

impl Tls {
    fn read(files: &TlsFiles) -> Result<Self, String> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let no_certificates = |path: &Path| format!("{} holds no certificates in PEM", path.display());
        let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
            read.ok().filter(|found| !found.is_empty()).ok_or_else(|| no_certificates(path))
        };
        let mut tls = Self::default();
        if let Some(ca) = &files.ca {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|_| no_certificates(ca))?;
            }
            tls.roots = Some(roots);
        }
        if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
            let private = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|_| format!("{} holds no key in PEM", key.display()))?;
            tls.client = Some((certificates(cert)?, private));
        }
        Ok(tls)
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        let roots = match &self.roots {
            Some(roots) => roots.clone(),
            None => trusted_here()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let config = match &self.client {
            None => config.with_no_client_auth(),
            Some((certificates, key)) => config
                .with_client_auth_cert(certificates.clone(), key.clone_key())
                .map_err(io::Error::other)?,
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// The certificate authorities that this machine trusts.
fn trusted_here() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    match found.errors.into_iter().next() {
        Some(error) if usable == 0 => Err(io::Error::other(error)),
        _ => Ok(roots),
    }
}

/// A connection that is logged in. Clones share it, and dropping the last one closes it.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    is_over: Arc<AtomicBool>,
    _driver: Arc<Driver>,
}

/// The task that reads and writes. Aborted explicitly, because it would wait for a silent server
/// forever.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answer = self.inner.req_packed_command(command).await;
            answer.map_err(|error| unless_too_long(&self.is_over, error))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let answers = self.inner.req_packed_commands(pipeline, offset, count).await;
            answers.map_err(|error| unless_too_long(&self.is_over, error))
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

/// The given error, or the one about a response that was too long, which caused it.
fn unless_too_long(is_over: &AtomicBool, error: RedisError) -> RedisError {
    if is_over.load(Ordering::Relaxed) {
        RedisError::from((ErrorKind::UnexpectedReturnType, "too long", TOO_LONG.to_owned()))
    } else {
        error
    }
}

/// A stream that fails when more than the limit was received since the last write.
struct Bounded<S> {
    stream: S,
    left: usize,
    is_over: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let Some(left) = self.left.checked_sub(buffer.filled().len() - before) else {
            self.is_over.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TOO_LONG)));
        };
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        if written > 0 {
            self.left = MOST_BYTES;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The message of a server or driver error, with secrets redacted.
pub(super) fn error_text(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "the connection was refused: is the server running, and is the port right?".to_owned();
    }
    if error.is_connection_dropped() {
        return "the connection was lost".to_owned();
    }
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    };
    redact(&text).into_owned()
}
