//! Compares the desired cache with the observed one. Pure: each declared item has one outcome, and items
//! that the spec does not name are ignored.

mod shared;
mod streams;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::apply::{Change, Unwanted};
use super::config;
use super::desired::{Desired, written};
use super::observed::{
    Failure, KeyExpiry, Observed, ObservedFile, ObservedNamespace, ObservedRedis, ObservedStream,
};
use crate::address::{Address, Kind};
use crate::change::{Action, Check, Diff, Fault, Held, Planned, Risks, Status};
use crate::digest::Digest;
use crate::journal::Inventory;
use crate::location::Location;
use crate::stack::{CacheUrl, Namespace};
use crate::suggest;
use streams::{Known, gone_streams, stream};

/// The inventory has the groups that this tool created.
pub fn diff(desired: &Desired, observed: &Observed, inventory: &Inventory) -> Diff<Change> {
    match (&desired.endpoint.to, observed) {
        (_, Observed::Unreachable { failure, message }) => unreachable(desired, *failure, message),
        (Ok(CacheUrl::Redis(_)) | Err(_), Observed::Redis(seen)) => redis(desired, seen, inventory),
        (Ok(CacheUrl::Sqlite(_)) | Err(_), Observed::Embedded(seen)) => embedded(desired, seen, inventory),
        // A saved world that was observed while the spec had the other kind of cache.
        (Ok(CacheUrl::Sqlite(_)), Observed::Redis(_)) | (Ok(CacheUrl::Redis(_)), Observed::Embedded(_)) => {
            let deferred =
                desired.addresses().into_iter().map(|address| held(address, NOT_OBSERVED)).collect();
            Diff { deferred, ..Diff::default() }
        }
    }
}

const NOT_OBSERVED: &str = "not observed";

/// The outcome of comparing one item.
enum Comparison {
    Unchanged,
    Change(Box<Planned<Change>>),
    Check(Check),
    Deferred(Held),
    Blocked(Held),
    Fault(Fault),
}

impl FromIterator<Comparison> for Diff<Change> {
    fn from_iter<I: IntoIterator<Item = Comparison>>(verdicts: I) -> Self {
        let mut diff = Self::default();
        for verdict in verdicts {
            match verdict {
                Comparison::Unchanged => diff.unchanged += 1,
                Comparison::Change(planned) => diff.changes.push(*planned),
                Comparison::Check(check) => diff.checks.push(check),
                Comparison::Deferred(held) => diff.deferred.push(held),
                Comparison::Blocked(held) => diff.blocked.push(held),
                Comparison::Fault(fault) => diff.faults.push(fault),
            }
        }
        diff
    }
}

fn unreachable(desired: &Desired, failure: Failure, message: &str) -> Diff<Change> {
    let reason = match failure {
        Failure::Down => "the cache does not answer",
        Failure::Authentication => "the cache refuses the user or password",
        Failure::Unusable => "the cache cannot be used",
    };
    Diff {
        checks: vec![Check::new(Kind::Cache, Status::Fail, message)],
        blocked: desired.addresses().into_iter().map(|address| held(address, reason)).collect(),
        ..Diff::default()
    }
}

fn redis(desired: &Desired, seen: &ObservedRedis, inventory: &Inventory) -> Diff<Change> {
    let ObservedRedis { version, place, config, absent_databases, keys, streams, streams_complete } = seen;
    let known = Known { inventory, place: *place };
    let reachable = match version {
        Some(version) => format!("Redis {version}"),
        None => "Redis answers".to_owned(),
    };
    let checks = [Some(Check::new(Kind::Cache, Status::Pass, reachable)), eviction(desired, config.as_ref())];
    let checks = checks.into_iter().flatten().map(Comparison::Check);

    let numbers = absent_numbers(desired, config.as_ref(), absent_databases);

    let settings = match config {
        Some(seen) => desired.config.iter().map(|(key, value)| setting(desired, key, value, seen)).collect(),
        None => forbidden_config(desired),
    };
    let namespaces = desired.namespaces.iter().map(|(name, namespace)| {
        expiry(name, namespace, desired.streams_under(&namespace.prefix), keys.get(&namespace.prefix))
    });
    let wanted_streams = desired.streams.iter().map(|(name, wanted)| match streams.get(name) {
        // Redis has no maximum length: producers pass it with each XADD.
        Some(seen) => stream(name, wanted, None, seen, known),
        None if *streams_complete => stream(name, wanted, None, &ObservedStream::Missing, known),
        None => Comparison::Deferred(held(Kind::Stream.named(name), NOT_OBSERVED)),
    });
    let gone = gone_streams(desired, streams, known);
    let mut diff: Diff<Change> =
        checks.chain(numbers).chain(settings).chain(namespaces).chain(wanted_streams).chain(gone).collect();
    diff.notes.extend(maxlen_note(desired, &diff.changes));
    diff.notes.extend(shared::notes(desired, &diff.changes, streams, inventory));
    diff
}

