//! The session in which migrations run one after the other. It is reset before each migration, and its
//! connection returns to the pool after the last.

use std::collections::BTreeMap;

use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::{Error, Limits};
use crate::address::Address;
use crate::digest::Fingerprint;
use crate::journal::inventory;
use crate::sql::{self, Database, Dialect, Guard};

/// The history table of sqlx.
pub(crate) const HISTORY: &str = "_sqlx_migrations";

pub(crate) type Failed = sqlx::Error;

/// The inventory entries of one migration, digests by key.
pub(crate) type Known = BTreeMap<Fingerprint, Fingerprint>;

#[derive(Debug)]
enum Connection {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// A session for migrations. Dropping it closes the connection, which rolls back an open
/// transaction.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    /// Times out when the PostgreSQL connection becomes silent during a statement.
    guard: Option<Guard>,
    /// The history table with its schema, because a migration may change the search path.
    pub(crate) history: String,
    /// Whether the inventory table exists.
    pub(crate) has_inventory: bool,
    /// The statements that reset settings of previous migrations.
    reset: String,
    /// Whether the next transaction runs with foreign keys off. SQLite applies that outside a
    /// transaction only.
    pub(crate) without_keys: bool,
    /// The process id of the server's backend, for queries about what it waits for.
    pub(crate) pid: Option<i32>,
}

/// The history row of one version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// In hexadecimal digits.
    pub(crate) checksum: String,
    /// Whether the migration is complete.
    pub(crate) success: bool,
}

/// The state of a migration before it runs outside a transaction.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) known: Known,
    /// The rows of the statements in `behind`.
    pub(crate) behind: Vec<[Option<String>; 2]>,
}

impl Session {
    /// Opens a session, and creates the history table if it is missing.
    pub(crate) async fn open(database: &Database) -> Result<Self, Error> {
        let failed =
            |source| Error::doing("reading the history of migrations")(sql::Error::statement("", source));
        let (connection, guard) = match database {
            Database::Postgres(pool) => {
                let held = pool.take().await.map_err(failed)?;
                // Waiting is reported by the watch over the migration, which has its name.
                let guard = Guard::of(&held).without_events();
                (Connection::Postgres(Box::new(held.detach())), Some(guard))
            }
            Database::Sqlite(pool) => {
                (Connection::Sqlite(Box::new(pool.acquire().await.map_err(failed)?.detach())), None)
            }
        };
        let mut session = Self {
            connection,
            guard,
            history: String::new(),
            has_inventory: false,
            reset: String::new(),
            without_keys: false,
            pid: None,
        };
        if !session.look().await.map_err(failed)? {
            let made = match &mut session.connection {
                Connection::Postgres(connection) => connection.ensure_migrations_table(HISTORY).await,
                Connection::Sqlite(connection) => connection.ensure_migrations_table(HISTORY).await,
            };
            made.map_err(|error| {
                let cause = match error {
                    MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause,
                    other => other.into(),
                };
                Error::NoHistory { source: sql::Error::statement("", cause) }
            })?;
            session.look().await.map_err(failed)?;
        }
        Ok(session)
    }

