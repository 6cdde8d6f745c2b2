//! Lists the files under a folder that a glob matches. Unreadable entries are errors and never
//! count as absent, because documents without a source are deleted.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;

/// Bounds the recursion; documentation is not nested deeper.
const MAX_DEPTH: usize = 32;
/// Entries that one pattern may visit. More means that the pattern starts at the wrong folder.
const MAX_ENTRIES: usize = 100_000;
/// Problems that are reported one by one.
const MAX_PROBLEMS: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The matching files, relative to the folder, sorted.
    pub names: Vec<String>,
    /// Entries that could not be read. If there are any, the names are incomplete.
    pub problems: Vec<String>,
}

/// Lists the files that a pattern matches under a folder. A missing folder has no files.
pub(super) fn walk(folder: &Path, pattern: &str, matcher: &GlobMatcher) -> Walked {
    // An empty path is the current folder.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let is_recursive = pattern.contains("**");
    let mut walk = Walk {
        matcher,
        max_depth: if is_recursive { MAX_DEPTH } else { pattern.matches('/').count() },
        is_recursive,
        entries: 0,
        visited: HashSet::new(),
        links: Vec::new(),
        walked: Walked::default(),
    };
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => walk.problem(folder, &error),
        Ok(metadata) => {
            // Links are visited last, so that a folder is listed under its own path if it has one.
            walk.links.push(Folder { path: folder.to_owned(), prefix: String::new(), depth: 0, metadata });
            while let Some(next) = walk.links.pop() {
                walk.folder(next);
                walk.links.sort_by(|a, b| b.prefix.cmp(&a.prefix));
            }
        }
    }
    walk.walked.names.sort();
    walk.walked
}

/// A folder to be listed.
struct Folder {
    path: PathBuf,
    /// The prefix of its entries' names, relative to the start of the walk.
    prefix: String,
    depth: usize,
    metadata: Metadata,
}

struct Walk<'a> {
    matcher: &'a GlobMatcher,
    max_depth: usize,
    is_recursive: bool,
    entries: usize,
    /// Device and inode of each visited folder, to detect loops of links.
    visited: HashSet<(u64, u64)>,
    /// Folders that a link points to.
    links: Vec<Folder>,
    walked: Walked,
}

impl Walk<'_> {
    fn folder(&mut self, folder: Folder) {
        let Folder { path, prefix, depth, metadata } = folder;
        if self.is_stopped() || !self.visited.insert(identity(&path, &metadata)) {
            return;
        }
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => return self.problem(&path, &error),
        };
        for entry in entries {
            if self.is_stopped() {
                return;
            }
            match entry {
                Ok(entry) => self.entry(&path, &prefix, depth, &entry),
                Err(error) => return self.problem(&path, &error),
            }
        }
    }

    fn entry(&mut self, folder: &Path, prefix: &str, depth: usize, entry: &fs::DirEntry) {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            self.walked.problems.push(format!(
                "more than {MAX_ENTRIES} files and folders are under this pattern (the last in {}): begin it at \
                 the folder that holds the documents",
                folder.display()
            ));
            return;
        }
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let matches = self.matcher.is_match(&name);
        // The directory listing has the type of most entries; only a link must be followed.
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => return self.problem(&path, &error),
        };
        if kind.is_file() && !matches {
            return;
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // With `**` in the pattern, a broken link may stand for a missing folder of documents.
            Err(error) if matches || self.is_recursive || kind.is_dir() => {
                return self.problem(&path, &error);
            }
            Err(_) => return,
        };
        if !metadata.is_dir() && !matches {
            return;
        }
        if entry.file_name().to_str().is_none() {
            self.walked.problems.push(format!("the name of {} is not UTF-8", path.display()));
        } else if !metadata.is_dir() {
            self.walked.names.push(name);
        } else if depth < self.max_depth {
            let next = Folder { path, prefix: format!("{name}/"), depth: depth + 1, metadata };
            if kind.is_symlink() {
                self.links.push(next);
            } else {
                self.folder(next);
            }
        } else if self.is_recursive {
            let problem = format!("{} lies more than {MAX_DEPTH} folders deep", path.display());
            self.walked.problems.push(problem);
        }
    }

    fn problem(&mut self, path: &Path, error: &std::io::Error) {
        let what = match error.kind() {
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            ErrorKind::NotFound => "there is nothing where it leads".to_owned(),
            _ => error.to_string(),
        };
        self.walked.problems.push(format!("cannot read {}: {what}", path.display()));
    }

    fn is_stopped(&self) -> bool {
        self.entries > MAX_ENTRIES || self.walked.problems.len() >= MAX_PROBLEMS
    }
}

#[cfg(unix)]
fn identity(_: &Path, metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(path: &Path, _: &Metadata) -> (u64, u64) {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).hash(&mut hasher);
    (0, hasher.finish())
}
