//! Executes one change. Idempotent: a change acts on what it finds, so that running it twice, or
//! again after being killed in the middle, ends the same. Decides nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Client, Connector, Error};
use crate::digest::Fingerprint;

/// One step, with all that executing it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set a setting of the server.
    Config {
        /// In lower case.
        key: String,
        /// As the spec writes it.
        value: String,
    },
    /// Record a namespace, where the cache records them, and give its keys without a TTL one.
    Namespace {
        name: String,
        /// What its keys begin with.
        prefix: String,
        /// The TTL that keys without one get.
        ttl: Duration,
        /// Keys under the prefix that are streams and get none.
        spare: BTreeSet<String>,
    },
    /// Make a stream and groups that are missing; existing ones keep their position.
    /// Take back groups that nobody works with.
    Stream {
        /// Its name, which is its key.
        name: String,
        /// The groups to make, from the stream's beginning.
        groups: BTreeSet<String>,
        unwanted: Unwanted,
        /// The entries it shall keep, where the cache records it.
        maxlen: Option<u64>,
    },
    /// Take back groups of a stream that is gone from the spec; the stream stays.
    TakeBack { name: String, unwanted: Unwanted },
}

/// Groups that this tool made and the spec no longer wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwanted {
    /// Those that are there, and that nobody works with.
    pub groups: BTreeSet<String>,
    /// What the inventory calls them, and those that are gone already.
    pub known_as: Vec<Fingerprint>,
}

/// What a change found when it was executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Groups that it was to make, and that somebody else had made meanwhile.
    pub found: BTreeSet<String>,
    /// Groups that it was to take back, and that somebody works with now.
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