    /// Looks up the tables; returns false without a history table.
    async fn look(&mut self) -> Result<bool, Failed> {
        let sql = match self.dialect() {
            Dialect::Postgres => {
                "SELECT (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
                         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                         WHERE c.oid = to_regclass('_sqlx_migrations')),
                        CASE WHEN to_regclass('trueup.inventory') IS NOT NULL THEN '1' END;
                 SELECT string_agg(format('; SET %I = %L', name, setting), '' ORDER BY name),
                        pg_catalog.pg_backend_pid()::text
                 FROM pg_catalog.pg_settings
                 WHERE source = 'session' AND (name LIKE 'tcp_keepalives%' OR name IN
                       ('client_connection_check_interval', 'idle_session_timeout', 'idle_in_transaction_session_timeout'))"
            }
            Dialect::Sqlite => {
                "SELECT (SELECT name FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'),
                        (SELECT '1' FROM sqlite_schema WHERE type = 'table' AND name = 'trueup_inventory')"
            }
        };
        let mut rows = self.rows(sql.to_owned()).await?.into_iter();
        let [history, books] = rows.next().unwrap_or_default();
        let [kept, pid] = rows.next().unwrap_or_default();
        self.pid = pid.and_then(|pid| pid.parse().ok());
        self.reset = match self.dialect() {
            Dialect::Postgres => {
                // Keeps what the pool set so that statements of killed clients end.
                format!("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL{}", kept.unwrap_or_default())
            }
            Dialect::Sqlite => "PRAGMA foreign_keys = ON".to_owned(),
        };
        self.history = history.clone().unwrap_or_default();
        self.has_inventory = books.is_some();
        Ok(history.is_some())
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match &self.connection {
            Connection::Postgres(_) => Dialect::Postgres,
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Resets the session, begins a transaction with limits, and reads the history row of a version, in one
    /// round trip.
    pub(crate) async fn begin(
        &mut self,
        limits: Limits,
        version: Option<i64>,
    ) -> Result<Option<Recorded>, Failed> {
        let reset = self.reset.clone();
        let begin = match self.dialect() {
            Dialect::Postgres => format!("BEGIN; {}", limits.set("LOCAL ")),
            Dialect::Sqlite if self.without_keys => "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE".to_owned(),
            Dialect::Sqlite => "BEGIN IMMEDIATE".to_owned(),
        };
        let recorded = self.recorded(version);
        Ok(read_recorded(self.row(format!("{reset}; {begin}; {recorded}")).await?))
    }

    /// The text that precedes a file sent to PostgreSQL in one message: like [`Self::begin`], without reading
    /// the history.
    pub(crate) fn beginning(&self, limits: Limits) -> String {
        format!("{}; BEGIN; {};\n", self.reset, limits.set("LOCAL "))
    }

    /// Whether the history has a version; false where the query fails.
    pub(crate) async fn has(&mut self, version: i64) -> bool {
        let recorded = self.recorded(Some(version));
        self.row(recorded).await.is_ok_and(|recorded| read_recorded(recorded).is_some())
    }

    /// Counts rows whose parent is missing, where the transaction runs with foreign keys off.
    pub(crate) async fn dangling(&mut self) -> Result<u64, Failed> {
        if !self.without_keys {
            return Ok(0);
        }
        let counted = "SELECT CAST(count(*) AS TEXT), NULL FROM pragma_foreign_key_check";
        let [count, _] = self.row(counted.to_owned()).await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Like [`Self::begin`], without a transaction. Also reads the inventory of a migration, and returns
    /// the rows of the statements in `behind`, which are sent in the same message.
    pub(crate) async fn prepare(
        &mut self,
        limits: Limits,
        version: i64,
        address: &Address,
        behind: &str,
    ) -> Result<Prepared, Failed> {
        // A row of NULLs separates the results of the queries.
        const DIVIDER: &str = "SELECT NULL, NULL";
        let reset = self.reset.clone();
        let limits = match self.dialect() {
            Dialect::Postgres => format!("{}; ", limits.set("")),
            Dialect::Sqlite => String::new(),
        };
        let recorded = self.recorded(Some(version));
        let known = if self.has_inventory {
            let (books, address) = (self.inventory_table(), self.literal(address.as_str()));
            format!("; SELECT key, digest FROM {books} WHERE address = {address}")
        } else {
            String::new()
        };
        let behind = if behind.is_empty() { String::new() } else { format!("; {DIVIDER}; {behind}") };
        let rows = self.rows(format!("{reset}; {limits}{recorded}; {DIVIDER}{known}{behind}")).await?;
        let mut parts = rows.split(|[first, _]| first.is_none());
        let recorded = parts.next().and_then(|rows| rows.last().cloned()).and_then(read_recorded);
        let print = |text: &Option<String>| text.as_deref().and_then(Fingerprint::parse);
        let known = parts.next().unwrap_or_default().iter();
        let known = known.filter_map(|[key, digest]| Some((print(key)?, print(digest)?))).collect();
        let behind = parts.next().unwrap_or_default().to_vec();
        Ok(Prepared { recorded, known, behind })
    }

    fn recorded(&self, version: Option<i64>) -> String {
        let Some(version) = version else { return "SELECT NULL, NULL".to_owned() };
        let (history, checksum) = (&self.history, self.dialect());
        let (checksum, success) = match checksum {
            Dialect::Postgres => ("encode(checksum, 'hex')", "CASE WHEN success THEN '1' END"),
            Dialect::Sqlite => ("lower(hex(checksum))", "CASE WHEN success THEN '1' END"),
        };
        format!("SELECT {checksum}, {success} FROM {history} WHERE version = {version}")
    }

    /// Runs one or more statements in one round trip.
    pub(crate) async fn run(&mut self, sql: impl Into<String>) -> Result<(), Failed> {
        let sql = sql.into();
        let guard = self.guard.clone().map(|guard| guard.sending(sql.len()));
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match &mut self.connection {
            Connection::Postgres(connection) => {
                guarded(guard.as_ref(), sql.execute(&mut **connection)).await.map(|_| ())
            }
            Connection::Sqlite(connection) => sql.execute(&mut **connection).await.map(|_| ()),
        }
    }

    /// All rows of one or more queries with two text columns.
    pub(crate) async fn rows(&mut self, sql: String) -> Result<Vec<[Option<String>; 2]>, Failed> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match &mut self.connection {
            Connection::Postgres(connection) => {
                let rows = guarded(self.guard.as_ref(), sql.fetch_all(&mut **connection)).await?;
                rows.iter().map(|row| Ok([row.try_get(0)?, row.try_get(1)?])).collect()
            }
            Connection::Sqlite(connection) => {
                let rows = sql.fetch_all(&mut **connection).await?;
                rows.iter().map(|row| Ok([row.try_get(0)?, row.try_get(1)?])).collect()
            }
        }
    }

    async fn row(&mut self, sql: String) -> Result<[Option<String>; 2], Failed> {
        Ok(self.rows(sql).await?.pop().unwrap_or_default())
    }

    /// Rolls back the transaction, if there is one.
    pub(crate) async fn rollback(&mut self) {
        // Fails only where the connection is lost or SQLite rolled back already. The transaction
        // has ended then.
        drop(self.run("ROLLBACK").await);
    }

    pub(crate) fn inventory_table(&self) -> &'static str {
        inventory::table(self.dialect())
    }

