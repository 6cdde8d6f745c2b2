//! The parameters of a URL. Drivers ignore unknown parameters and log them with their values, so
//! they are rejected here, without repeating the values.

use std::net::IpAddr;

use url::Url;

use super::parse::{UrlError, host};
use super::{encode, host_of};

/// The supported parameters of a PostgreSQL URL.
const OF_POSTGRES: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "statement-cache-capacity",
];
/// Aliases that the driver accepts.
const OTHER_SPELLINGS: [(&str, &str); 6] = [
    ("ssl-mode", "sslmode"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
    ("database", "dbname"),
];
const OF_REDIS: &[&str] = &["protocol"];
/// Parameters of other clients, whose names may be shown.
const OF_OTHERS: [&str; 34] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "db",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "passfile",
    "pgbouncer",
    "pool_timeout",
    "replication",
    "requirepeer",
    "requiressl",
    "schema",
    "search_path",
    "service",
    "sslaccept",
    "sslcrl",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "ssl",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "socket_timeout",
    "target_session_attrs",
    "timeout",
    "token",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Rejects unsupported parameters, and moves parameters that are parts of a URL to their place.
pub(super) fn check(url: Url) -> Result<Url, UrlError> {
    let is_insecure = url.scheme() == "rediss" && url.fragment() == Some("insecure");
    if url.fragment().is_some() && !is_insecure {
        return Err(UrlError::Fragment);
    }
    match url.scheme() {
        "postgres" | "postgresql" => postgres(url),
        "redis" | "rediss" => redis(url),
        _ => with_host(&url)
            .and_then(|()| match url.query_pairs().next() {
                Some((name, _)) => Err(unknown(&name, &[])),
                None => Ok(()),
            })
            .map(|()| url),
    }
}

fn with_host(url: &Url) -> Result<(), UrlError> {
    if host_of(url).is_empty() { Err(UrlError::NoHost) } else { Ok(()) }
}

fn redis(url: Url) -> Result<Url, UrlError> {
    with_host(&url)?;
    for (name, value) in url.query_pairs() {
        if name != "protocol" {
            return Err(unknown(&name, OF_REDIS));
        }
        if !matches!(&*value, "2" | "3" | "resp2" | "resp3") {
            return Err(UrlError::Value { name: "protocol", accepted: "resp2, resp3" });
        }
    }
    Ok(url)
}

fn postgres(mut url: Url) -> Result<Url, UrlError> {
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let mut kept = Vec::new();
    for (written, value) in pairs {
        let name = OTHER_SPELLINGS.iter().find(|(other, _)| *other == written).map(|(_, name)| *name);
        let name = name.unwrap_or(&written);
        let failed = |name, accepted| UrlError::Value { name, accepted };
        match name {
            "host" => set_host(&mut url, &value)?,
            "hostaddr" => {
                value.parse::<IpAddr>().map_err(|_| failed("hostaddr", "an IP address"))?;
                set_host(&mut url, &value)?;
            }
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                let port: u16 = port.ok_or_else(|| failed("port", "1 to 65535"))?;
                with_host(&url)?;
                url.set_port(Some(port)).map_err(|()| UrlError::Port)?;
            }
            "user" => url.set_username(&encode(&value)).map_err(|()| UrlError::NoHost)?,
            "password" => url.set_password(Some(&encode(&value))).map_err(|()| UrlError::NoHost)?,
            "dbname" => url.set_path(&encode(&value)),
            "sslmode" if SSL_MODES.contains(&value.to_lowercase().as_str()) => kept.push((written, value)),
            "sslmode" => {
                let accepted = "disable, allow, prefer, require, verify-ca, verify-full";
                return Err(failed("sslmode", accepted));
            }
            "statement-cache-capacity" if value.parse::<u16>().is_ok() => kept.push((written, value)),
            "statement-cache-capacity" => {
                return Err(failed("statement-cache-capacity", "a whole number"));
            }
            "sslrootcert" | "sslcert" | "sslkey" | "options" | "application_name" => {
                kept.push((written, value));
            }
            name if name.starts_with("options[") && name.ends_with(']') => kept.push((written, value)),
            name => return Err(unknown(name, OF_POSTGRES)),
        }
    }
    with_host(&url)?;
    if url.query().is_some() {
        let query = kept.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let query = query.collect::<Vec<_>>().join("&");
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }
    Ok(url)
}

fn set_host(url: &mut Url, value: &str) -> Result<(), UrlError> {
    let host = host(value)?;
    url.set_host(Some(&host)).map_err(|_| UrlError::Host)
}

fn unknown(name: &str, known: &'static [&'static str]) -> UrlError {
    let name = OF_OTHERS.iter().find(|other| **other == name).copied();
    UrlError::Parameter { name, known }
}
