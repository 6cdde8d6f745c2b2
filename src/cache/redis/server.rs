//! Facts that a server reports about itself, and the classification of its errors.

use std::collections::HashMap;

use redis::{ErrorKind, RedisError, RedisResult, Value};

use super::connect::Connection;
use crate::redact::redact;

/// Empty where the server forbids to query them.
#[derive(Default)]
pub(super) struct Server {
    pub(super) version: Option<String>,
    mode: Option<String>,
    role: Option<String>,
}

impl Server {
    /// Sends HELLO, which needs no permission, unlike INFO. Where a provider removed it, ROLE
    /// returns the role.
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
                // A server with too many clients rejects the first command and closes the
                // connection.
                Err(_) if error.code() == Some("ERR") => Err(error),
                Err(other) => Err(other),
            },
            Err(error) => Err(error),
        }
    }

    /// `EXPIRE key seconds NX` needs Redis 7.0; Valkey began with 7.2.
    pub(super) fn has_expire_nx(&self) -> bool {
        let major = self.version.as_deref().and_then(|version| version.split('.').next()?.parse().ok());
        major.is_some_and(|major: u32| major >= 7)
    }

    /// Why `cache.url` must not lead to this server, if so. A replica accepts settings and keys,
    /// but loses them.
    pub(super) async fn objection(&self, connection: &mut Connection) -> Option<String> {
        match (self.mode.as_deref(), self.role.as_deref()) {
            (Some("cluster"), _) => {
                Some("it is a node of a Redis Cluster, which is not supported yet".to_owned())
            }
            (Some("sentinel"), _) => Some("it is a Sentinel, which has no keys: name the master".to_owned()),
            (_, Some("replica" | "slave")) => {
                // The address of the master is optional, because ROLE may be forbidden.
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

/// The response to ROLE: the role and, for a replica, the address of its master. Empty where it is
/// forbidden.
async fn role(connection: &mut Connection) -> RedisResult<Vec<Value>> {
    match redis::cmd("ROLE").query_async(connection).await {
        Err(error) if is_forbidden(&error) => Ok(Vec::new()),
        answer => answer,
    }
}

fn text_of(value: &Value) -> Option<String> {
    redis::from_redis_value_ref(value).ok()
}

/// Whether the server rejected the login.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "DENIED"))
}

/// Whether a retry may succeed: the server starts, loads its data, or changes its role.
pub(super) fn is_transient(error: &RedisError) -> bool {
    error.is_io_error() || matches!(error.code(), Some("LOADING" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN"))
}

/// Whether the server rejects one command: by its ACL, or because it lacks the command or an option of it. For
/// the latter Redis has no code of its own, and the messages of providers differ.
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

/// Whether the response was not one of Redis, or exceeded the limit.
pub(super) fn is_not_redis(error: &RedisError) -> bool {
    error.kind() == ErrorKind::UnexpectedReturnType
}

/// Whether the connection must be dropped.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.kind() == ErrorKind::Parse || is_not_redis(error)
}
