//! Streams of a Redis server and their consumer groups: listed within a budget of time, and groups
//! removed only while nobody works with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use tokio::time::Instant;

use super::keys::Scan;
use super::server::is_forbidden;
use super::{BATCH, Failure};
use crate::cache::observed::{GroupSeen, StreamSeen};
use crate::journal::lock::Fence;

/// For listing the streams of the db.
const STREAMS_BUDGET: Duration = Duration::from_secs(2);

/// The streams that were asked and, within the budget, all others; and whether those are all.
pub(super) async fn read_streams(
    connection: &mut MultiplexedConnection,
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
    for batch in names.chunks(BATCH) {
        let mut pipeline = Pipeline::with_capacity(batch.len() * 2);
        pipeline.ignore_errors();
        for name in batch {
            pipeline.cmd("XINFO").arg("GROUPS").arg(name).cmd("XINFO").arg("STREAM").arg(name);
        }
        let answers: Vec<Value> = pipeline.query_async(connection).await?;
        let mut answers = answers.into_iter();
        for name in batch {
            let (Some(groups), Some(stream)) = (answers.next(), answers.next()) else { break };
            streams.insert(name.clone(), stream_of(groups, stream)?);
        }
    }
    Ok((streams, complete))
}

/// What the answers to XINFO GROUPS and XINFO STREAM say.
fn stream_of(groups: Value, stream: Value) -> RedisResult<StreamSeen> {
    match groups.extract_error() {
        Ok(groups) => Ok(StreamSeen::Stream { groups: groups_of(groups, stream)?, maxlen: None }),
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(StreamSeen::NotAStream),
        Err(error)
            if error.code() == Some("ERR") && error.detail().is_some_and(|d| d.contains("no such key")) =>
        {
            Ok(StreamSeen::Missing)
        }
        Err(error) if is_forbidden(&error) => Ok(StreamSeen::Forbidden),
        Err(error) => Err(error),
    }
}

fn groups_of(groups: Value, stream: Value) -> RedisResult<BTreeMap<String, GroupSeen>> {
    let groups: Vec<HashMap<String, Value>> = redis::from_redis_value(groups)?;
    // A stream that may not be looked at is one of which nothing is taken back.
    let stream: HashMap<String, Value> = stream
        .extract_error()
        .ok()
        .and_then(|stream| redis::from_redis_value(stream).ok())
        .unwrap_or_default();
    let newest = stream.get("last-generated-id");
    let named = |group: HashMap<String, Value>| {
        let name = group.get("name").and_then(|name| redis::from_redis_value_ref::<String>(name).ok())?;
        Some((name, use_of(&group, newest)))
    };
    Ok(groups.into_iter().filter_map(named).collect())
}

/// Whether a group has consumers, something pending, or something to read. Before Redis 7 there is
/// no `lag`, and later it may be unknown: then it has read all when its last entry is the newest.
fn use_of(group: &HashMap<String, Value>, newest: Option<&Value>) -> GroupSeen {
    let count = |key| group.get(key).and_then(|value| redis::from_redis_value_ref::<i64>(value).ok());
    let has_read_all =
        count("lag") == Some(0) || (newest.is_some() && group.get("last-delivered-id") == newest);
    if (count("consumers"), count("pending"), has_read_all) == (Some(0), Some(0), true) {
        GroupSeen::Idle
    } else {
        GroupSeen::InUse
    }
}

/// Removes those of the groups that are idle, in one step with finding that they are.
pub(super) async fn remove_idle(
    connection: &mut MultiplexedConnection,
    name: &str,
    groups: &BTreeSet<String>,
    fence: &Fence,
) -> Result<BTreeSet<String>, Failure> {
    /// A stream that is busy all the time is left alone.
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        let mut look = Pipeline::with_capacity(3);
        look.ignore_errors();
        look.cmd("WATCH").arg(name).cmd("XINFO").arg("GROUPS").arg(name).cmd("XINFO").arg("STREAM").arg(name);
        let answers: Vec<Value> = look.query_async(connection).await?;
        let [_, seen, stream] =
            <[Value; 3]>::try_from(answers).unwrap_or([Value::Nil, Value::Nil, Value::Nil]);
        let seen = match stream_of(seen, stream)? {
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
