//! The desired cache. Values only, no I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::address::{Address, Kind};

/// The validated `cache:` of the spec is used as it is.
pub type Desired = crate::stack::Cache;

impl Desired {
    /// The addresses of everything that the spec declares, sorted.
    pub(super) fn addresses(&self) -> BTreeSet<Address> {
        let config = self.config.keys().map(|key| Kind::Config.named(key));
        let namespaces = self.namespaces.keys().map(|name| Kind::Namespace.named(name));
        let streams = self.streams.keys().map(|name| Kind::Stream.named(name));
        config.chain(namespaces).chain(streams).collect()
    }

    /// The streams whose keys begin with `prefix`. They are not entries of a namespace, and a TTL
    /// would delete them.
    pub(super) fn streams_under(&self, prefix: &str) -> BTreeSet<String> {
        let from_prefix = self.streams.range(prefix.to_owned()..);
        from_prefix.map(|(name, _)| name).take_while(|name| name.starts_with(prefix)).cloned().collect()
    }
}

/// Formats a duration as in a spec: `24h`, `90s`.
pub(super) fn written(duration: Duration) -> String {
    const UNITS: [(u64, &str); 2] = [(3_600, "h"), (60, "m")];
    let seconds = duration.as_secs();
    let fits = |(size, _): &&(u64, &str)| seconds >= *size && seconds.is_multiple_of(*size);
    match UNITS.iter().find(fits) {
        Some((size, unit)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }
}
