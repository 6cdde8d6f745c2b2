//! The cache room: Redis, or an embedded SQLite file. The smallest component, and the example of
//! the four doors: `desired` (from the spec), `observed` (read only), `diff` (pure), `apply`.
//! A backend is one file and one arm of [`Client`]; this room knows no other component.

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
    EmbeddedSeen, Failure, GroupSeen, KeysSeen, NamespaceSeen, Observed, RedisSeen, StreamSeen, observe,
};

use crate::digest::Fingerprint;
use crate::journal::lock::{Fence, Lost};
use crate::stack::{self, CacheUrl};

/// The way to one cache. Connects when it is first used, and keeps the connection.
#[derive(Debug)]
pub struct Client(Connector);

#[derive(Debug)]
enum Connector {
    Redis(Box<redis::Redis>),
    Embedded(sqlite::Embedded),
}

impl Client {
    /// Of the place that the client leads to; see [`RedisSeen::place`].
    pub fn place(&self) -> Fingerprint {
        match &self.0 {
            Connector::Redis(redis) => redis.place(),
            Connector::Embedded(embedded) => embedded.place(),
        }
    }

    /// A client for the cache of a spec. Contacts nothing.
    pub fn new(cache: &stack::Cache) -> Result<Self, Error> {
        match &cache.endpoint.to {
            Ok(CacheUrl::Redis(url)) => {
                redis::Redis::new(url).map(|redis| Self(Connector::Redis(Box::new(redis))))
            }
            Ok(CacheUrl::Sqlite(path)) => Ok(Self(Connector::Embedded(sqlite::Embedded::new(path)))),
            Err(unset) => Err(Error::Unset { names: unset.names.join(", ") }),
        }
    }

    /// Ends the statement that runs in this process, where the cache is a file.
    pub fn interrupt(&self) {
        match &self.0 {
            Connector::Redis(_) => {}
            Connector::Embedded(embedded) => embedded.interrupt.ask(),
        }
    }

    /// The client of a run, which writes only while that holds its lock.
    #[must_use]
    pub fn behind(mut self, fence: Fence) -> Self {
        match &mut self.0 {
            Connector::Redis(redis) => redis.fence = fence,
            Connector::Embedded(embedded) => embedded.fence = fence,
        }
        self
    }
}

/// What went wrong with a cache. No message has a password in it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The run holds its lock no more.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] Lost),
    /// The URL names variables that are not set.
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
    Down {
        /// `host:port`.
        address: String,
        message: String,
    },
    /// The server answers, and does not let this user in.
    #[error("the cache at {address} refuses the user or password: {message}")]
    #[diagnostic(
        code(trueup::cache::authentication),
        help("check the user and the password in `cache.url`; the server itself is up")
    )]
    Authentication {
        /// `host:port`.
        address: String,
        message: String,
    },
    /// What is there is no cache that this tool can manage.
    #[error("{address} cannot be used as a cache: {message}")]
    #[diagnostic(code(trueup::cache::unusable), help("point `cache.url` at another server or file"))]
    Unusable {
        /// `host:port`, or the path of a file.
        address: String,
        message: String,
    },
    /// The server or the file refuses one command.
    #[error("{command} failed on {address}: {message}")]
    #[diagnostic(
        code(trueup::cache::refused),
        help("allow the command to the user of `cache.url`, or make the change by hand and plan again")
    )]
    Refused {
        /// `host:port`, or the path of a file.
        address: String,
        /// What was asked, without values.
        command: String,
        message: String,
    },
    /// A change for the other backend.
    #[error("an embedded cache has no settings such as {key}")]
    #[diagnostic(code(trueup::cache::no_settings), help("remove `cache.config`, or use Redis"))]
    NoSettings {
        /// Of `cache.config`.
        key: String,
    },
}
