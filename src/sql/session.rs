//! Opens and configures PostgreSQL sessions: name, settings, and detection of a lost client.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use url::Url;

/// Settings for the text form of values and catalogs, independent of the defaults of role and database,
/// because texts are compared across sessions.
pub(super) const SPELLING: [(&str, &str); 4] = [
    ("bytea_output", "hex"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("quote_all_identifiers", "off"),
];

/// The driver's options for a session. Sets no `extra_float_digits`, which poolers reject; the driver
/// decodes floats itself.
pub(crate) fn postgres_options(url: &Url, application_name: &str) -> sqlx::Result<PgConnectOptions> {
    let mut options = PgConnectOptions::from_url(url)?;
    // The driver would resolve an IPv6 address with its brackets.
    if let Some(url::Host::Ipv6(address)) = url.host() {
        options = options.host(&address.to_string());
    }
    Ok(options
        .application_name(application_name)
        .extra_float_digits(None)
        // A slow statement would be logged, and may contain a secret.
        .disable_statement_logging())
}

/// Opens a connection.
///
/// The driver yields after every few microseconds of computing the SCRAM proof, which costs more than the
/// computation itself, so several steps are done between yields.
pub(crate) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    const PIECES: usize = 32;
    let mut connecting = std::pin::pin!(options.connect());
    let connected = std::future::poll_fn(|context| {
        let mut polls = (0..PIECES).map(|_| connecting.as_mut().poll(context));
        polls.find(std::task::Poll::is_ready).unwrap_or(std::task::Poll::Pending)
    });
    connected.await.map_err(without_character)
}

/// The driver's message about a password that cannot be used names the character.
fn without_character(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::Configuration(error) if error.to_string().contains("saslprep") => {
            sqlx::Error::Configuration(
                "the user or its password has a character that SCRAM does not allow (RFC 4013), such as a control \
                 character: set another password"
                    .into(),
            )
        }
        error => error,
    }
}

/// Like [`connect`], with retries where the connection was lost before the session began.
pub(crate) async fn connect_again(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(100)).with_max_times(2);
    (|| connect(options)).retry(pauses).when(super::is_lost).await
}

/// Configures a session that writes, and returns the process id of its backend, for queries about
/// what it waits for.
///
/// The session must end with its client, and so must its statement: the server checks the client every two
/// seconds during a statement (since PostgreSQL 14; before, the statement completes), and detects the loss
/// of a host within a minute. The session must not end before its client: a person may take an hour to
/// approve a plan, so the server's idle timeout is switched off. Idle time in a transaction is limited,
/// because this tool never waits minutes between two statements. Waits for locks are limited too;
/// migrations have limits of their own.
pub(crate) async fn end_with_the_client(connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
    const KEEPALIVE: &str = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
                             SET tcp_keepalives_count = 3; SET tcp_user_timeout = 60000";
    const NOTICE: &str = "SET client_connection_check_interval = 2000";
    const PATIENCE: &str = "SET idle_in_transaction_session_timeout = '5min'; SET lock_timeout = '30s'";
    const IDLE: &str = "SET idle_session_timeout = 0";
    const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";
    // Some poolers report no version. Unsupported settings would fail, so they are omitted then.
    let is_14 = connection.server_version_num().is_some_and(|version| version >= 140_000);
    let spelling = SPELLING.map(|(name, value)| format!("SET {name} = {value}")).join("; ");
    let needed =
        if is_14 { format!("{spelling}; {PATIENCE}; {IDLE}") } else { format!("{spelling}; {PATIENCE}") };
    let sql =
        if is_14 { format!("{needed}; {NOTICE}; {KEEPALIVE}") } else { format!("{needed}; {KEEPALIVE}") };
    let asking = |sql: String| sqlx::raw_sql(AssertSqlSafe(format!("{sql}; {PROCESS}")));
    let mut set = asking(sql).fetch_all(&mut *connection).await;
    if set.as_ref().is_err_and(is_usable_after) {
        // Some platforms reject keepalives or the client check, which rolls back all settings of
        // the message.
        set = asking(needed).fetch_all(connection).await;
    }
    match set {
        Ok(rows) => Ok(rows.last().and_then(|row| row.try_get(0).ok())),
        // A session that the server ended reports that again at its next use.
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error only affects its statement, and the connection remains usable.
pub(crate) fn is_usable_after(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| error.severity() == PgSeverity::Error)
}
