//! Parses the text of a URL and rejects an ambiguous text. With `/`, `?` or `#` in the password,
//! common parsers end the host too early: they take the user for a host and the password for a
//! path.

use std::net::Ipv6Addr;

use url::Url;

use super::{encode, encode_user_info};

/// Why a text is not the URL of a server. No message contains a part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text does not begin with `scheme://`.
    #[error("it does not begin with a scheme such as `postgres://`")]
    NoScheme,
    /// The text is a Windows path.
    #[error("it is a path of Windows, not a URL")]
    WindowsPath,
    /// There is no host, and no parameter for it.
    #[error("it names no host")]
    NoHost,
    /// There is an `@` after the apparent host, so the password may continue there.
    #[error("it can be read in more than one way: there is an `@` after a `/`, `?` or `#`")]
    Doubtful,
    /// The port is invalid.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// There are several hosts.
    #[error("it names more than one host")]
    Hosts,
    /// The host is invalid.
    #[error("its host cannot be one")]
    Host,
    /// There is a control character outside of the password.
    #[error("it has a control character in it")]
    Control,
    /// There is a fragment (`#`).
    #[error("it has a `#`, and what follows one is no part of a server's URL")]
    Fragment,
    /// A parameter is not supported. The name is given only if it is well known.
    #[error("it has {}, which is not supported", .name.as_ref().map_or_else(|| "a parameter".to_owned(), |name| format!("the parameter `{name}`")))]
    Parameter {
        name: Option<&'static str>,
        /// The supported parameters.
        known: &'static [&'static str],
    },
    /// The value of a parameter is not accepted.
    #[error("its parameter `{name}` has a value that is not accepted")]
    Value {
        name: &'static str,
        /// The accepted values.
        accepted: &'static str,
    },
}

impl UrlError {
    /// Returns additional advice, if there is any beyond the accepted forms.
    pub fn help(&self) -> Option<String> {
        const ENCODE: &str = "a password in a URL needs its `@`, `/`, `?`, `#` and `%` percent-encoded; as a placeholder \
                              of its own (`scheme://user:${PASSWORD}@host`) or under `connection:` it is taken as it is";
        match self {
            Self::Doubtful | Self::Port | Self::Host | Self::Control | Self::Fragment => {
                Some(ENCODE.to_owned())
            }
            Self::Parameter { known: [], .. } => Some("remove what follows the `?`".to_owned()),
            Self::Parameter { known, .. } => Some(format!("accepted are {}", known.join(", "))),
            Self::Value { accepted, .. } => Some(format!("accepted: {accepted}")),
            Self::Hosts => Some("name the one that takes writes".to_owned()),
            Self::WindowsPath => Some("write `sqlite://` and the path with `/`".to_owned()),
            Self::NoScheme | Self::NoHost => None,
        }
    }
}

/// Returns the URL with user and password encoded.
pub(super) fn parse(text: &str) -> Result<Url, UrlError> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| no_scheme(text))?;
    if !is_scheme(scheme) {
        return Err(no_scheme(text));
    }
    let (user_info, host_and_port, tail) = split(rest)?;
    if tail.contains(char::is_control) {
        return Err(UrlError::Control);
    }
    let mut written = format!("{scheme}://");
    if let Some(user_info) = user_info {
        written.push_str(&encode_user_info(user_info));
        written.push('@');
    }
    written.push_str(&host_and_port);
    written.push_str(tail);
    Url::parse(&written).map_err(|_| UrlError::Host)
}

/// Splits off the user info, host and port, and the rest from the first `/`, `?` or `#`.
fn split(rest: &str) -> Result<(Option<&str>, String, &str), UrlError> {
    let (authority, tail) = rest.split_at(end_of_authority(rest));
    let (user_info, server) = divide(authority);
    let plain = host_and_port(server);
    if !tail.contains('@') {
        return plain.map(|server| (user_info, server, tail));
    }
    // If the only `@` cannot follow a host, everything before it is the user info.
    let (Err(_), Some((before, after))) = (plain, rest.split_once('@')) else {
        return Err(UrlError::Doubtful);
    };
    if after.contains('@') || !before.contains(':') {
        return Err(UrlError::Doubtful);
    }
    let (server, tail) = after.split_at(end_of_authority(after));
    host_and_port(server).map(|server| (Some(before), server, tail)).map_err(|_| UrlError::Doubtful)
}

fn divide(authority: &str) -> (Option<&str>, &str) {
    authority.rsplit_once('@').map_or((None, authority), |(user_info, server)| (Some(user_info), server))
}

fn end_of_authority(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

fn host_and_port(text: &str) -> Result<String, UrlError> {
    if text.contains(',') {
        return Err(UrlError::Hosts);
    }
    let bracket = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host_text, port) = match text.get(bracket..).and_then(|rest| rest.find(':')) {
        Some(colon) => (text.get(..bracket + colon), text.get(bracket + colon + 1..)),
        None => (Some(text), None),
    };
    let host_text = host_text.unwrap_or("");
    // A parameter may provide the host.
    let host = if host_text.is_empty() { String::new() } else { host(host_text)? };
    match port.filter(|port| !port.is_empty()) {
        None => Ok(host),
        Some(_) if host.is_empty() => Err(UrlError::NoHost),
        Some(port) => match port.parse::<u16>() {
            Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(format!("{host}:{number}"))
            }
            _ => Err(UrlError::Port),
        },
    }
}

/// Validates a host as written in a URL: a name, an IPv4 address, an IPv6 address with or without
/// brackets, or the folder of a socket.
pub(super) fn host(text: &str) -> Result<String, UrlError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    if text.starts_with('/') {
        return Ok(encode(text));
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
    if text.is_empty() || !text.chars().all(is_name) {
        return Err(if text.is_empty() { UrlError::NoHost } else { UrlError::Host });
    }
    Ok(text.to_owned())
}

/// Whether a text is a URL scheme by RFC 3986.
pub(in crate::stack) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn no_scheme(text: &str) -> UrlError {
    if is_windows_path(text) { UrlError::WindowsPath } else { UrlError::NoScheme }
}

/// Whether a text begins with a drive letter.
pub(in crate::stack) fn is_windows_path(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && characters.next() == Some(':')
        && matches!(characters.next(), Some('\\' | '/'))
        && characters.next() != Some('/')
}