    /// Quotes a text so that no setting for quotes and backslashes changes it.
    pub(crate) fn literal(&self, text: &str) -> String {
        if text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\'' | '\\') || c == ' ') {
            return format!("'{text}'");
        }
        let bytes = crate::digest::hex(text.as_bytes());
        match self.dialect() {
            Dialect::Postgres => {
                format!("pg_catalog.convert_from(pg_catalog.decode('{bytes}', 'hex'), 'UTF8')")
            }
            Dialect::Sqlite => format!("CAST(x'{bytes}' AS TEXT)"),
        }
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        let digits = crate::digest::hex(bytes);
        match self.dialect() {
            Dialect::Postgres => format!("pg_catalog.decode('{digits}', 'hex')"),
            Dialect::Sqlite => format!("x'{digits}'"),
        }
    }

    /// Returns the connection to the pool where possible. A new connection would have to load the catalog
    /// caches again.
    pub(crate) async fn give_back(self, database: &Database) {
        match (self.connection, database) {
            (Connection::Postgres(connection), Database::Postgres(pool)) => pool.take_back(*connection).await,
            (Connection::Postgres(connection), Database::Sqlite(_)) => drop(connection.close().await),
            (Connection::Sqlite(connection), _) => drop(connection.close().await),
        }
    }

    /// Closes the session. Errors are ignored, because it is no longer needed.
    pub(crate) async fn close(self) {
        match self.connection {
            Connection::Postgres(connection) => drop(connection.close().await),
            Connection::Sqlite(connection) => drop(connection.close().await),
        }
    }
}

/// The query for whether the history table exists.
pub(crate) fn history_exists(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
        Dialect::Sqlite => {
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
        }
    }
}

async fn guarded<T>(
    guard: Option<&Guard>,
    statement: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    match guard {
        Some(guard) => guard.during(statement).await,
        None => statement.await,
    }
}

fn read_recorded([checksum, success]: [Option<String>; 2]) -> Option<Recorded> {
    checksum.map(|checksum| Recorded { checksum, success: success.is_some() })
}

pub(crate) fn code(error: &Failed) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// The position in a PostgreSQL error, in characters from 1.
pub(crate) fn character(error: &Failed) -> Option<usize> {
    use sqlx::postgres::PgErrorPosition;
    match error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.position()? {
        PgErrorPosition::Original(character) => Some(character),
        PgErrorPosition::Internal { .. } => None,
    }
}
