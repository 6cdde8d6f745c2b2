//! Streams of a Redis server and their consumer groups: listed within a budget of time, and groups
//! removed only while nobody works with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redis::{Pipeline, RedisResult, Value};
use tokio::time::Instant;

use super::Failure;
use super::connect::Connection;
use super::keys::Scan;
use super::server::is_forbidden;
use crate::cache::observed::{GroupSeen, StreamSeen};
use crate::journal::lock::Fence;

/// For listing the streams of the db.
const STREAMS_BUDGET: Duration = Duration::from_secs(2);
/// Streams that are asked about at one time: a stream may have many groups, and an answer has a limit.
const STREAMS: usize = 100;

/// The streams that were asked and, within the budget, all others; and whether those are all.
pub(super) async fn read_streams(
    connection: &mut Connection,
    asked: &BTreeSet<&str>,
) -> RedisResult<(BTreeMap<String, StreamSeen>, bool)> {
    let mut names: BTreeSet<String> = asked.iter().map(|name| (*name).to_owned()).collect();
    let deadline = Instant::now() + STREAMS_BUDGET;
    let mut scan = Scan::streams();
    let complete = loop {
        match scan.page(connection).await {
            Ok(None) => break true,
            // A name that is no text cannot stand in a spec.
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

/// What the answers to TYPE and XINFO GROUPS say of a key.
async fn stream_of(
    connection: &mut Connection,
    name: &str,
    kind: Value,
    groups: Value,
) -> RedisResult<StreamSeen> {
    match groups.extract_error() {
        Ok(groups) => {
            let groups: Vec<HashMap<String, Value>> = redis::from_redis_value(groups)?;
            let newest = if groups.iter().any(needs_newest) { newest(connection, name).await? } else { None };
            let named = |group: &HashMap<String, Value>| {
                let name = redis::from_redis_value_ref::<String>(group.get("name")?).ok()?;
                Some((name, use_of(group, newest.as_ref())))
            };
            Ok(StreamSeen::Stream { groups: groups.iter().filter_map(named).collect(), maxlen: None })
        }
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(StreamSeen::NotAStream),
        // Of a key that does not exist XINFO has no code of its own.
        Err(error) if error.code() == Some("ERR") && is_none(kind) => Ok(StreamSeen::Missing),
        Err(error) if is_forbidden(&error) => Ok(StreamSeen::Forbidden),
        Err(error) => Err(error),
    }
}

/// Whether an answer to TYPE says that there is no such key; so too where it may not be asked.
fn is_none(kind: Value) -> bool {
    let kind = kind.extract_error().and_then(|kind| Ok(redis::from_redis_value::<String>(kind)?));
    kind.map_or(true, |kind| kind == "none")
}

fn count(group: &HashMap<String, Value>, key: &str) -> Option<i64> {
    group.get(key).and_then(|value| redis::from_redis_value_ref(value).ok())
}

/// Whether a group is idle if its last entry is the newest: before Redis 7 there is no `lag`, and later
/// it may be unknown.
fn needs_newest(group: &HashMap<String, Value>) -> bool {
    (count(group, "consumers"), count(group, "pending"), count(group, "lag")) == (Some(0), Some(0), None)
}

/// The id of the newest entry that a stream ever had; `None` where that may not be asked. The answer has
/// two entries of the stream too, which may be large: it is asked of one stream at a time.
async fn newest(connection: &mut Connection, name: &str) -> RedisResult<Option<Value>> {
    let asked = redis::cmd("XINFO").arg("STREAM").arg(name).query_async(connection).await;
    match asked {
        Ok::<HashMap<String, Value>, _>(mut stream) => Ok(stream.remove("last-generated-id")),
        // A stream that may not be looked at is one of which nothing is taken back.
        Err(error) if error.code().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a group has consumers, something pending, or something to read.
fn use_of(group: &HashMap<String, Value>, newest: Option<&Value>) -> GroupSeen {
    let has_read_all =
        count(group, "lag") == Some(0) || (newest.is_some() && group.get("last-delivered-id") == newest);
    if (count(group, "consumers"), count(group, "pending"), has_read_all) == (Some(0), Some(0), true) {
        GroupSeen::Idle
    } else {
        GroupSeen::InUse
    }
}

/// Removes those of the groups that are idle, in one step with finding that they are.
pub(super) async fn remove_idle(
    connection: &mut Connection,
    name: &str,
    groups: &BTreeSet<String>,
    fence: &Fence,
) -> Result<BTreeSet<String>, Failure> {
    /// A stream that is busy all the time is left alone.
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        let mut look = Pipeline::with_capacity(3);
        look.ignore_errors();
        look.cmd("WATCH").arg(name).cmd("TYPE").arg(name).cmd("XINFO").arg("GROUPS").arg(name);
        let answers: Vec<Value> = look.query_async(connection).await?;
        let [_, kind, groups_seen] =
            <[Value; 3]>::try_from(answers).unwrap_or([Value::Nil, Value::Nil, Value::Nil]);
        let seen = match stream_of(connection, name, kind, groups_seen).await? {
            StreamSeen::Stream { groups, maxlen: _ } => groups,
            StreamSeen::Missing | StreamSeen::NotAStream | StreamSeen::Forbidden => BTreeMap::new(),
        };
        let is = |group: &&String, wanted| seen.get(*group) == Some(&wanted);
        let kept = groups.iter().filter(|group| is(group, GroupSeen::InUse)).cloned().collect();
        let idle: Vec<&String> = groups.iter().filter(|group| is(group, GroupSeen::Idle)).collect();
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
        // Nothing comes back when somebody touched the stream meanwhile.
        if removal.query_async::<Option<Vec<Value>>>(connection).await?.is_some() {
            return Ok(kept);
        }
    }
    Ok(groups.clone())
}
