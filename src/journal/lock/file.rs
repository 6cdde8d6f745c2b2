//! The lock of an SQLite database: a lock of the operating system on a file beside it. It is released when
//! the process ends, whatever the file contains.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Error, Holder, Lost, POLL, who};
use crate::journal::RunId;

/// The open, locked file. Other processes cannot take the lock, but the file can be deleted, and then
/// another process can lock a new one.
#[derive(Debug)]
pub struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Returns an error when the path no longer leads to the locked file.
    pub(super) fn check(&self) -> Result<(), Lost> {
        if is_at(&self.file, &self.path) {
            return Ok(());
        }
        Err(Lost { reason: format!("{} was removed or replaced", self.path.display()) })
    }
}

/// The path of the lock file. Symbolic links are resolved, so that two names of one database have the same
/// lock.
pub fn lock_file(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).ok().or_else(|| {
        let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        Some(folder.join(database.file_name()?))
    });
    let mut name = real.unwrap_or_else(|| database.to_owned()).into_os_string();
    name.push(".trueup-lock");
    PathBuf::from(name)
}

pub(super) async fn acquire(database: &Path, run: &RunId, patience: Duration) -> Result<Held, Error> {
    let path = lock_file(database);
    let failed = |source| Error::File { path: path.clone(), source };
    let started = Instant::now();
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            // The file was deleted meanwhile, so this lock protects nothing. The next attempt
            // creates a new one.
            Ok(()) if !is_at(&file, &path) => continue,
            Ok(()) => {
                write_holder(&mut file, run).map_err(failed)?;
                return Ok(Held { file, path });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if started.elapsed() >= patience {
            return Err(Error::Held { holder: read_holder(&mut file) });
        }
        tokio::time::sleep(POLL.min(patience.saturating_sub(started.elapsed()))).await;
    }
}

pub(super) fn status(database: &Path) -> Result<Option<Holder>, Error> {
    let path = lock_file(database);
    let Ok(mut file) = OpenOptions::new().read(true).open(&path) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
        Err(TryLockError::Error(source)) => Err(Error::File { path, source }),
    }
}

/// Whether the path still leads to the open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

fn write_holder(file: &mut File, run: &RunId) -> std::io::Result<()> {
    let since = format!("{:.0}", jiff::Timestamp::now());
    let holder = Holder { run: Some(run.to_string()), who: who(), since };
    let text = serde_json::to_string(&holder).map_err(std::io::Error::other)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.flush()
}

/// Reads the holder. A process that has just taken the lock may not have written yet, so it
/// retries.
fn read_holder(file: &mut File) -> Holder {
    for _ in 0..5 {
        let mut text = String::new();
        if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_ok()
            && let Ok(holder) = serde_json::from_str(&text)
        {
            return holder;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Holder::unknown()
}
