//! What the spec wants of the cache. Values only: contacts nothing, and knows no observation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::address::{Address, Kind};
use crate::location::Location;
use crate::stack::{self, CacheUrl, Namespace, Stream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Redis,
    /// An SQLite file.
    Embedded,
}

/// What the spec wants of the cache.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Which kind it is; `None` while the URL's variable is unset, which only a plan against a
    /// saved world allows.
    pub backend: Option<Backend>,
    /// What lives on which db number.
    pub databases: BTreeMap<String, u32>,
    /// Settings, as written.
    pub config: BTreeMap<String, String>,
    /// By name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// By name, which is the stream's key.
    pub streams: BTreeMap<String, Stream>,
    pub at: Location,
}

impl Desired {
    /// What a spec's `cache:` wants.
    pub fn new(cache: &stack::Cache) -> Self {
        let stack::Cache { endpoint, databases, config, namespaces, streams, at } = cache;
        let backend = match &endpoint.to {
            Ok(CacheUrl::Redis(_)) => Some(Backend::Redis),
            Ok(CacheUrl::Sqlite(_)) => Some(Backend::Embedded),
            Err(_) => None,
        };
        Self {
            backend,
            databases: databases.clone(),
            config: config.clone(),
            namespaces: namespaces.clone(),
            streams: streams.clone(),
            at: at.clone(),
        }
    }

    /// Every address that the spec wants something at, sorted.
    pub(super) fn addresses(&self) -> BTreeSet<Address> {
        let config = self.config.keys().map(|key| config_address(key));
        let namespaces = self.namespaces.keys().map(|name| namespace_address(name));
        let streams = self.streams.keys().map(|name| stream_address(name));
        config.chain(namespaces).chain(streams).collect()
    }

    /// The streams whose keys begin with `prefix`: they are no entries of a namespace, and a TTL
    /// would delete them.
    pub(super) fn streams_under(&self, prefix: &str) -> BTreeSet<String> {
        let from_prefix = self.streams.range(prefix.to_owned()..);
        from_prefix.map(|(name, _)| name).take_while(|name| name.starts_with(prefix)).cloned().collect()
    }
}

pub(super) fn config_address(key: &str) -> Address {
    Kind::Config.named(key)
}

pub(super) fn namespace_address(name: &str) -> Address {
    Kind::Namespace.named(name)
}

pub(super) fn stream_address(name: &str) -> Address {
    Kind::Stream.named(name)
}

/// A duration as a spec would write it: `24h`, `90s`.
pub(super) fn written(duration: Duration) -> String {
    const UNITS: [(u64, &str); 2] = [(3_600, "h"), (60, "m")];
    let seconds = duration.as_secs();
    let fits = |(size, _): &&(u64, &str)| seconds >= *size && seconds.is_multiple_of(*size);
    match UNITS.iter().find(fits) {
        Some((size, unit)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }
}
