//! The URL of a server, for every kind of store. Every URL is built here, from a text or from its
//! parts, so that a password can neither change its structure nor be shown as a host.

mod parameters;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use crate::redact::Redactor;

pub use parse::UrlError;
pub(super) use parse::is_scheme;

/// Characters that need no encoding anywhere in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The URL of a server. Its Display and Debug output has no password and no parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct RedactedUrl {
    url: Url,
    tls: Option<Arc<TlsFiles>>,
}

/// TLS files, for drivers that do not take them in the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the trusted authorities.
    pub ca: Option<PathBuf>,
    /// The client certificate.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether no file is named.
    pub fn is_empty(&self) -> bool {
        let Self { ca, cert, key } = self;
        ca.is_none() && cert.is_none() && key.is_none()
    }
}

/// The unencoded parts of a URL.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub scheme: &'static str,
    pub host: String,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// The path without its leading slash.
    pub path: Option<String>,
    pub parameters: Vec<(&'static str, String)>,
    pub tls: TlsFiles,
}

impl RedactedUrl {
    /// Wraps a URL that was built in code.
    pub fn new(url: Url) -> Self {
        Self { url, tls: None }
    }

    /// Parses a text. An ambiguous text is an error, and no error contains any part of the text
    /// after the scheme.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse::parse(text).and_then(parameters::check).map(Self::new)
    }

    /// Builds a URL from its parts.
    pub(super) fn from_parts(parts: Parts) -> Result<Self, UrlError> {
        let Parts { scheme, host, port, user, password, path, parameters, tls } = parts;
        let mut text = format!("{scheme}://");
        if user.is_some() || password.is_some() {
            text.push_str(&encode(&user.unwrap_or_default()));
            if let Some(password) = password {
                text.push(':');
                text.push_str(&encode(&password));
            }
            text.push('@');
        }
        text.push_str(&parse::host(&host)?);
        if let Some(port) = port {
            let _ = write!(text, ":{port}");
        }
        if let Some(path) = path {
            text.push('/');
            text.push_str(&encode(&path));
        }
        for (number, (name, value)) in parameters.iter().enumerate() {
            text.push(if number == 0 { '?' } else { '&' });
            let _ = write!(text, "{name}={}", encode(value));
        }
        let tls = Some(tls).filter(|tls| !tls.is_empty()).map(Arc::new);
        Ok(Self { tls, ..Self::parse(&text)? })
    }

    /// Returns the URL with its password, for the client that connects.
    pub fn expose(&self) -> &Url {
        &self.url
    }

    /// Returns the TLS files, for drivers that do not take them in the URL.
    pub fn tls(&self) -> Option<&TlsFiles> {
        self.tls.as_deref()
    }

    /// Returns the decoded user.
    pub fn user(&self) -> Option<String> {
        Some(decode(self.url.username())).filter(|user| !user.is_empty())
    }

    /// Returns the decoded password.
    pub fn password(&self) -> Option<String> {
        self.url.password().map(decode)
    }

    /// Adds the password in the forms in which it may be sent.
    pub(super) fn add_secrets(&self, redactor: &mut Redactor) {
        let Some(password) = self.password().filter(|password| !password.is_empty()) else { return };
        let user = self.user().unwrap_or_default();
        // As sent in an HTTP basic authorization header.
        redactor.add_base64(&format!("{user}:{password}"), 0);
        let database = self.url.path().trim_start_matches('/');
        // A password equal to the user, database or host is not redacted, because those are shown.
        if ![user.as_str(), database, &self.host()].contains(&password.as_str()) {
            redactor.add(&password);
            redactor.add(self.url.password().unwrap_or_default());
        }
    }

    /// Returns the decoded host without brackets: a name, an IP address, or the folder of a socket.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }

    /// Returns `host:port`, or the host if no port is given.
    pub fn address(&self) -> String {
        let host = self.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        self.url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }
}

/// Returns the decoded host of a URL without brackets.
fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => decode(&host.to_string()),
        None => String::new(),
    }
}

impl fmt::Display for RedactedUrl {
    /// Omits password, query and fragment, each of which may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
            return write!(f, "{}://…", self.url.scheme());
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Percent-encodes a text for any component of a URL.
fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Percent-encodes characters that could change the structure of the URL. The component may already
/// be encoded: valid `%XX` sequences are kept, unless they do not decode to text.
pub(super) fn encode_unencoded(text: &str) -> String {
    if percent_decode_str(text).decode_utf8().is_err() {
        return encode(text);
    }
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        let (before, escape) = rest.split_at(percent);
        encoded.push_str(&encode(before));
        let digits = escape.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let length = if let Some(digits) = digits {
            encoded.push('%');
            encoded.push_str(digits);
            3
        } else {
            encoded.push_str("%25");
            1
        };
        rest = escape.get(length..).unwrap_or("");
    }
    encoded.push_str(&encode(rest));
    encoded
}

/// Percent-encodes `user:password` as far as necessary. The first colon separates them.
pub(super) fn encode_user_info(text: &str) -> String {
    match text.split_once(':') {
        Some((user, password)) => format!("{}:{}", encode_unencoded(user), encode_unencoded(password)),
        None => encode_unencoded(text),
    }
}