fn embedded(desired: &Desired, seen: &ObservedFile, inventory: &Inventory) -> Diff<Change> {
    let ObservedFile { version, place, namespaces, keys, streams } = seen;
    let known = Known { inventory, place: *place };
    let reachable = match version {
        Some(version) => format!("embedded in SQLite {version}"),
        None => "embedded; its file is made when it is first needed".to_owned(),
    };
    let checks = std::iter::once(Comparison::Check(Check::new(Kind::Cache, Status::Pass, reachable)));

    let settings = desired.config.keys().map(|key| {
        fault(
            Kind::Config.named(key),
            "an embedded cache has no settings",
            "remove `cache.config`, or use Redis",
            desired,
        )
    });
    let wanted_namespaces = desired.namespaces.iter().map(|(name, wanted)| {
        recorded_namespace(name, wanted, namespaces.get(name), keys.get(&wanted.prefix))
    });
    let wanted_streams = desired.streams.iter().map(|(name, wanted)| {
        stream(name, wanted, wanted.maxlen, streams.get(name).unwrap_or(&ObservedStream::Missing), known)
    });
    let gone = gone_streams(desired, streams, known);
    checks.chain(settings).chain(wanted_namespaces).chain(wanted_streams).chain(gone).collect()
}

/// A check for db numbers of `cache.databases` that the server does not have.
fn absent_numbers(
    desired: &Desired,
    config: Option<&BTreeMap<String, String>>,
    absent: &BTreeSet<u32>,
) -> Vec<Comparison> {
    let count = config.and_then(config::databases);
    let is_absent = |number: &u32| absent.contains(number) || count.is_some_and(|count| *number >= count);
    let has = match count {
        Some(count @ 1..) => format!("the server has the numbers 0 to {}", count - 1),
        Some(0) | None => "the server does not have this number".to_owned(),
    };
    let fault_of = |(name, number): (&String, &u32)| {
        let message = format!("{name} is to live on db {number}, and {has}");
        let help = "write a number that the server has, or raise `databases` in the server's own configuration \
                    and restart it";
        fault(Kind::Databases.alone(), &message, help, desired)
    };
    desired.databases.iter().filter(|(_, number)| is_absent(number)).map(fault_of).collect()
}

/// Compares `cache.config.KEY`.
fn setting(desired: &Desired, key: &str, wanted: &str, config: &BTreeMap<String, String>) -> Comparison {
    let address = Kind::Config.named(key);
    let name = key.to_ascii_lowercase();
    if config::is_secret(&name) {
        let help = "set it where the server is configured; the password that is used stands in `cache.url`";
        return fault(address, "a secret of the server is not a setting to manage", help, desired);
    }
    match config.get(&name) {
        None => {
            let help = suggest::meant(&name, config.keys().map(String::as_str)).unwrap_or_default();
            fault(address, "this server has no such setting", help, desired)
        }
        Some(seen) if config::is_same(&name, wanted, seen) => Comparison::Unchanged,
        Some(seen) => Comparison::Change(Box::new(Planned {
            summary: format!("{key}: {} → {}", shown(&config::as_written(seen, wanted)), shown(wanted)),
            before: Some(json!(seen)),
            after: Some(json!(wanted)),
            ..planned(
                address,
                (Action::Update, "value differs"),
                Digest::of_json(seen),
                &desired.at,
                Change::Config { key: name, value: wanted.to_owned() },
            )
        })),
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "(empty)" } else { value }
}

/// Managed servers forbid CONFIG, so the settings can only be reported for manual checks.
fn forbidden_config(desired: &Desired) -> Vec<Comparison> {
    let by_hand: Vec<String> = desired
        .config
        .iter()
        .filter(|(key, _)| !config::is_secret(key))
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    if by_hand.is_empty() {
        return Vec::new();
    }
    let message = format!("the server forbids CONFIG; check and set by hand: {}", by_hand.join(", "));
    vec![Comparison::Check(Check::new(Kind::Config, Status::Warn, message))]
}

/// Warns if the resulting eviction policy may evict keys that are not cache entries.
fn eviction(desired: &Desired, config: Option<&BTreeMap<String, String>>) -> Option<Check> {
    const POLICY: &str = "maxmemory-policy";
    let policy = match config {
        Some(seen) => desired.config.get(POLICY).or_else(|| seen.get(POLICY)),
        None => None,
    }?;
    let broker = desired.databases.get("broker").map(|db| format!("the broker's jobs on db {db}"));
    let streams = (!desired.streams.is_empty()).then(|| "streams".to_owned());
    let lost: Vec<String> = [broker, streams].into_iter().flatten().collect();
    let evicts = policy.to_ascii_lowercase().starts_with("allkeys-") && !lost.is_empty();
    evicts.then(|| {
        let message = format!(
            "maxmemory-policy {policy} may evict sessions and jobs ({}): \
             use a volatile-* policy or noeviction, or another instance",
            lost.join(", ")
        );
        Check::new(Kind::Databases, Status::Warn, message)
    })
}

