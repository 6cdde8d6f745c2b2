//! The embedded cache: an SQLite file that an application reads and writes with plain SQL, as described in
//! `docs/reference/embedded-cache.md`. Observing creates no file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::OnceCell;

use super::Error;
use super::observed::{GroupUse, KeyExpiry, ObservedFile, ObservedNamespace, ObservedStream};
use crate::digest::Fingerprint;
use crate::journal::lock::Fence;
use crate::sql::{self, Database, Interrupt, SqliteMode, Value, open_sqlite_to_read, open_sqlite_with};

/// The tables, created if they are missing. Times are in seconds since 1970.
const SCHEMA: [&str; 9] = [
    "CREATE TABLE IF NOT EXISTS cache_namespaces (
       name        TEXT PRIMARY KEY,
       prefix      TEXT NOT NULL,
       ttl_seconds INTEGER NOT NULL
     ) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS cache_entries (
       key        TEXT PRIMARY KEY,
       value      BLOB NOT NULL,
       expires_at INTEGER
     )",
    // For deleting expired entries.
    "CREATE INDEX IF NOT EXISTS cache_entries_expiry ON cache_entries (expires_at)
       WHERE expires_at IS NOT NULL",
    // For finding entries without expiry, of which there should be none.
    "CREATE INDEX IF NOT EXISTS cache_entries_lasting ON cache_entries (key) WHERE expires_at IS NULL",
    "CREATE TABLE IF NOT EXISTS cache_streams (
       name   TEXT PRIMARY KEY,
       maxlen INTEGER
     ) WITHOUT ROWID",
    // AUTOINCREMENT guarantees that an id is never reused after a delete.
    "CREATE TABLE IF NOT EXISTS cache_stream_entries (
       id       INTEGER PRIMARY KEY AUTOINCREMENT,
       stream   TEXT NOT NULL REFERENCES cache_streams (name),
       fields   TEXT NOT NULL,
       added_at INTEGER NOT NULL DEFAULT (unixepoch())
     )",
    "CREATE INDEX IF NOT EXISTS cache_stream_entries_order ON cache_stream_entries (stream, id)",
    "CREATE TABLE IF NOT EXISTS cache_groups (
       stream  TEXT NOT NULL REFERENCES cache_streams (name),
       name    TEXT NOT NULL,
       last_id INTEGER NOT NULL DEFAULT 0,
       PRIMARY KEY (stream, name)
     ) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS cache_pending (
       stream       TEXT NOT NULL,
       group_name   TEXT NOT NULL,
       entry_id     INTEGER NOT NULL,
       consumer     TEXT NOT NULL,
       delivered_at INTEGER NOT NULL DEFAULT (unixepoch()),
       deliveries   INTEGER NOT NULL DEFAULT 1,
       PRIMARY KEY (stream, group_name, entry_id),
       FOREIGN KEY (stream, group_name) REFERENCES cache_groups (stream, name)
     ) WITHOUT ROWID",
];

/// Returns SQLite's version, and how many of the tables below exist.
const TABLES: &str = "
    SELECT sqlite_version(), count(*) FROM sqlite_schema
    WHERE type = 'table' AND name IN ('cache_namespaces', 'cache_entries', 'cache_streams', 'cache_groups')";

const NAMESPACES: &str = "SELECT name, prefix, ttl_seconds FROM cache_namespaces";

/// Returns every prefix of the list $1, and whether an entry under it never expires. U+10FFFF sorts after
/// any character that may follow a prefix.
const KEYS: &str = "
    SELECT p.value, EXISTS (
      SELECT 1 FROM cache_entries e
      WHERE e.expires_at IS NULL AND e.key BETWEEN p.value AND p.value || char(1114111)
    ) FROM json_each($1) AS p";

/// Returns a row for each group of each stream, and whether the group has pending or unread
/// entries.
const STREAMS: &str = "
    SELECT s.name, s.maxlen, g.name,
      EXISTS (SELECT 1 FROM cache_pending p WHERE p.stream = s.name AND p.group_name = g.name)
      OR EXISTS (SELECT 1 FROM cache_stream_entries e WHERE e.stream = s.name AND e.id > g.last_id)
    FROM cache_streams s LEFT JOIN cache_groups g ON g.stream = s.name";

const PUT_NAMESPACE: &str = "
    INSERT INTO cache_namespaces (name, prefix, ttl_seconds) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET prefix = excluded.prefix, ttl_seconds = excluded.ttl_seconds";

const EXPIRE: &str = "
    UPDATE cache_entries SET expires_at = unixepoch() + $2
    WHERE expires_at IS NULL AND key BETWEEN $1 AND $1 || char(1114111)";

const PUT_STREAM: &str = "
    INSERT INTO cache_streams (name, maxlen) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET maxlen = excluded.maxlen";

