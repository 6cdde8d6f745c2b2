//! The observed cache. Reads only. Everything that the store can list is included; keys are included for
//! the requested prefixes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Client, Connector, Desired, Error};
use crate::digest::Fingerprint;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    Unreachable {
        failure: Failure,
        /// The error for display, without secrets.
        message: String,
    },
    Redis(ObservedRedis),
    /// An SQLite file, which may not exist yet.
    Embedded(ObservedFile),
}

impl Observed {
    /// The name and version of the server or library, for `status`.
    pub fn version(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => None,
            Self::Redis(ObservedRedis { version, .. }) => Some(
                version.as_ref().map_or_else(|| "Redis".to_owned(), |version| format!("Redis {version}")),
            ),
            Self::Embedded(ObservedFile { version, .. }) => Some(
                version.as_ref().map_or_else(|| "SQLite".to_owned(), |version| format!("SQLite {version}")),
            ),
        }
    }
}

/// Why a cache could not be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    Down,
    /// The server rejects the user or the password.
    Authentication,
    /// It cannot be managed by this tool: a replica, a cluster node, a file of another format.
    Unusable,
}

/// A Redis server, in the db number of the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedRedis {
    pub version: Option<String>,
    /// The fingerprint of host, port and db number in the URL. Inventory entries of another server
    /// do not apply here.
    pub place: Option<Fingerprint>,
    /// All settings except secret ones; `None` where the server forbids CONFIG.
    pub config: Option<BTreeMap<String, String>>,
    /// The requested db numbers that the server does not have. Queried only where it forbids CONFIG, which
    /// has their number.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub absent_databases: BTreeSet<u32>,
    /// By prefix, for the requested ones.
    pub keys: BTreeMap<String, KeyExpiry>,
    /// By key: the existing ones and the requested ones.
    pub streams: BTreeMap<String, ObservedStream>,
    /// Whether `streams` has every stream: the scan has a time budget.
    pub streams_complete: bool,
}

/// The TTLs of the keys under a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyExpiry {
    Expiring,
    SomeWithoutTtl,
    /// The scan reached its time budget before it found a key without TTL.
    OverBudget,
    /// The user lacks the permission.
    Forbidden,
}

/// The value at a stream's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedStream {
    Missing,
    /// A value of another type.
    NotAStream,
    /// The user lacks the permission.
    Forbidden,
    Stream {
        groups: BTreeMap<String, GroupUse>,
        /// The maximum number of entries. Recorded by an embedded cache only, not by Redis.
        maxlen: Option<u64>,
    },
}

/// Whether a consumer group is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupUse {
    /// No consumer, no pending and no unread entry: recreating it loses nothing.
    Idle,
    /// In use, or unknown.
    InUse,
}

/// An embedded cache; empty while the file does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedFile {
    /// The version of the SQLite library; `None` while the file does not exist.
    pub version: Option<String>,
    /// The fingerprint of the file's name.
    pub place: Option<Fingerprint>,
    /// By name.
    pub namespaces: BTreeMap<String, ObservedNamespace>,
    /// By prefix, for the requested ones.
    pub keys: BTreeMap<String, KeyExpiry>,
    /// By name; all that exist.
    pub streams: BTreeMap<String, ObservedStream>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedNamespace {
    pub prefix: String,
    pub ttl_seconds: u64,
}

/// Never fails: a cache that cannot be reached is an observation too.
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
