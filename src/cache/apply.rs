//! Executes one change. Idempotent: a change acts on what it finds, so that running it twice, or
//! again after being killed in the middle, ends the same. Decides nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Client, Connector, Error};

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
        /// Its name.
        name: String,
        /// What its keys begin with.
        prefix: String,
        /// The TTL that keys without one get.
        ttl: Duration,
        /// Keys under the prefix that are streams and get none.
        spare: BTreeSet<String>,
    },
    /// Make a stream and groups that are missing; existing ones keep their position.
    Stream {
        /// Its name, which is its key.
        name: String,
        /// The groups to make, from the stream's beginning.
        groups: BTreeSet<String>,
        /// The entries it shall keep, where the cache records it.
        maxlen: Option<u64>,
    },
}

/// Executes one change.
pub async fn apply(change: &Change, client: &Client) -> Result<(), Error> {
    match (&client.0, change) {
        (Connector::Redis(redis), Change::Config { key, value }) => redis.set_config(key, value).await,
        (Connector::Redis(redis), Change::Namespace { name: _, prefix, ttl, spare }) => {
            redis.expire(prefix, *ttl, spare).await
        }
        (Connector::Redis(redis), Change::Stream { name, groups, maxlen: _ }) => {
            redis.make_stream(name, groups).await
        }
        (Connector::Embedded(_), Change::Config { key, value: _ }) => {
            Err(Error::NoSettings { key: key.clone() })
        }
        (Connector::Embedded(embedded), Change::Namespace { name, prefix, ttl, spare: _ }) => {
            embedded.put_namespace(name, prefix, *ttl).await
        }
        (Connector::Embedded(embedded), Change::Stream { name, groups, maxlen }) => {
            embedded.put_stream(name, groups, *maxlen).await
        }
    }
}