/// Compares `cache.namespace.NAME` on Redis. It records no namespaces, so only the keys are
/// examined.
fn expiry(name: &str, wanted: &Namespace, spare: BTreeSet<String>, seen: Option<&KeyExpiry>) -> Comparison {
    let Namespace { prefix, ttl, at } = wanted;
    let address = Kind::Namespace.named(name);
    match seen {
        None => Comparison::Deferred(held(address, NOT_OBSERVED)),
        Some(KeyExpiry::Expiring) => Comparison::Unchanged,
        Some(seen @ KeyExpiry::SomeWithoutTtl) => Comparison::Change(Box::new(Planned {
            summary: format!("some keys under {prefix:?} have no TTL: they get {}", written(*ttl)),
            before: Some(json!({ "keys_without_ttl": "some" })),
            after: Some(json!({ "keys_without_ttl": "none", "ttl": written(*ttl) })),
            ..planned(
                address,
                (Action::Update, "some keys without a TTL"),
                Digest::of_json(seen),
                at,
                Change::Namespace { name: name.to_owned(), prefix: prefix.clone(), ttl: *ttl, spare },
            )
        })),
        Some(KeyExpiry::OverBudget) => Comparison::Check(Check {
            address,
            status: Status::Warn,
            message: format!(
                "too many keys to look at all under {prefix:?}: none without a TTL found so far"
            ),
        }),
        Some(KeyExpiry::Forbidden) => Comparison::Check(Check {
            address,
            status: Status::Warn,
            message: format!(
                "the server does not let this user look at the keys under {prefix:?} (SCAN, TTL)"
            ),
        }),
    }
}

/// Compares `cache.namespace.NAME` on an embedded cache, which records its namespaces.
fn recorded_namespace(
    name: &str,
    wanted: &Namespace,
    recorded: Option<&ObservedNamespace>,
    keys: Option<&KeyExpiry>,
) -> Comparison {
    let Namespace { prefix, ttl, at } = wanted;
    let address = Kind::Namespace.named(name);
    let change = |action, reason: &str, summary: String, before: Option<Value>| {
        Comparison::Change(Box::new(Planned {
            summary,
            before,
            after: Some(json!({ "prefix": prefix, "ttl": written(*ttl) })),
            ..planned(
                address.clone(),
                (action, reason),
                Digest::of_json(&(recorded, keys)),
                at,
                Change::Namespace {
                    name: name.to_owned(),
                    prefix: prefix.clone(),
                    ttl: *ttl,
                    spare: BTreeSet::new(),
                },
            )
        }))
    };
    let entry = format!("keys under {prefix:?} live {}", written(*ttl));
    match (recorded, keys) {
        (None, _) => change(Action::Create, "missing", entry, None),
        (Some(ObservedNamespace { prefix: was, ttl_seconds }), keys) => {
            let was_ttl = std::time::Duration::from_secs(*ttl_seconds);
            let before = Some(json!({ "prefix": was, "ttl": written(was_ttl) }));
            match (was == prefix, *ttl_seconds == ttl.as_secs(), keys) {
                (false, true, _) => change(Action::Update, "prefix differs", entry, before),
                (true, false, _) => change(Action::Update, "ttl differs", entry, before),
                (false, false, _) => change(Action::Update, "prefix and ttl differ", entry, before),
                (true, true, Some(KeyExpiry::SomeWithoutTtl)) => {
                    let summary =
                        format!("some keys under {prefix:?} have no TTL: they get {}", written(*ttl));
                    change(Action::Update, "some keys without a TTL", summary, before)
                }
                (true, true, Some(KeyExpiry::Expiring)) => Comparison::Unchanged,
                (true, true, None | Some(KeyExpiry::OverBudget | KeyExpiry::Forbidden)) => {
                    Comparison::Deferred(held(address.clone(), NOT_OBSERVED))
                }
            }
        }
    }
}

/// A note for new streams on Redis: the server does not limit their length.
fn maxlen_note(desired: &Desired, changes: &[Planned<Change>]) -> Option<String> {
    let limited = |planned: &Planned<Change>| match &planned.change {
        Change::Stream { name, .. } => {
            desired.streams.get(name).is_some_and(|stream| stream.maxlen.is_some())
        }
        Change::Config { .. } | Change::Namespace { .. } | Change::TakeBack { .. } => false,
    };
    changes.iter().any(limited).then(|| {
        "cache: Redis keeps no maxlen of a stream; producers apply it (XADD key MAXLEN ~ n * …)".to_owned()
    })
}

/// A change without its display values.
fn planned(
    address: Address,
    (action, reason): (Action, &str),
    seen: Digest,
    at: &Location,
    change: Change,
) -> Planned<Change> {
    Planned {
        address,
        action,
        risks: Risks::SAFE,
        reason: reason.to_owned(),
        needs: Vec::new(),
        summary: String::new(),
        before: None,
        after: None,
        diff: None,
        seen,
        guard: None,
        at: Some(at.clone()),
        change,
    }
}

fn held(address: Address, reason: &str) -> Held {
    Held { address, reason: reason.to_owned() }
}

fn fault(address: Address, message: &str, help: impl Into<String>, desired: &Desired) -> Comparison {
    let (message, help) = (message.to_owned(), Some(help.into()));
    Comparison::Fault(Fault { address, message, help, at: Some(desired.at.clone()) })
}