/// Inserts the missing groups of the list $2; existing ones keep their position.
const PUT_GROUPS: &str = "
    INSERT INTO cache_groups (stream, name) SELECT $1, value FROM json_each($2)
    WHERE true ON CONFLICT (stream, name) DO NOTHING";

/// Returns the existing groups of the list $2.
const FOUND_GROUPS: &str = "
    SELECT name FROM cache_groups WHERE stream = $1 AND name IN (SELECT value FROM json_each($2))";

/// Deletes the groups of the list $2 without pending or unread entries.
const REMOVE_GROUPS: &str = "
    DELETE FROM cache_groups AS g WHERE stream = $1 AND name IN (SELECT value FROM json_each($2))
      AND NOT EXISTS (SELECT 1 FROM cache_pending p WHERE p.stream = g.stream AND p.group_name = g.name)
      AND NOT EXISTS (SELECT 1 FROM cache_stream_entries e WHERE e.stream = g.stream AND e.id > g.last_id)";

/// A client of one file.
#[derive(Debug)]
pub(super) struct Embedded {
    path: PathBuf,
    /// Cancels the running statement.
    pub(super) interrupt: Interrupt,
    /// Opened by the first change, which also creates the tables.
    writer: OnceCell<Database>,
    /// The check that precedes each transaction that writes.
    pub(super) fence: Fence,
}

impl Embedded {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            interrupt: Interrupt::default(),
            writer: OnceCell::new(),
            fence: Fence::default(),
        }
    }

    /// Runs five queries, whatever the number of rows.
    pub(super) async fn observe(&self, prefixes: &BTreeSet<&str>) -> Result<ObservedFile, Error> {
        let expiring = prefixes.iter().map(|prefix| ((*prefix).to_owned(), KeyExpiry::Expiring)).collect();
        let place = Some(self.place());
        let Some(mode) = self.reading_mode().await? else {
            return Ok(ObservedFile { place, keys: expiring, ..ObservedFile::default() });
        };
        let database = open_sqlite_to_read(&self.path, mode).await.map_err(|error| self.unusable(&error))?;
        let seen = read(&database, prefixes, expiring).await.map_err(|error| self.unusable(&error));
        database.close().await;
        Ok(ObservedFile { place, ..seen? })
    }

    /// The fingerprint of the file's name only: folders differ between machines.
    pub(super) fn place(&self) -> Fingerprint {
        Fingerprint::of_text(&self.path.file_name().unwrap_or_default().to_string_lossy())
    }

    /// How to open the file for reading; `None` when it does not exist.
    ///
    /// Opening a file in WAL mode creates `-wal` and `-shm` beside it, and fails in a read-only folder.
    /// While the log is empty, the file alone is complete and can be opened as immutable.
    async fn reading_mode(&self) -> Result<Option<SqliteMode>, Error> {
        let unreadable = |error: std::io::Error| self.unusable(&error);
        match tokio::fs::metadata(&self.path).await {
            Ok(metadata) if metadata.is_dir() => return Err(self.unusable(&"it is a folder")),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        }
        let mut header = Vec::new();
        let file = tokio::fs::File::open(&self.path).await.map_err(unreadable)?;
        file.take(20).read_to_end(&mut header).await.map_err(unreadable)?;
        let is_wal = header.get(18) == Some(&2);
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let log_is_empty = tokio::fs::metadata(log).await.map_or(true, |metadata| metadata.len() == 0);
        Ok(Some(if is_wal && log_is_empty { SqliteMode::Immutable } else { SqliteMode::ReadOnly }))
    }

    pub(super) async fn put_namespace(&self, name: &str, prefix: &str, ttl: Duration) -> Result<(), Error> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let statements = [
            (PUT_NAMESPACE, vec![name.into(), prefix.into(), Value::Integer(seconds)]),
            (EXPIRE, vec![prefix.into(), Value::Integer(seconds)]),
        ];
        self.write("recording a namespace", &statements).await
    }

    /// Records a stream and its groups. Returns the groups that existed, which keep their position.
    pub(super) async fn put_stream(
        &self,
        name: &str,
        groups: &BTreeSet<String>,
        maxlen: Option<u64>,
    ) -> Result<BTreeSet<String>, Error> {
        let maxlen =
            maxlen.map_or(Value::Null, |maxlen| Value::Integer(i64::try_from(maxlen).unwrap_or(i64::MAX)));
        let groups = listed(groups);
        let found = self.groups("recording a stream", name, &groups).await?;
        let statements = [(PUT_STREAM, vec![name.into(), maxlen]), (PUT_GROUPS, vec![name.into(), groups])];
        self.write("recording a stream", &statements).await?;
        Ok(found)
    }

    /// Deletes idle groups and returns those in use.
    pub(super) async fn remove_groups(
        &self,
        name: &str,
        groups: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        if groups.is_empty() {
            return Ok(BTreeSet::new());
        }
        let groups = listed(groups);
        self.write("removing groups", &[(REMOVE_GROUPS, vec![name.into(), groups.clone()])]).await?;
        self.groups("removing groups", name, &groups).await
    }

    async fn groups(&self, what: &str, name: &str, groups: &Value) -> Result<BTreeSet<String>, Error> {
        let refused = |error: sql::Error| self.refused(what, &error);
        let database = self.writer.get_or_try_init(|| self.open_for_writing()).await?;
        let rows = database.query(FOUND_GROUPS, &[name.into(), groups.clone()]).await.map_err(refused)?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, _>>().map_err(refused)
    }

    async fn write(&self, what: &str, statements: &[(&str, Vec<Value>)]) -> Result<(), Error> {
        let refused = |error: sql::Error| self.refused(what, &error);
        let database = self.writer.get_or_try_init(|| self.open_for_writing()).await?;
        let mut transaction = database.begin().await.map_err(refused)?;
        self.fence.check().await?;
        for (sql, values) in statements {
            transaction.execute(sql, values).await.map_err(refused)?;
        }
        transaction.commit().await.map_err(refused)
    }

    async fn open_for_writing(&self) -> Result<Database, Error> {
        if let Some(folder) = self.path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(|error| Error::Refused {
                address: self.path.display().to_string(),
                command: "making the folder".to_owned(),
                message: error.to_string(),
            })?;
        }
        let database = open_sqlite_with(&self.path, SqliteMode::Create, Some(&self.interrupt))
            .await
            .map_err(|error| self.unusable(&error))?;
        let refused = |error: sql::Error| self.refused("making the tables", &error);
        let mut transaction = database.begin().await.map_err(refused)?;
        for sql in SCHEMA {
            transaction.execute(sql, &[]).await.map_err(refused)?;
        }
        transaction.commit().await.map_err(refused)?;
        Ok(database)
    }

    /// Closes the file, if a change opened it.
    #[cfg(test)]
    pub(super) async fn close(&self) {
        if let Some(database) = self.writer.get() {
            database.close().await;
        }
    }

    fn unusable(&self, error: &impl ToString) -> Error {
        Error::Unusable { address: self.path.display().to_string(), message: error.to_string() }
    }

    fn refused(&self, command: &str, error: &sql::Error) -> Error {
        let address = self.path.display().to_string();
        let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
        Error::Refused { address, command: command.to_owned(), message: format!("{error}{help}") }
    }
}

