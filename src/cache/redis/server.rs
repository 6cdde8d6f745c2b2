//! What a server says of itself, and what its errors mean.

use std::collections::HashMap;

use redis::{ErrorKind, RedisError, RedisResult, Value};

use super::connect::Connection;
use crate::redact::redact;

/// What a server says of itself; nothing where it forbids to ask.
#[derive(Default)]
pub(super) struct Server {
    pub(super) version: Option<String>,
    mode: Option<String>,
    role: Option<String>,
}

impl Server {
    /// HELLO needs no right, unlike INFO. Where a provider removed it, ROLE tells at least that much.
    pub(super) async fn ask(connection: &mut Connection) -> RedisResult<Self> {
        match redis::cmd("HELLO").query_async::<HashMap<String, Value>>(connection).await {
            Ok(hello) => {
                let text = |key| hello.get(key).and_then(text_of);
                Ok(Self {
                    version: text("version").map(|version| redact(&version).into_owned()),
                    mode: text("mode"),
                    role: text("role"),
                })
            }
            // An old server says something else of a HELLO without a version.
            Err(error) if is_forbidden(&error) || error.code() == Some("ERR") => match role(connection).await
            {
                Ok(answer) => Ok(Self { role: answer.first().and_then(text_of), ..Self::default() }),
                // A server that has too many clients says so to the first command, and ends the connection.
                Err(_) if error.code() == Some("ERR") => Err(error),
                Err(other) => Err(other),
            },
            Err(error) => Err(error),
        }
    }

    /// `EXPIRE key seconds NX` came with Redis 7.0; Valkey began with 7.2.
    pub(super) fn has_expire_nx(&self) -> bool {
        let major = self.version.as_deref().and_then(|version| version.split('.').next()?.parse().ok());
        major.is_some_and(|major: u32| major >= 7)
    }

    /// Why it is not what `cache.url` may lead to. A replica takes settings, and would lose them and
    /// whatever else it takes.
    pub(super) async fn objection(&self, connection: &mut Connection) -> Option<String> {
        match (self.mode.as_deref(), self.role.as_deref()) {
            (Some("cluster"), _) => {
                Some("it is a node of a Redis Cluster, which is not supported yet".to_owned())
            }
            (Some("sentinel"), _) => Some("it is a Sentinel, which has no keys: name the master".to_owned()),
            (_, Some("replica" | "slave")) => {
                // Who may not ask for the master is told at least what this is.
                let master = match role(connection).await.unwrap_or_default().get(1..3) {
                    Some([host, port]) => text_of(host).zip(text_of(port)),
                    _ => None,
                };
                let master = master.map_or_else(
                    || "another server; name that one".to_owned(),
                    |(host, port)| redact(&format!("{host}:{port}; name that server")).into_owned(),
                );
                Some(format!("it is a replica of {master} in `cache.url`, because changes are made there"))
            }
            _ => None,
        }
    }
}

/// The answer to ROLE, which begins with the role and, of a replica, where its master is; empty where
/// it may not be asked.
async fn role(connection: &mut Connection) -> RedisResult<Vec<Value>> {
    match redis::cmd("ROLE").query_async(connection).await {
        Err(error) if is_forbidden(&error) => Ok(Vec::new()),
        answer => answer,
    }
}

fn text_of(value: &Value) -> Option<String> {
    redis::from_redis_value_ref(value).ok()
}

/// Whether the server refuses who asks, at login.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "DENIED"))
}

/// Whether it may answer when it is asked again: it starts, loads its data, or changes its role.
pub(super) fn is_passing(error: &RedisError) -> bool {
    error.is_io_error() || matches!(error.code(), Some("LOADING" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN"))
}

/// Whether the server refuses one command: by its ACL, or because it lacks the command or an option of it. For
/// the latter Redis has no code of its own, and providers have words of their own.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    const LACKS: [&str; 6] = [
        "unknown command",
        "unknown subcommand",
        "syntax error",
        "not available",
        "not supported",
        "not allowed",
    ];
    match error.code() {
        Some("NOPERM") => true,
        Some("ERR") => {
            let detail = error.detail().unwrap_or_default().to_lowercase();
            LACKS.iter().any(|words| detail.contains(words))
        }
        _ => false,
    }
}

/// Whether what came is no answer of a Redis, or one without end.
pub(super) fn is_not_redis(error: &RedisError) -> bool {
    error.kind() == ErrorKind::UnexpectedReturnType
}

/// Whether the connection is of no use any more.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.kind() == ErrorKind::Parse || is_not_redis(error)
}
