//! `World`: the observed state of all components with the facts of the journal, and its file format
//! for planning without access to servers.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::journal;
use crate::roles;
use crate::stack::Stack;
use crate::{cache, system, target, vector};

/// The version of the file format. Other versions are rejected.
pub const FORMAT_VERSION: u32 = 3;

/// Contains names, digests and the keys of rows that the spec put there; never other data, secrets or times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct World {
    pub system: system::Observed,
    /// The facts of the bookkeeping.
    pub journal: journal::Observed,
    /// The enabled targets, by name.
    pub targets: BTreeMap<String, target::Observed>,
    /// `None` when it was not observed.
    pub vector: Option<vector::Observed>,
    /// `None` when the spec has none.
    pub cache: Option<cache::Observed>,
}

impl World {
    /// Applies the renames of the spec.
    #[must_use]
    pub fn renamed(&self, moves: &[journal::Move]) -> Self {
        let renamed = self.clone();
        Self { system: renamed.system.renamed(moves), journal: renamed.journal.renamed(moves), ..renamed }
    }

    /// Reduces a survey to what observing for this stack alone would return, so that a plan is the
    /// same with both.
    #[must_use]
    pub fn as_asked(mut self, stack: &Stack) -> Self {
        if !roles::are_asked(&stack.system.roles, self.journal.inventory.0.keys()) {
            self.system.roles = None;
        }
        self
    }

    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// A saved world: `observe --out FILE`.
#[derive(Debug, Serialize, Deserialize)]
pub struct File {
    pub format_version: u32,
    pub trueup_version: String,
    /// The stack that it was observed for.
    pub stack: String,
    /// In RFC 3339. Not part of the world, so it is in no digest.
    pub observed_at: String,
    pub world: World,
}

/// Errors of world files.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("cannot {verb} the world {}: {source}", path.display())]
    #[diagnostic(code(trueup::world::file))]
    File {
        /// `read` or `write`.
        verb: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file is not a world of this stack.
    #[error("{} cannot be planned against: {why}", path.display())]
    #[diagnostic(code(trueup::world::unusable), help("make one with `trueup observe --out FILE`"))]
    Unusable { path: PathBuf, why: String },
}

impl File {
    pub fn new(stack: &str, observed_at: String, world: World) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            trueup_version: env!("CARGO_PKG_VERSION").to_owned(),
            stack: stack.to_owned(),
            observed_at,
            world,
        }
    }

    /// Writes the file with access for the owner only.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::File { verb: "write", path: path.to_owned(), source };
        let mut text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        write_private_json(path, &text).map_err(failed)
    }

    /// Reads a file, which must be of the given stack.
    pub fn read(path: &Path, stack: &str) -> Result<Self, Error> {
        let failed = |source| Error::File { verb: "read", path: path.to_owned(), source };
        let unusable = |why: String| Error::Unusable { path: path.to_owned(), why };
        let text = std::fs::read(path).map_err(failed)?;
        let version: Version = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        if version.format_version != FORMAT_VERSION {
            return Err(unusable(format!(
                "format_version {} is not {FORMAT_VERSION}: make the file anew with `trueup observe`",
                version.format_version
            )));
        }
        let file: Self = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        if file.stack == stack {
            Ok(file)
        } else {
            Err(unusable(format!(
                "it was observed for the stack {:?}, and the spec is {stack:?}",
                file.stack
            )))
        }
    }
}

/// Parsed first, so that an unsupported version is reported before a format error.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

/// Writes JSON with [`write_private`]. Control characters are escaped, which changes no value.
pub fn write_private_json(path: &Path, json: &str) -> std::io::Result<()> {
    write_private(path, crate::neutral::block(json).as_bytes())
}

/// Writes a file with mode 0600 atomically. A target that is not a regular file, such as a terminal or a pipe, is
/// written to and not replaced.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(content);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| std::io::Error::other("the path names no file"))?;
    let mut part = name.to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = folder.join(part);
    let written = create_private(&part).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&part, path));
    if moved.is_err() {
        // The temporary file may not exist, and the first error is the one to return.
        let _ = std::fs::remove_file(&part);
    }
    moved
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)
}
