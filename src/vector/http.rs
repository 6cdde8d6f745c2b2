//! HTTP calls to a store. Each call has a deadline and a limit on its response. Transient errors are
//! retried within limits on attempts and time.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, redirect};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::Error;
use crate::journal::lock::Fence;
use crate::redact::redact;
use crate::stack::{RedactedUrl, TlsFiles};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);
/// Retries of a call that could not connect or got no response.
const RETRIES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Retries of a call that the server was too busy for. Without a Retry-After header the pauses add up to
/// about six seconds.
const RETRIES_OF_BUSY: usize = 5;
/// The maximum sum of pauses that the server requests for one call.
const PATIENCE: Duration = Duration::from_secs(30);
/// The maximum size of a response. A page of a thousand documents has less than one megabyte. Parsed as
/// JSON, a response can take sixteen times its size.
pub(super) const MOST_BYTES: usize = 16 << 20;
/// The maximum size of an error response; the rest is not read.
const MOST_BYTES_OF_ERROR: usize = 64 << 10;
/// Longer error messages are truncated.
const MESSAGE: usize = 300;

#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    base: RedactedUrl,
    pub(super) address: String,
}

/// The pauses between the attempts of one call.
struct Pauses {
    failing: backon::ExponentialBackoff,
    busy: backon::ExponentialBackoff,
    /// The remaining time for pauses that the server requests.
    patience: Duration,
}

impl Pauses {
    fn new() -> Self {
        let pauses =
            |times| ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_times(times).build();
        Self { failing: pauses(RETRIES), busy: pauses(RETRIES_OF_BUSY), patience: PATIENCE }
    }

    /// Sleeps before the next attempt; returns the error where no attempt is left.
    async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        let Some(pause) = self.after(&error) else { return Err(error) };
        tracing::debug!(%error, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The pause before the next attempt; `None` where no attempt is left.
    fn after(&mut self, error: &Error) -> Option<Duration> {
        match error {
            Error::Server { status: 429 | 503, retry_after, .. } => {
                let own = self.busy.next()?;
                let pause = retry_after.map_or(own, |asked| asked.max(own));
                self.patience = self.patience.checked_sub(pause)?;
                Some(pause)
            }
            Error::Unreachable { transient: true, .. } | Error::Server { status: 500.., .. } => {
                self.failing.next()
            }
            _ => None,
        }
    }
}

impl Http {
    /// Creates a client for the server of a URL without connecting.
    pub(super) fn new(url: &RedactedUrl, headers: HeaderMap) -> Result<Self, Error> {
        // reqwest is built without a TLS provider of its own, so that sqlx, redis and reqwest share
        // one.
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error means that another component installed the provider first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });

