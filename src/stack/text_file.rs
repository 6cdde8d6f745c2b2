//! Reads text files: their type and size are checked first, and a file that changes meanwhile is refused.

use std::fs;
use std::io::Read as _;
use std::path::Path;

/// Why a file was not read.
pub(super) struct Unread {
    pub what: String,
    pub help: String,
    pub missing: bool,
}

impl Unread {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into(), missing: false }
    }
}

/// Returns the text of a file without a byte-order mark.
pub(super) fn read_text(path: &Path, max_bytes: u64) -> Result<String, Unread> {
    read_marked(path, max_bytes).map(|(_, text)| text)
}

/// As [`read_text`], also returning whether there was a byte-order mark. The type and size of a
/// file are checked before it is read.
pub(super) fn read_marked(path: &Path, max_bytes: u64) -> Result<(bool, String), Unread> {
    let metadata = fs::metadata(path).map_err(|error| unread(&error))?;
    if metadata.is_dir() {
        return Err(Unread::new("it is a folder, not a file", "name a file in it"));
    }
    if !metadata.is_file() {
        return Err(Unread::new("it is not a regular file", "name a regular file"));
    }
    if metadata.len() > max_bytes {
        let (size, limit) = (metadata.len() / 1024 / 1024, max_bytes / 1024 / 1024);
        let help = format!("what is read here has {limit} MiB at most");
        return Err(Unread::new(format!("it has {size} MiB, which is too large"), help));
    }
    let bytes = read_whole(path, max_bytes)?;
    let (is_marked, bytes) = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (true, rest.to_vec()),
        None => (false, bytes),
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let line = bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let what = format!("line {line} has a NUL byte: it is binary, not text");
        return Err(Unread::new(what, "name a text file in UTF-8, and take NUL bytes out of it"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        Unread::new(format!("line {line} is not UTF-8"), "save the file in UTF-8")
    })?;
    Ok((is_marked, text))
}

/// Reads all bytes of a file. A file that changes meanwhile is rejected, because a partial file
/// would look complete.
fn read_whole(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Unread> {
    let failed = |error: std::io::Error| unread(&error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.len().min(max_bytes)).unwrap_or(0));
    file.by_ref().take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let after = file.metadata().map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let is_cut = before.len() > 0 && length != before.len();
    if is_cut || before.len() != after.len() || before.modified().ok() != after.modified().ok() {
        return Err(Unread::new("it was written while it was read", "run this again when it is complete"));
    }
    Ok(bytes)
}

fn unread(error: &std::io::Error) -> Unread {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            let help = "paths count from the file that they stand in".to_owned();
            Unread { what: "there is no such file".to_owned(), help, missing: true }
        }
        std::io::ErrorKind::PermissionDenied => {
            Unread::new("permission denied", "let the user that runs this read it")
        }
        _ => Unread::new(error.to_string(), ""),
    }
}
