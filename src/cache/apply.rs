//! Executes one change. Idempotent: it acts on the current state, so it can run twice or be resumed
//! after a kill.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Client, Connector, Error};
use crate::digest::Fingerprint;

/// An action on the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Change a setting of the server.
    Config {
        /// In lower case.
        key: String,
        /// As in the spec.
        value: String,
    },
    /// Record a namespace, where the cache supports that, and set a TTL on its keys without one.
    Namespace {
        name: String,
        prefix: String,
        /// For keys that have none.
        ttl: Duration,
        /// Streams under the prefix, which must not expire.
        spare: BTreeSet<String>,
    },
    /// Create a stream and its missing groups, where existing ones keep their position. Delete idle groups
    /// that are no longer declared.
    Stream {
        /// Also the key of the stream.
        name: String,
        /// The groups to create, which read from the stream's beginning.
        groups: BTreeSet<String>,
        unwanted: Unwanted,
        /// The maximum number of entries, where the cache records it.
        maxlen: Option<u64>,
    },
    /// Delete groups of a stream that was removed from the spec; the stream is kept.
    TakeBack { name: String, unwanted: Unwanted },
}

/// Groups that this tool created and that are no longer declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwanted {
    /// The existing, idle ones.
    pub groups: BTreeSet<String>,
    /// Their inventory keys, and those of groups that were deleted already.
    pub known_as: Vec<Fingerprint>,
}

/// The differences that a change found at execution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Groups to create that another client had created since the plan.
    pub found: BTreeSet<String>,
    /// Groups to delete that are in use again.
    pub kept: BTreeSet<String>,
}

pub async fn apply(change: &Change, client: &Client) -> Result<Applied, Error> {
    let nothing_found = |()| Applied::default();
    match (&client.0, change) {
        (Connector::Redis(redis), Change::Config { key, value }) => {
            redis.set_config(key, value).await.map(nothing_found)
        }
        (Connector::Redis(redis), Change::Namespace { name: _, prefix, ttl, spare }) => {
            redis.expire(prefix, *ttl, spare).await.map(nothing_found)
        }
        (Connector::Redis(redis), Change::Stream { name, groups, unwanted, maxlen: _ }) => {
            let found = redis.make_stream(name, groups).await?;
            Ok(Applied { found, kept: redis.remove_groups(name, &unwanted.groups).await? })
        }
        (Connector::Redis(redis), Change::TakeBack { name, unwanted }) => {
            Ok(Applied { kept: redis.remove_groups(name, &unwanted.groups).await?, ..Applied::default() })
        }
        (Connector::Embedded(_), Change::Config { key, value: _ }) => {
            Err(Error::NoSettings { key: key.clone() })
        }
        (Connector::Embedded(embedded), Change::Namespace { name, prefix, ttl, spare: _ }) => {
            embedded.put_namespace(name, prefix, *ttl).await.map(nothing_found)
        }
        (Connector::Embedded(embedded), Change::Stream { name, groups, unwanted, maxlen }) => {
            let found = embedded.put_stream(name, groups, *maxlen).await?;
            Ok(Applied { found, kept: embedded.remove_groups(name, &unwanted.groups).await? })
        }
        (Connector::Embedded(embedded), Change::TakeBack { name, unwanted }) => {
            Ok(Applied { kept: embedded.remove_groups(name, &unwanted.groups).await?, ..Applied::default() })
        }
    }
}
