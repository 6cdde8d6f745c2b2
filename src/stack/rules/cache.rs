//! The cache: Redis, or the embedded one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::address::{Address, map, wrong_scheme};
use super::connection;
use super::values::{
    check_range, distinct, duration, plain_key, read_each, report_unsupported, required, visible_key,
};
use crate::stack::context::Context;
use crate::stack::error::{Code, SpecError};
use crate::stack::raw::{Cache as Raw, Namespace as RawNamespace, Stream as RawStream};
use crate::stack::typed::field::{Addresses, Field, Key};
use crate::stack::yaml::tree::Span;
use crate::stack::{Cache, CacheUrl, Endpoint, Namespace, Stream};

const ACCEPTED: &str =
    "`redis://host:6379/0`, `rediss://…`, `sqlite:///absolute/path`, `sqlite://path` relative to this file";

/// A hundred years, which Redis can still represent in milliseconds.
const LONGEST_TTL: Duration = Duration::from_hours(36_500 * 24);
/// Redis parses the length as a signed number.
const LONGEST_STREAM: u64 = i64::MAX as u64;

/// Returns the cache; `None` if it is invalid.
pub(super) fn cache(cx: &Context<'_>, raw: &Raw, at: Span) -> Option<Cache> {
    let Raw { url: _, connection: _, databases, config, acl, persist, namespaces, streams, protect: _ } = raw;
    if let Some(at) = acl.at() {
        report_unsupported(cx, at, "`acl`", "remove it, and make the users of Redis yourself");
    }
    if let Some((true, at)) = persist.located() {
        report_unsupported(cx, at, "`persist`", "remove it, and run CONFIG REWRITE yourself");
    }
    let endpoint = endpoint(cx, raw, at);
    if let Some(Endpoint { to: Ok(CacheUrl::Sqlite(_)), .. }) = &endpoint {
        let redis_only = [("databases", databases.at()), ("config", config.at())];
        for (key, at) in redis_only {
            if let Some(at) = at {
                let message = format!("`{key}` is for Redis, and this cache is a file");
                cx.fail(
                    Code::NotForThisKind,
                    at,
                    message,
                    "not for this cache",
                    "remove it, or use `redis://…`",
                );
            }
        }
    }
    let databases = databases_of(cx, databases.entries());
    let config = config.entries().iter().map(|(key, value)| {
        if config_is_secret(&key.name) {
            let help = "remove it, and set it on the server";
            cx.fail(
                Code::NotForThisKind,
                key.at,
                format!("`{}` holds a secret", key.name),
                "not taken here",
                help,
            );
        }
        (key.name.clone(), value.value.as_ref().map(|setting| setting.0.clone()).unwrap_or_default())
    });
    let config = config.collect();
    let namespaces = namespaces_of(cx, namespaces.entries());
    let streams = streams_of(cx, streams.entries());
    Some(Cache {
        endpoint: endpoint?,
        databases: databases?,
        config,
        namespaces: namespaces?,
        streams: streams?,
        at: cx.at(at),
    })
}

/// Rejects secrets in `config`, because its values are shown in plans.
fn config_is_secret(key: &str) -> bool {
    matches!(key, "requirepass" | "masterauth" | "tls-key-file-pass" | "tls-client-key-file-pass")
}

fn endpoint(cx: &Context<'_>, raw: &Raw, at: Span) -> Option<Endpoint<CacheUrl>> {
    let url = match raw.url.field() {
        None => None,
        Some(Field { at, value }) => {
            let Addresses::One(written) = value.as_ref()? else {
                report_unsupported(cx, *at, "a Redis Cluster", "name one server: `url: redis://host:6379/0`");
                return None;
            };
            Some((written.as_str(), *at))
        }
    };
    let (address, written, at) =
        connection::endpoint(cx, url, &raw.connection, "the address of the cache", at, ACCEPTED)?;
    map(address, |to| match to {
        Address::Sqlite(path) => Some(CacheUrl::Sqlite(path)),
        Address::Server(url) if matches!(url.expose().scheme(), "redis" | "rediss") => {
            let database = url.expose().path().trim_matches('/');
            if !database.is_empty() && database.parse::<u32>().is_err() {
                let help = "the path of a Redis address is the number of a database, such as `/0`";
                cx.fail(Code::BadUrl, at, "the database of the address is no number", "this address", help);
                return None;
            }
            Some(CacheUrl::Redis(url))
        }
        Address::Server(_) => {
            wrong_scheme(cx, at, written, ACCEPTED);
            None
        }
    })
}

