//! Reads a target that is an SQLite file, without writing to it and without creating files beside
//! it.
//!
//! Files in WAL mode are difficult: opening one read-only creates `-wal` and `-shm` beside it.
//! - The log is empty: the file is opened as immutable, which takes no locks. So it is compared
//!   before and
//!   after, and read again if it changed.
//! - The log is not empty and a `-shm` exists: another process has or had it open. It is opened
//!   read-only and
//!   uses the existing files.
//! - The log is not empty and no `-shm` exists: rejected, with help.
//!
//! Opening as immutable ignores a rollback journal, so a file with one is rejected.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Failure, Seen, access};
use crate::catalog::{Snapshot, introspect};
use crate::sql::{self, Database, SqliteMode, open_sqlite};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The number of attempts for a file that changes while it is read, and the pause between them.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(60);

pub(super) async fn read(path: &Path) -> Result<Seen, Failure> {
    let place = path.display().to_string();
    // SQLite looks for the log beside the file itself, not beside a link to it.
    let path = &fs::canonicalize(path).map_err(|error| refused(&error))?;
    for attempt in 1..=ATTEMPTS {
        match read_once(path).await {
            Ok(Some(seen)) => return Ok(Seen { place, ..seen }),
            Err(failure) => return Err(failure),
            Ok(None) => tokio::time::sleep(PAUSE * attempt).await,
        }
    }
    Err(Failure::Busy)
}

/// `None` when the file changed meanwhile, so that the result or error may be of an inconsistent
/// state.
async fn read_once(path: &Path) -> Result<Option<Seen>, Failure> {
    let before = State::of(path)?;
    let mode = match before.mode() {
        Err(_) if State::of(path)? != before => return Ok(None),
        mode => mode?,
    };
    let read = match open_sqlite(path, mode).await {
        Ok(database) => {
            let read = introspected(&database).await;
            database.close().await;
            read
        }
        Err(error) => Err(error),
    };
    if mode == SqliteMode::Immutable && State::of(path)? != before {
        return Ok(None);
    }
    let (snapshot, version) = read.map_err(|error| failure(&error))?;
    Ok(Some(Seen { place: path.display().to_string(), snapshot, access: access::of_file(path), version }))
}

async fn introspected(database: &Database) -> sql::Result<(Snapshot, String)> {
    let snapshot = introspect(database).await?;
    let version = database.query("SELECT sqlite_version()", &[]).await?;
    let version = version.first().and_then(|row| row.get(0)).unwrap_or_default();
    Ok((snapshot, format!("SQLite {version}")))
}

/// The state of a file and its companions, determined without opening it as a database.
#[derive(Debug, PartialEq, Eq)]
struct State {
    size_bytes: u64,
    modified: Option<SystemTime>,
    header: Header,
    log: Option<(u64, Option<SystemTime>)>,
    has_shared_memory: bool,
    /// Whether a `-journal` file contains a transaction to roll back.
    has_journal: bool,
}

/// The parsed first 100 bytes of a file.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    is_wal: bool,
    /// The minimum length of the file, where the header is valid.
    length_bytes: Option<u64>,
}

impl State {
    fn of(path: &Path) -> Result<Self, Failure> {
        let file = path.metadata().map_err(|error| refused(&error))?;
        if !file.is_file() {
            return Err(Failure::NotAFile);
        }
        if file.len() == 0 {
            return Err(Failure::Empty);
        }
        let log = beside(path, "-wal").metadata().ok();
        Ok(Self {
            size_bytes: file.len(),
            modified: modified(&file),
            header: header(path)?,
            log: log.map(|log| (log.len(), modified(&log))),
            has_shared_memory: beside(path, "-shm").exists(),
            has_journal: has_journal(path)?,
        })
    }

    fn mode(&self) -> Result<SqliteMode, Failure> {
        let Self { size_bytes, modified: _, header, log, has_shared_memory, has_journal } = self;
        let log_bytes = log.map_or(0, |(bytes, _)| bytes);
        match header.length_bytes {
            Some(length) if log_bytes == 0 && length > *size_bytes => {
                let detail = format!("{size_bytes} bytes of {length} are there");
                return Err(Failure::Corrupt { detail });
            }
            _ => {}
        }
        match (header.is_wal, log) {
            (false, None) => Ok(SqliteMode::ReadOnly),
            _ if log_bytes == 0 && *has_journal => Err(Failure::NeedsRollback),
            _ if log_bytes == 0 => Ok(SqliteMode::Immutable),
            _ if *has_shared_memory => Ok(SqliteMode::ReadOnly),
            _ => Err(Failure::NeedsCheckpoint),
        }
    }
}

