//! What is there. Reads only, and leaves nothing behind; decides nothing.
//! An observation is listed whole where the store can list, and answers the prefixes it was asked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Client, Connector, Desired, Error};
use crate::digest::Fingerprint;

/// A cache as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    Unreachable {
        failure: Failure,
        /// For people; without any secret.
        message: String,
    },
    Redis(RedisSeen),
    /// An SQLite file, which may not exist yet.
    Embedded(EmbeddedSeen),
}

impl Observed {
    /// The name and version of the server or library, for `status`.
    pub fn version(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => None,
            Self::Redis(RedisSeen { version, .. }) => Some(
                version.as_ref().map_or_else(|| "Redis".to_owned(), |version| format!("Redis {version}")),
            ),
            Self::Embedded(EmbeddedSeen { version, .. }) => Some(
                version.as_ref().map_or_else(|| "SQLite".to_owned(), |version| format!("SQLite {version}")),
            ),
        }
    }
}

/// Why a cache could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    Down,
    /// It answers, and refuses the user or the password.
    Authentication,
    /// It answers, and is not what this tool can manage: a replica, a node of a cluster, a file of something else.
    Unusable,
}

/// A Redis server, in the db number of the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisSeen {
    pub version: Option<String>,
    /// Of host, port and db number, from the URL: what was put on another server is not here.
    pub place: Option<Fingerprint>,
    /// Every setting but the secret ones; `None` when the server forbids CONFIG.
    pub config: Option<BTreeMap<String, String>>,
    /// Of the db numbers that were asked, those that the server does not have; asked where it forbids
    /// CONFIG, which says how many it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub absent_databases: BTreeSet<u32>,
    /// By prefix, those that were asked.
    pub keys: BTreeMap<String, KeysSeen>,
    /// By key: those that exist, and those that were asked.
    pub streams: BTreeMap<String, StreamSeen>,
    /// Whether `streams` has every stream: a scan may run out of its time budget.
    pub streams_complete: bool,
}

/// What is known of the keys under a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysSeen {
    /// Every key has a TTL.
    Expiring,
    /// Some key has none.
    SomeWithoutTtl,
    /// The scan ran out of its time budget before it found one.
    OverBudget,
    /// The server does not let this user look.
    Forbidden,
}

/// What is at a stream's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamSeen {
    Missing,
    /// Something that is no stream.
    NotAStream,
    /// The server does not let this user look.
    Forbidden,
    Stream {
        groups: BTreeMap<String, GroupSeen>,
        /// The entries it shall keep; an embedded cache remembers it, Redis does not.
        maxlen: Option<u64>,
    },
}

/// Whether anybody works with a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSeen {
    /// It has no consumer, nothing pending and nothing left to read: who makes it again loses nothing.
    Idle,
    /// It has, or that cannot be told.
    InUse,
}

/// An embedded cache. All empty while the file does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedSeen {
    /// Of the SQLite library; `None` while the file does not exist.
    pub version: Option<String>,
    /// Of the file's name.
    pub place: Option<Fingerprint>,
    /// By name.
    pub namespaces: BTreeMap<String, NamespaceSeen>,
    /// By prefix, those that were asked.
    pub keys: BTreeMap<String, KeysSeen>,
    /// By name, all that exist.
    pub streams: BTreeMap<String, StreamSeen>,
}

/// A namespace as an embedded cache records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSeen {
    /// What its keys begin with.
    pub prefix: String,
    /// How long its keys live.
    pub ttl_seconds: u64,
}

/// Observes a cache. A cache that cannot be asked is an observation too, not an error.
pub async fn observe(desired: &Desired, client: &Client) -> Observed {
    let prefixes = desired.namespaces.values().map(|namespace| namespace.prefix.as_str()).collect();
    let observed = match &client.0 {
        Connector::Redis(redis) => {
            let streams = desired.streams.keys().map(String::as_str).collect();
            let databases = desired.databases.values().copied().collect();
            redis.observe(&prefixes, &streams, &databases).await.map(Observed::Redis)
        }
        Connector::Embedded(embedded) => embedded.observe(&prefixes).await.map(Observed::Embedded),
    };
    observed.unwrap_or_else(|error| Observed::Unreachable {
        failure: failure(&error),
        message: error.to_string(),
    })
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Down { .. } => Failure::Down,
        Error::Authentication { .. } => Failure::Authentication,
        Error::Unset { .. }
        | Error::Unusable { .. }
        | Error::Refused { .. }
        | Error::NoSettings { .. }
        | Error::LockLost(_) => Failure::Unusable,
    }
}
