//! The connection that migrations run on, one after the other: reset before each of them, and given back
//! to the pool after the last. Knows statements and records, not what a migration is for.

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

/// The table of the history that sqlx keeps.
pub(crate) const HISTORY: &str = "_sqlx_migrations";

/// What a statement of a migration may fail with.
pub(crate) type Failed = sqlx::Error;

/// What the inventory knows of one migration.
pub(crate) type Known = BTreeMap<Fingerprint, Fingerprint>;

#[derive(Debug)]
enum Connection {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// A session of migrations. Dropping it ends it, and rolls back what it had not committed.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    /// Ends what waits for an answer on a connection of PostgreSQL that went silent.
    guard: Option<Guard>,
    /// The table of the history, with its schema: a migration may change the search path.
    pub(crate) history: String,
    /// Whether there is an inventory to record in.
    pub(crate) has_books: bool,
    /// The statements that forget what a migration set.
    reset: String,
    /// Whether the next transaction runs with foreign keys off: SQLite heeds that outside of one only.
    pub(crate) without_keys: bool,
    /// The server's process, by which others can ask what it waits for.
    pub(crate) pid: Option<i32>,
}

/// What the history says of one version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its checksum, in hexadecimal digits.
    pub(crate) checksum: String,
    /// Whether it is whole.
    pub(crate) success: bool,
}

/// What is known of a migration before it runs outside a transaction.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) known: Known,
    /// The rows of what was sent behind.
    pub(crate) behind: Vec<[Option<String>; 2]>,
}

impl Session {
    /// Opens a session, and makes the table of the history where it is missing.
    pub(crate) async fn open(database: &Database) -> Result<Self, Error> {
        let failed =
            |source| Error::doing("reading the history of migrations")(sql::Error::statement("", source));
        let (connection, guard) = match database {
            Database::Postgres(pool) => {
                let (connection, guard) = pool.take().await.map_err(failed)?.detach();
                // What a migration waits for is asked where its name is known.
                (Connection::Postgres(Box::new(connection)), Some(guard.without_telling()))
            }
            Database::Sqlite(pool) => {
                (Connection::Sqlite(Box::new(pool.acquire().await.map_err(failed)?.detach())), None)
            }
        };
        let mut session = Self {
            connection,
            guard,
            history: String::new(),
            has_books: false,
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

    /// Finds the tables to record in; false when there is no history.
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
                // A killed client's statement must not run on: what the pool set for that is kept.
                format!("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL{}", kept.unwrap_or_default())
            }
            Dialect::Sqlite => "PRAGMA foreign_keys = ON".to_owned(),
        };
        self.history = history.clone().unwrap_or_default();
        self.has_books = books.is_some();
        Ok(history.is_some())
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match &self.connection {
            Connection::Postgres(_) => Dialect::Postgres,
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Forgets what earlier statements set, begins a transaction under limits, and says what the
    /// history has of a version: one round trip.
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

    /// What comes before a file that is sent in one message with its transaction: as [`Self::begin`],
    /// without a look at the history.
    pub(crate) fn beginning(&self, limits: Limits) -> String {
        match self.dialect() {
            Dialect::Postgres => format!("{}; BEGIN; {};\n", self.reset, limits.set("LOCAL ")),
            Dialect::Sqlite => format!("{}; BEGIN IMMEDIATE;\n", self.reset),
        }
    }

    /// Whether the history has a version; false where it cannot be asked.
    pub(crate) async fn has(&mut self, version: i64) -> bool {
        let recorded = self.recorded(Some(version));
        self.row(recorded).await.is_ok_and(|recorded| read_recorded(recorded).is_some())
    }

    /// Rows that refer to nothing, where a transaction runs with foreign keys off.
    pub(crate) async fn dangling(&mut self) -> Result<u64, Failed> {
        if !self.without_keys {
            return Ok(0);
        }
        let counted = "SELECT CAST(count(*) AS TEXT), NULL FROM pragma_foreign_key_check";
        let [count, _] = self.row(counted.to_owned()).await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// As [`Self::begin`], without a transaction; with what the inventory knows of a migration, and the rows of
    /// what is sent in the same message behind these questions.
    pub(crate) async fn prepare(
        &mut self,
        limits: Limits,
        version: i64,
        address: &Address,
        behind: &str,
    ) -> Result<Prepared, Failed> {
        // A row without a text divides the answers.
        const DIVIDER: &str = "SELECT NULL, NULL";
        let reset = self.reset.clone();
        let limits = match self.dialect() {
            Dialect::Postgres => format!("{}; ", limits.set("")),
            Dialect::Sqlite => String::new(),
        };
        let recorded = self.recorded(Some(version));
        let known = if self.has_books {
            let (books, address) = (self.books(), self.literal(address.as_str()));
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

    /// Runs statements as they stand, several in one round trip.
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

    /// All rows of a query with two columns of text; of several queries, the rows of all.
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

    /// The last row.
    async fn row(&mut self, sql: String) -> Result<[Option<String>; 2], Failed> {
        Ok(self.rows(sql).await?.pop().unwrap_or_default())
    }

    /// Takes back what the transaction did; without one nothing happens.
    pub(crate) async fn rollback(&mut self) {
        // Fails only where the connection is lost or SQLite has rolled back by itself: it is ended then.
        drop(self.run("ROLLBACK").await);
    }

    pub(crate) fn books(&self) -> &'static str {
        inventory::table(self.dialect())
    }

    /// A text as an expression that no setting of quotes and backslashes can change.
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

    /// Bytes as an expression.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        let digits = crate::digest::hex(bytes);
        match self.dialect() {
            Dialect::Postgres => format!("pg_catalog.decode('{digits}', 'hex')"),
            Dialect::Sqlite => format!("x'{digits}'"),
        }
    }

    /// Ends it, and gives its connection back where another would have to be opened soon: what a server
    /// knows of the catalogs by now is kept.
    pub(crate) async fn give_back(self, database: &Database) {
        match (self.connection, database) {
            (Connection::Postgres(connection), Database::Postgres(pool)) => pool.take_back(*connection).await,
            (Connection::Postgres(connection), Database::Sqlite(_)) => drop(connection.close().await),
            (Connection::Sqlite(connection), _) => drop(connection.close().await),
        }
    }

    /// Ends the session. What it says on leaving matters to nobody.
    pub(crate) async fn close(self) {
        match self.connection {
            Connection::Postgres(connection) => drop(connection.close().await),
            Connection::Sqlite(connection) => drop(connection.close().await),
        }
    }
}

/// The query for whether there is a history.
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

/// The character that PostgreSQL names in its error, counted from 1.
pub(crate) fn character(error: &Failed) -> Option<usize> {
    use sqlx::postgres::PgErrorPosition;
    match error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.position()? {
        PgErrorPosition::Original(character) => Some(character),
        PgErrorPosition::Internal { .. } => None,
    }
}
