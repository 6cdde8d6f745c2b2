//! Scans keys with SCAN, and reads and sets their TTLs.

use std::collections::BTreeSet;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult};
use tokio::time::Instant;

use super::connect::Connection;
use super::server::is_forbidden;
use crate::cache::observed::KeyExpiry;

/// The number of keys that the server examines per page, which takes it well under a millisecond.
const PAGE: usize = 1_000;
/// The maximum number of pages in a scan: enough for a billion keys, and an end where the server
/// names none.
const MOST_PAGES: usize = 1_000_000;

/// Whether a key under a prefix has no TTL, except for the streams of the spec. Stops at the first
/// one.
pub(super) async fn read_keys(
    connection: &mut Connection,
    prefix: &str,
    spare: &BTreeSet<&str>,
    deadline: Instant,
) -> RedisResult<KeyExpiry> {
    let mut scan = Scan::keys_under(prefix);
    loop {
        let lasting = match scan.page(connection).await {
            Ok(None) => return Ok(KeyExpiry::Expiring),
            Ok(Some(keys)) => without_ttl(connection, keys, |key| spare.contains(key)).await,
            Err(error) => Err(error),
        };
        match lasting {
            Ok(lasting) if !lasting.is_empty() => return Ok(KeyExpiry::SomeWithoutTtl),
            Ok(_) if Instant::now() >= deadline => return Ok(KeyExpiry::OverBudget),
            Ok(_) => {}
            Err(error) if is_forbidden(&error) => return Ok(KeyExpiry::Forbidden),
            Err(error) => return Err(error),
        }
    }
}

/// Sets a TTL on the keys that have none.
pub(super) async fn expire_lasting(
    connection: &mut Connection,
    keys: &[Vec<u8>],
    seconds: u64,
    has_nx: bool,
) -> RedisResult<()> {
    /// The script equivalent of EXPIRE NX: a script is atomic on the server.
    const EXPIRE_NX: &str = "for _, key in ipairs(KEYS) do \
        if redis.call('TTL', key) == -1 then redis.call('EXPIRE', key, ARGV[1]) end end";
    if has_nx {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("EXPIRE").arg(key).arg(seconds).arg("NX").ignore();
        }
        pipeline.exec_async(connection).await
    } else {
        let mut script = redis::cmd("EVAL");
        script.arg(EXPIRE_NX).arg(keys.len()).arg(keys).arg(seconds).exec_async(connection).await
    }
}

/// The keys that exist, have no TTL and are not spared.
async fn without_ttl(
    connection: &mut Connection,
    keys: Vec<Vec<u8>>,
    is_spared: impl Fn(&str) -> bool,
) -> RedisResult<Vec<Vec<u8>>> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut pipeline = Pipeline::with_capacity(keys.len());
    for key in &keys {
        pipeline.cmd("TTL").arg(key);
    }
    let ttls: Vec<i64> = pipeline.query_async(connection).await?;
    let lasts = |(key, ttl): (Vec<u8>, i64)| {
        let spared = std::str::from_utf8(&key).is_ok_and(&is_spared);
        // -1 is a key without TTL; -2 is a missing key, which expired since the scan.
        (ttl == -1 && !spared).then_some(key)
    };
    Ok(keys.into_iter().zip(ttls).filter_map(lasts).collect())
}

/// A scan over the keys of the db, one page at a time.
pub(super) struct Scan {
    /// The cursor of the next page; `None` at the end.
    cursor: Option<u64>,
    options: Vec<String>,
    /// The remaining number of pages.
    pages: usize,
}

impl Scan {
    pub(super) fn keys_under(prefix: &str) -> Self {
        let mut pattern = String::with_capacity(prefix.len() + 1);
        for letter in prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        Self { cursor: Some(0), options: vec!["MATCH".to_owned(), pattern], pages: MOST_PAGES }
    }

    pub(super) fn streams() -> Self {
        Self { cursor: Some(0), options: vec!["TYPE".to_owned(), "stream".to_owned()], pages: MOST_PAGES }
    }

    /// The next keys, possibly none; `None` at the end. SCAN may return a key twice.
    pub(super) async fn page(&mut self, connection: &mut Connection) -> RedisResult<Option<Vec<Vec<u8>>>> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        self.pages = self.pages.checked_sub(1).ok_or_else(|| {
            RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "endless",
                "SCAN does not come to an end".to_owned(),
            ))
        })?;
        let mut command = Cmd::new();
        command.arg("SCAN").arg(cursor).arg(&self.options).arg("COUNT").arg(PAGE);
        let (next, keys): (u64, Vec<Vec<u8>>) = command.query_async(connection).await?;
        self.cursor = (next != 0).then_some(next);
        Ok(Some(keys))
    }
}
