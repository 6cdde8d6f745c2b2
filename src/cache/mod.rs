//! The cache: Redis, or an embedded SQLite file. The smallest component, and the example of the four doors:
//! `desired` (from the spec), `observed` (reads only), `diff` (pure), `apply`. A backend is one file and
//! one arm of [`Client`].

mod apply;
mod config;
mod desired;
mod diff;
mod groups;
mod observed;
mod redis;
mod sqlite;
#[cfg(test)]
mod tests;

pub use apply::{Applied, Change, Unwanted, apply};
pub use desired::Desired;
pub use diff::diff;
pub use groups::{Claims, claims, why_groups_stay};
pub use observed::{
    Failure, GroupUse, KeyExpiry, Observed, ObservedFile, ObservedNamespace, ObservedRedis, ObservedStream,
    observe,
};

use crate::digest::Fingerprint;
use crate::journal::lock::{Fence, Lost};
use crate::stack::{self, CacheUrl};

/// Connects on first use, and keeps the connection.
#[derive(Debug)]
pub struct Client(Connector);

#[derive(Debug)]
enum Connector {
    Redis(Box<redis::Redis>),
    Embedded(sqlite::Embedded),
}

impl Client {
    /// The fingerprint of the server or file; see [`ObservedRedis::place`].
    pub fn place(&self) -> Fingerprint {
        match &self.0 {
            Connector::Redis(redis) => redis.place(),
            Connector::Embedded(embedded) => embedded.place(),
        }
    }

    /// Creates a client without connecting.
    pub fn new(cache: &stack::Cache) -> Result<Self, Error> {
        match &cache.endpoint.to {
            Ok(CacheUrl::Redis(url)) => {
                redis::Redis::new(url).map(|redis| Self(Connector::Redis(Box::new(redis))))
            }
            Ok(CacheUrl::Sqlite(path)) => Ok(Self(Connector::Embedded(sqlite::Embedded::new(path)))),
            Err(unset) => Err(Error::Unset { names: unset.names.join(", ") }),
        }
    }

    /// Cancels the running statement of a cache that is a file.
    pub fn interrupt(&self) {
        match &self.0 {
            Connector::Redis(_) => {}
            Connector::Embedded(embedded) => embedded.interrupt.ask(),
        }
    }

    /// The client of a run, which writes only while the run holds its lock.
    #[must_use]
    pub fn behind(mut self, fence: Fence) -> Self {
        match &mut self.0 {
            Connector::Redis(redis) => redis.fence = fence,
            Connector::Embedded(embedded) => embedded.fence = fence,
        }
        self
    }
}

/// Errors of a cache. No message contains a password.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The run has lost its lock.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] Lost),
    /// The URL refers to variables that are not set.
    #[error("the URL of the cache is not known: {names} is not set")]
    #[diagnostic(code(trueup::cache::unset), help("set it in the environment, then run the command again"))]
    Unset {
        /// As written between `${` and `}`.
        names: String,
    },
    #[error("the cache at {address} does not answer: {message}")]
    #[diagnostic(
        code(trueup::cache::down),
        help("check that the server runs and that host and port in `cache.url` are right")
    )]
    Down { address: String, message: String },
    /// The server rejected the login.
    #[error("the cache at {address} refuses the user or password: {message}")]
    #[diagnostic(
        code(trueup::cache::authentication),
        help("check the user and the password in `cache.url`; the server itself is up")
    )]
    Authentication { address: String, message: String },
    /// The server or file cannot be managed by this tool.
    #[error("{address} cannot be used as a cache: {message}")]
    #[diagnostic(code(trueup::cache::unusable), help("point `cache.url` at another server or file"))]
    Unusable {
        /// `host:port`, or the path of a file.
        address: String,
        message: String,
    },
    /// The server or file rejected one command.
    #[error("{command} failed on {address}: {message}")]
    #[diagnostic(
        code(trueup::cache::refused),
        help("allow the command to the user of `cache.url`, or make the change by hand and plan again")
    )]
    Refused {
        /// `host:port`, or the path of a file.
        address: String,
        /// The command without its values.
        command: String,
        message: String,
    },
    /// The change is for the other backend.
    #[error("an embedded cache has no settings such as {key}")]
    #[diagnostic(code(trueup::cache::no_settings), help("remove `cache.config`, or use Redis"))]
    NoSettings { key: String },
}
