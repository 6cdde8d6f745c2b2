//! Lists the streams of a Redis server and their consumer groups within a time budget, and deletes
//! idle groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redis::{Pipeline, RedisResult, Value};
use tokio::time::Instant;

use super::Failure;
use super::connect::Connection;
use super::keys::Scan;
use super::server::is_forbidden;
use crate::cache::observed::{GroupUse, ObservedStream};
use crate::journal::lock::Fence;

/// For listing the streams of the db.
const STREAMS_BUDGET: Duration = Duration::from_secs(2);
/// Streams per pipeline: a stream may have many groups, and the size of a response is limited.
const STREAMS: usize = 100;

/// The requested streams and, within the budget, all others. The boolean is true where those are
/// all.
pub(super) async fn read_streams(
    connection: &mut Connection,
    asked: &BTreeSet<&str>,
) -> RedisResult<(BTreeMap<String, ObservedStream>, bool)> {
    let mut names: BTreeSet<String> = asked.iter().map(|name| (*name).to_owned()).collect();
    let deadline = Instant::now() + STREAMS_BUDGET;
    let mut scan = Scan::streams();
    let complete = loop {
        match scan.page(connection).await {
            Ok(None) => break true,
            // A spec cannot contain a name that is not UTF-8.
            Ok(Some(keys)) => names.extend(keys.into_iter().filter_map(|key| String::from_utf8(key).ok())),
            Err(error) if is_forbidden(&error) => break false,
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            break false;
        }
    };
    let names: Vec<String> = names.into_iter().collect();
    let mut streams = BTreeMap::new();
    for batch in names.chunks(STREAMS) {
        let mut pipeline = Pipeline::with_capacity(batch.len() * 2);
        pipeline.ignore_errors();
        for name in batch {
            pipeline.cmd("TYPE").arg(name).cmd("XINFO").arg("GROUPS").arg(name);
        }
        let answers: Vec<Value> = pipeline.query_async(connection).await?;
        let mut answers = answers.into_iter();
        for name in batch {
            let (Some(kind), Some(groups)) = (answers.next(), answers.next()) else { break };
            streams.insert(name.clone(), stream_of(connection, name, kind, groups).await?);
        }
    }
    Ok((streams, complete))
}

/// Parses the responses to TYPE and XINFO GROUPS for a key.
async fn stream_of(
    connection: &mut Connection,
    name: &str,
    kind: Value,
    groups: Value,
) -> RedisResult<ObservedStream> {
    match groups.extract_error() {
        Ok(groups) => {
            let groups: Vec<HashMap<String, Value>> = redis::from_redis_value(groups)?;
            let newest = if groups.iter().any(needs_newest) { newest(connection, name).await? } else { None };
            let named = |group: &HashMap<String, Value>| {
                let name = redis::from_redis_value_ref::<String>(group.get("name")?).ok()?;
                Some((name, use_of(group, newest.as_ref())))
            };
            Ok(ObservedStream::Stream { groups: groups.iter().filter_map(named).collect(), maxlen: None })
        }
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(ObservedStream::NotAStream),
        // XINFO has only the generic code for a missing key.
        Err(error) if error.code() == Some("ERR") && is_none(kind) => Ok(ObservedStream::Missing),
        Err(error) if is_forbidden(&error) => Ok(ObservedStream::Forbidden),
        Err(error) => Err(error),
    }
}

/// Whether a response to TYPE means a missing key; true also where TYPE is forbidden.
fn is_none(kind: Value) -> bool {
    let kind = kind.extract_error().and_then(|kind| Ok(redis::from_redis_value::<String>(kind)?));
    kind.map_or(true, |kind| kind == "none")
}

fn count(group: &HashMap<String, Value>, key: &str) -> Option<i64> {
    group.get(key).and_then(|value| redis::from_redis_value_ref(value).ok())
}

/// Whether the newest entry of the stream is needed to decide if the group is idle: there is no `lag`
/// before Redis 7, and it may be unknown later.
fn needs_newest(group: &HashMap<String, Value>) -> bool {
    (count(group, "consumers"), count(group, "pending"), count(group, "lag")) == (Some(0), Some(0), None)
}

/// The id of the newest entry that a stream ever had; `None` where it is forbidden. The response contains
/// two entries, which may be large, so it is requested for one stream at a time.
async fn newest(connection: &mut Connection, name: &str) -> RedisResult<Option<Value>> {
    let asked = redis::cmd("XINFO").arg("STREAM").arg(name).query_async(connection).await;
    match asked {
        Ok::<HashMap<String, Value>, _>(mut stream) => Ok(stream.remove("last-generated-id")),
        // Groups of a stream that cannot be inspected are kept.
        Err(error) if error.code().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A group is in use if it has consumers, pending entries, or unread ones.
fn use_of(group: &HashMap<String, Value>, newest: Option<&Value>) -> GroupUse {
    let has_read_all =
        count(group, "lag") == Some(0) || (newest.is_some() && group.get("last-delivered-id") == newest);
    if (count(group, "consumers"), count(group, "pending"), has_read_all) == (Some(0), Some(0), true) {
        GroupUse::Idle
    } else {
        GroupUse::InUse
    }
}

/// Deletes the idle ones of the groups, atomically with the check.
pub(super) async fn remove_idle(
    connection: &mut Connection,
    name: &str,
    groups: &BTreeSet<String>,
    fence: &Fence,
) -> Result<BTreeSet<String>, Failure> {
    /// A stream that changes all the time is skipped after these attempts.
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        let mut look = Pipeline::with_capacity(3);
        look.ignore_errors();
        look.cmd("WATCH").arg(name).cmd("TYPE").arg(name).cmd("XINFO").arg("GROUPS").arg(name);
        let answers: Vec<Value> = look.query_async(connection).await?;
        let [_, kind, groups_seen] =
            <[Value; 3]>::try_from(answers).unwrap_or([Value::Nil, Value::Nil, Value::Nil]);
        let seen = match stream_of(connection, name, kind, groups_seen).await? {
            ObservedStream::Stream { groups, maxlen: _ } => groups,
            ObservedStream::Missing | ObservedStream::NotAStream | ObservedStream::Forbidden => {
                BTreeMap::new()
            }
        };
        let is = |group: &&String, wanted| seen.get(*group) == Some(&wanted);
        let kept = groups.iter().filter(|group| is(group, GroupUse::InUse)).cloned().collect();
        let idle: Vec<&String> = groups.iter().filter(|group| is(group, GroupUse::Idle)).collect();
        if idle.is_empty() {
            redis::cmd("UNWATCH").exec_async(connection).await?;
            return Ok(kept);
        }
        let mut removal = Pipeline::with_capacity(idle.len());
        removal.atomic();
        for group in idle {
            removal.cmd("XGROUP").arg("DESTROY").arg(name).arg(group);
        }
        fence.check().await?;
        // The response is empty where another client changed the stream since WATCH.
        if removal.query_async::<Option<Vec<Value>>>(connection).await?.is_some() {
            return Ok(kept);
        }
    }
    Ok(groups.clone())
}
