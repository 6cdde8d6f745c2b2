//! How a session of PostgreSQL begins: its name, its settings, and that it ends with its client. Knows
//! nothing of what is asked.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use url::Url;

/// How values and the catalog are spelled when read as text, whatever the role or database has set:
/// what is read is compared with what is written elsewhere.
pub(super) const SPELLING: [(&str, &str); 4] = [
    ("bytea_output", "hex"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("quote_all_identifiers", "off"),
];

/// The driver's options for a session with a name. Floats are read as the server writes them, and
/// a pooler knows no `extra_float_digits`.
pub(crate) fn postgres_options(url: &Url, application_name: &str) -> sqlx::Result<PgConnectOptions> {
    let mut options = PgConnectOptions::from_url(url)?;
    // The driver would look the address up with its brackets.
    if let Some(url::Host::Ipv6(address)) = url.host() {
        options = options.host(&address.to_string());
    }
    Ok(options
        .application_name(application_name)
        .extra_float_digits(None)
        // A statement may hold a secret, and a slow one would be logged.
        .disable_statement_logging())
}

/// Opens a connection.
///
/// The driver computes the proof of a password in pieces of some microseconds and lets others go first
/// after each, which costs this runtime more than a piece does: several are done in a row.
pub(crate) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    const PIECES: usize = 32;
    let mut connecting = std::pin::pin!(options.connect());
    std::future::poll_fn(|context| {
        let mut polls = (0..PIECES).map(|_| connecting.as_mut().poll(context));
        polls.find(std::task::Poll::is_ready).unwrap_or(std::task::Poll::Pending)
    })
    .await
}

/// As [`connect`], and again where the connection was cut before the session began: nothing was asked yet.
pub(crate) async fn connect_again(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(100)).with_max_times(2);
    (|| connect(options)).retry(pauses).when(super::is_lost).await
}

/// Prepares a session that writes; gives the server's process, by which others can ask what it waits for.
///
/// It must end with its client, and so must its statement: the server looks for the client every two
/// seconds while it executes (PostgreSQL 14 on; before, the statement runs to its end), and notices within
/// a minute that a host has vanished. And it must not end before its client: a person may think for an hour
/// before a plan is approved, whatever the server's timeout for idle sessions is. An open transaction is
/// bounded: none of this tool's waits for minutes between two statements. So is a wait for another session's
/// lock; migrations have limits of their own.
pub(crate) async fn end_with_the_client(connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
    const KEEPALIVE: &str = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
                             SET tcp_keepalives_count = 3; SET tcp_user_timeout = 60000";
    const NOTICE: &str = "SET client_connection_check_interval = 2000";
    const PATIENCE: &str = "SET idle_in_transaction_session_timeout = '5min'; SET lock_timeout = '30s'";
    const IDLE: &str = "SET idle_session_timeout = 0";
    const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";
    // No version comes through some poolers. What is not known is not asked for: it would fail.
    let is_14 = connection.server_version_num().is_some_and(|version| version >= 140_000);
    let spelling = SPELLING.map(|(name, value)| format!("SET {name} = {value}")).join("; ");
    let needed =
        if is_14 { format!("{spelling}; {PATIENCE}; {IDLE}") } else { format!("{spelling}; {PATIENCE}") };
    let sql =
        if is_14 { format!("{needed}; {NOTICE}; {KEEPALIVE}") } else { format!("{needed}; {KEEPALIVE}") };
    let asking = |sql: String| sqlx::raw_sql(AssertSqlSafe(format!("{sql}; {PROCESS}")));
    let mut set = asking(sql).fetch_all(&mut *connection).await;
    if set.as_ref().is_err_and(super::goes_on) {
        // Some platforms refuse keepalives or the look for the client, and all of it is taken back then.
        set = asking(needed).fetch_all(connection).await;
    }
    match set {
        Ok(rows) => Ok(rows.last().and_then(|row| row.try_get(0).ok())),
        // A session that was ended by its server says so again when it is used.
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