fn listed(groups: &BTreeSet<String>) -> Value {
    Value::Texts(groups.iter().cloned().map(Some).collect())
}

async fn read(
    database: &Database,
    prefixes: &BTreeSet<&str>,
    expiring: BTreeMap<String, KeyExpiry>,
) -> sql::Result<ObservedFile> {
    let mut seen = ObservedFile { keys: expiring, ..ObservedFile::default() };
    for row in database.query(TABLES, &[]).await? {
        seen.version = Some(row.text(0)?.to_owned());
        if row.integer(1)? == 0 {
            return Ok(seen);
        }
    }
    for row in database.query(NAMESPACES, &[]).await? {
        let ttl_seconds = u64::try_from(row.integer(2)?).unwrap_or(0);
        let namespace = ObservedNamespace { prefix: row.text(1)?.to_owned(), ttl_seconds };
        seen.namespaces.insert(row.text(0)?.to_owned(), namespace);
    }
    let prefixes = Value::Texts(prefixes.iter().map(|prefix| Some((*prefix).to_owned())).collect());
    for row in database.query(KEYS, &[prefixes]).await? {
        let keys = if row.bool(1)? { KeyExpiry::SomeWithoutTtl } else { KeyExpiry::Expiring };
        seen.keys.insert(row.text(0)?.to_owned(), keys);
    }
    let mut streams: BTreeMap<String, (BTreeMap<String, GroupUse>, Option<u64>)> = BTreeMap::new();
    for row in database.query(STREAMS, &[]).await? {
        let maxlen = row.get(1).and_then(|maxlen| maxlen.parse().ok());
        let (groups, _) = streams.entry(row.text(0)?.to_owned()).or_insert((BTreeMap::new(), maxlen));
        if let Some(group) = row.get(2) {
            let seen = if row.bool(3)? { GroupUse::InUse } else { GroupUse::Idle };
            groups.insert(group.to_owned(), seen);
        }
    }
    seen.streams.extend(
        streams.into_iter().map(|(name, (groups, maxlen))| (name, ObservedStream::Stream { groups, maxlen })),
    );
    Ok(seen)
}