fn databases_of(cx: &Context<'_>, entries: &[(Key, Field<u32>)]) -> Option<BTreeMap<String, u32>> {
    let mut by_number: BTreeMap<u32, &Key> = BTreeMap::new();
    read_each(entries, |key, field| {
        plain_key(cx, "database", key);
        let number = field.value?;
        if let Some(first) = by_number.insert(number, key) {
            let message = format!("`{}` and `{}` share the db number {number}", first.name, key.name);
            let error = SpecError::new(Code::Same, message).at(cx.at(field.at), "the same number");
            let help = "what the cache may evict, a broker must keep: give each a number of its own";
            cx.report(error.and(cx.at(first.at), "first here").help(help));
        }
        Some(number)
    })
}

fn namespaces_of(
    cx: &Context<'_>,
    entries: &[(Key, Field<RawNamespace>)],
) -> Option<BTreeMap<String, Namespace>> {
    let mut prefixes: Vec<(&str, Span)> = Vec::new();
    let namespaces = read_each(entries, |key, field| {
        plain_key(cx, "namespace", key);
        let RawNamespace { prefix, ttl, invalidate_with, protect: _ } = field.value.as_ref()?;
        if let Some(at) = invalidate_with.at() {
            report_unsupported(cx, at, "`invalidate_with`", "remove it: keys live for their `ttl`");
        }
        let prefix = required(cx, prefix, "prefix", key.at, "what its keys begin with");
        let lifetime = required(cx, ttl, "ttl", key.at, "how long its keys live, such as `24h`")
            .map(|(_, at)| (duration(cx, ttl, Duration::from_secs(1)), at));
        if let Some((lifetime, at)) = lifetime
            && (lifetime.is_zero() || lifetime.subsec_nanos() > 0 || lifetime > LONGEST_TTL)
        {
            cx.fail(
                Code::BadValue,
                at,
                "not a time to live",
                "this value",
                "a whole number of seconds from `1s` to `36500d`; a key without a namespace lives for ever",
            );
        }
        let ((prefix, prefix_at), (lifetime, _)) = (prefix?, lifetime?);
        if prefix.is_empty() {
            cx.fail(
                Code::BadValue,
                prefix_at,
                "an empty prefix is every key",
                "this value",
                "such as `session:`",
            );
        }
        prefixes.push((prefix, prefix_at));
        Some(Namespace { prefix: prefix.clone(), ttl: lifetime, at: cx.at(key.at) })
    });
    // After sorting, a prefix directly precedes the keys that start with it.
    prefixes.sort_unstable_by_key(|(prefix, _)| *prefix);
    for ((shorter, first), (longer, second)) in prefixes.iter().zip(prefixes.iter().skip(1)) {
        if !shorter.is_empty() && longer.starts_with(shorter) {
            let message = format!("keys under `{longer}` are under `{shorter}` too");
            let error = SpecError::new(Code::Same, message).at(cx.at(*second), "this prefix");
            let help = "a key has one time to live: give the prefixes different beginnings";
            cx.report(error.and(cx.at(*first), "and this one").help(help));
        }
    }
    namespaces
}

fn streams_of(cx: &Context<'_>, entries: &[(Key, Field<RawStream>)]) -> Option<BTreeMap<String, Stream>> {
    read_each(entries, |key, field| {
        visible_key(cx, "stream", key);
        let RawStream { groups, maxlen, trim, protect: _ } = field.value.as_ref()?;
        if let Some((true, at)) = trim.located() {
            report_unsupported(cx, at, "`trim`", "remove it");
        }
        check_range(cx, maxlen, &(1..=LONGEST_STREAM));
        let groups = distinct(cx, groups, "the group");
        Some(Stream { groups, maxlen: maxlen.value().copied(), at: cx.at(key.at) })
    })
}