        let address = url.address();
        let failed = |reason| Error::Unreachable { address: address.clone(), reason, transient: false };
        let client = with_tls(reqwest::Client::builder(), url.tls())
            .map_err(failed)?
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(REQUEST_DEADLINE)
            // Following a redirect would send the token to another host.
            .redirect(redirect::Policy::none())
            .default_headers(headers)
            .build()
            .map_err(|error| failed(reason(&error)))?;
        let mut base = url.expose().clone();
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { client, base: RedactedUrl::new(base), address })
    }

    /// Sends a request that changes nothing.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let mut pauses = Pauses::new();
        loop {
            match self.call_once(method.clone(), path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => pauses.wait_after(error).await?,
            }
        }
    }

    /// Sends a request that writes. The lock is checked before each attempt, because another run may have
    /// taken it during the previous one.
    pub(super) async fn write(
        &self,
        fence: &Fence,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(), Error> {
        let mut pauses = Pauses::new();
        loop {
            fence.check().await?;
            match self.call_once::<IgnoredAny>(method.clone(), path, body).await {
                Ok(_) => return Ok(()),
                Err(error) => pauses.wait_after(error).await?,
            }
        }
    }

    async fn call_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        // The base URL keeps its user and password.
        let url = format!("{}{path}", self.base.expose().as_str().trim_end_matches('/'));
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let address = self.address.clone();
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(Error::Refused { address, status: status.as_u16() });
        }
        if !status.is_success() {
            let retry_after = retry_after(response.headers());
            let message = message(&self.read(response, MOST_BYTES_OF_ERROR).await?.bytes, retry_after);
            return Err(Error::Server { address, status: status.as_u16(), message, retry_after });
        }
        let Read { bytes, is_whole } = self.read(response, MOST_BYTES).await?;
        if !is_whole {
            return Err(Error::LongAnswer { address, megabytes: MOST_BYTES >> 20 });
        }
        serde_json::from_slice(&bytes).map_err(|error| Error::NotChroma {
            address,
            reason: format!("an answer that is not understood: {}", redact(&error.to_string())),
        })
    }

    /// Reads the response up to a number of bytes, because a server may send without end.
    async fn read(&self, mut response: Response, most: usize) -> Result<Read, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            let room = most - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(chunk.get(..room).unwrap_or_default());
                return Ok(Read { bytes, is_whole: false });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Read { bytes, is_whole: true })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        // All calls are idempotent. Not retried: calls that timed out, and calls to a server without TLS.
        let is_plain = is_answered_without_tls(error);
        let reason = if is_plain {
            "what answers there does so without TLS; write `http://` instead of `https://`".to_owned()
        } else {
            reason(error)
        };
        let transient = !error.is_timeout() && !is_plain;
        Error::Unreachable { address: self.address.clone(), reason, transient }
    }
}

struct Read {
    bytes: Vec<u8>,
    is_whole: bool,
}

/// The delay in a Retry-After header, which has seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    // A date in the past means no delay.
    Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

fn with_tls(
    mut builder: reqwest::ClientBuilder,
    files: Option<&TlsFiles>,
) -> Result<reqwest::ClientBuilder, String> {
    let Some(files) = files else { return Ok(builder) };
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    if let Some(ca) = &files.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(&read(ca)?)
            .map_err(|_| format!("{} holds no certificates in PEM", ca.display()))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
        let both = [read(cert)?, read(key)?].join(&b'\n');
        let identity = reqwest::Identity::from_pem(&both).map_err(|_| {
            format!("{} and {} are no certificate and key in PEM", cert.display(), key.display())
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// The error message in a response, truncated. Chroma's format is `{"error": …, "message": …}`.
fn message(body: &[u8], retry_after: Option<Duration>) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|body| body.get("message").or_else(|| body.get("error"))?.as_str());
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    // Redacted before truncating, because a truncated secret would not be recognised.
    let mut shown: String =
        redact(&text).chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(asked) = retry_after {
        let gap = if shown.is_empty() { "" } else { " " };
        let _ = write!(shown, "{gap}(it asks to try again in {} s)", asked.as_secs());
    }
    shown
}

/// The innermost cause: "connection refused" is more useful than "error sending request". Never the URL,
/// which may contain a password.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if !error.is_connect() && (error.is_request() || error.is_body()) {
        return "the connection was lost".to_owned();
    }
    let mut cause = error.source();
    while let Some(next) = cause.and_then(std::error::Error::source) {
        cause = Some(next);
    }
    cause.map_or_else(|| "the request failed".to_owned(), |cause| redact(&cause.to_string()).into_owned())
}

/// Whether the response to a TLS handshake was not TLS, as from a server that only supports HTTP.
fn is_answered_without_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(next) = cause {
        if matches!(of_tls(next), Some(rustls::Error::InvalidMessage(_))) {
            return true;
        }
        cause = next.source();
    }
    false
}

/// Finds the TLS error in an error chain. I/O errors do not expose what they wrap through `source`, and may
/// be nested.
fn of_tls<'e>(mut error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    while let Some(wrapped) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = wrapped;
    }
    error.downcast_ref()
}
