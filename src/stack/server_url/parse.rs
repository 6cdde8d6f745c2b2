//! Takes the text of a URL apart, and refuses a text that has two readings. A password with `/`, `?`
//! or `#` in it ends the host too early for any common parser, which then takes the account for a
//! host and the password for a path.

use std::net::Ipv6Addr;

use url::Url;

use super::{encode, encode_user_info};

/// Why a text is not the URL of a server. No message has a part of the text in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with `scheme://`.
    #[error("it does not begin with a scheme such as `postgres://`")]
    NoScheme,
    /// A path of Windows stands where a scheme should.
    #[error("it is a path of Windows, not a URL")]
    WindowsPath,
    /// No host, and no parameter that names one.
    #[error("it names no host")]
    NoHost,
    /// There is an `@` behind what may be the host: it may be the password that goes on there.
    #[error("it can be read in more than one way: there is an `@` after a `/`, `?` or `#`")]
    Doubtful,
    /// What stands behind the host's colon.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// Several hosts.
    #[error("it names more than one host")]
    Hosts,
    /// What cannot be a host.
    #[error("its host cannot be one")]
    Host,
    /// A line break or the like outside of the password.
    #[error("it has a control character in it")]
    Control,
    /// Something behind a `#`.
    #[error("it has a `#`, and what follows one is no part of a server's URL")]
    Fragment,
    /// A parameter that nothing reads. The name is there where it is a well-known one.
    #[error("it has {}, which is not supported", .name.as_ref().map_or_else(|| "a parameter".to_owned(), |name| format!("the parameter `{name}`")))]
    Parameter {
        name: Option<&'static str>,
        /// Those that are accepted.
        known: &'static [&'static str],
    },
    /// A parameter whose value is none of those that it takes.
    #[error("its parameter `{name}` has a value that is not accepted")]
    Value {
        name: &'static str,
        /// What it takes.
        accepted: &'static str,
    },
}

impl UrlError {
    /// What to write instead, where there is more to say than which URLs are accepted.
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

/// The URL, its account and password encoded.
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

/// Account with password, host with port, and the rest from its `/`, `?` or `#` on.
fn split(rest: &str) -> Result<(Option<&str>, String, &str), UrlError> {
    let (authority, tail) = rest.split_at(end_of_authority(rest));
    let (user_info, server) = divide(authority);
    let plain = host_and_port(server);
    if !tail.contains('@') {
        return plain.map(|server| (user_info, server, tail));
    }
    // With one `@` that cannot be behind a host, all before it is account and password.
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
    // A parameter may name the host.
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

/// A host as it stands in a URL: a name, an address of version 4, one of version 6 with or without
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

/// Whether a text is the scheme of a URL, as RFC 3986 has it.
pub(in crate::stack) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn no_scheme(text: &str) -> UrlError {
    if is_windows_path(text) { UrlError::WindowsPath } else { UrlError::NoScheme }
}

/// Whether a text begins with the letter of a drive.
pub(in crate::stack) fn is_windows_path(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && characters.next() == Some(':')
        && matches!(characters.next(), Some('\\' | '/'))
        && characters.next() != Some('/')
}