/// Whether the rollback journal is in use. SQLite deletes it, truncates it or overwrites its start with
/// zeros at the end of a transaction.
fn has_journal(path: &Path) -> Result<bool, Failure> {
    let mut first = Vec::with_capacity(1);
    match File::open(beside(path, "-journal")) {
        Ok(journal) => journal.take(1).read_to_end(&mut first).map_err(|error| refused(&error))?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(refused(&error)),
    };
    Ok(first.first().is_some_and(|byte| *byte != 0))
}

fn header(path: &Path) -> Result<Header, Failure> {
    let mut bytes = Vec::with_capacity(100);
    let file = File::open(path).map_err(|error| refused(&error))?;
    file.take(100).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
    if !bytes.starts_with(MAGIC) {
        return Err(Failure::NotSqlite);
    }
    let number = |at: usize, length: usize| {
        let digits = bytes.get(at..at + length).unwrap_or_default();
        digits.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    if bytes.len() < 100 {
        return Err(Failure::Corrupt { detail: "its header is cut off".to_owned() });
    }
    // A page size of 1 means 65536. The page count is valid while both counters agree.
    let page_bytes = if number(16, 2) == 1 { 65_536 } else { number(16, 2) };
    let valid = number(24, 4) == number(92, 4);
    Ok(Header {
        is_wal: number(18, 1) == 2 || number(19, 1) == 2,
        length_bytes: valid.then(|| page_bytes * number(28, 4)),
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn modified(file: &Metadata) -> Option<SystemTime> {
    file.modified().ok()
}

fn refused(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::Missing,
        _ => Failure::Unreadable { detail: error.to_string() },
    }
}

/// Converts an SQLite error by its primary code.
fn failure(error: &sql::Error) -> Failure {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const READ_ONLY_ROLLBACK: u32 = READ_ONLY | 3 << 8;
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    let detail = error.to_string();
    match code.map(|code| code & 0xff) {
        Some(BUSY | LOCKED) => Failure::Busy,
        // Reading needs to write only to roll back a journal or to index a log.
        Some(READ_ONLY) if code == Some(READ_ONLY_ROLLBACK) => Failure::NeedsRollback,
        Some(READ_ONLY) => Failure::NeedsCheckpoint,
        Some(CORRUPT) => Failure::Corrupt { detail },
        Some(NOT_A_DATABASE) => Failure::NotSqlite,
        _ => Failure::Unreadable { detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed file in WAL mode with a table and without companions.
    async fn wal_file(folder: &Path) -> PathBuf {
        let path = folder.join("target.db");
        let database = open_sqlite(&path, SqliteMode::Create).await.unwrap();
        database.query("PRAGMA journal_mode = wal", &[]).await.unwrap();
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)", &[]).await.unwrap();
        database.close().await;
        path
    }

    #[tokio::test]
    async fn b01_a_write_through_the_tools_own_connection_fails_as_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = wal_file(folder.path()).await;
        let writer = open_sqlite(&path, SqliteMode::ReadWrite).await.unwrap();

        for logged in [false, true] {
            if logged {
                writer.execute("INSERT INTO orders VALUES (1)", &[]).await.unwrap();
            }
            let mode = State::of(&path).unwrap().mode().unwrap();
            let ours = open_sqlite(&path, mode).await.unwrap();
            ours.query("SELECT id FROM orders", &[]).await.unwrap();
            for write in ["CREATE TABLE t (x)", "INSERT INTO orders VALUES (7)", "DELETE FROM orders"] {
                let code = ours.execute(write, &[]).await.unwrap_err().code().unwrap();
                assert_eq!(code.parse::<u32>().unwrap() & 0xff, 8, "{write} in {mode:?}");
            }
            ours.close().await;
        }
        writer.close().await;
    }

    #[tokio::test]
    async fn b12_the_mode_follows_from_what_lies_beside_a_wal_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = wal_file(folder.path()).await;
        let mode = || State::of(&path).unwrap().mode();

        assert_eq!(mode(), Ok(SqliteMode::Immutable), "closed");
        fs::write(beside(&path, "-wal"), "").unwrap();
        assert_eq!(mode(), Ok(SqliteMode::Immutable), "an empty log");
        fs::write(beside(&path, "-wal"), "x").unwrap();
        assert_eq!(mode(), Err(Failure::NeedsCheckpoint), "a log that nobody has open");
        fs::write(beside(&path, "-shm"), "").unwrap();
        assert_eq!(mode(), Ok(SqliteMode::ReadOnly), "a log that somebody has open");
    }

    #[tokio::test]
    async fn b12_a_file_that_changes_while_it_is_read_is_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = wal_file(folder.path()).await;
        let before = State::of(&path).unwrap();

        let writer = open_sqlite(&path, SqliteMode::ReadWrite).await.unwrap();
        writer.execute("INSERT INTO orders VALUES (1)", &[]).await.unwrap();
        assert_ne!(State::of(&path).unwrap(), before, "a log came");
        writer.close().await;
        assert_ne!(State::of(&path).unwrap(), before, "it was written back");
    }
}
