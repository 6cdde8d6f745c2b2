//! Whether this credential could write to a file, by its mode, its folder's and the mount. Reads
//! only: nothing is tried.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the system would let this process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Access {
    /// The file could be written.
    pub file_writable: bool,
    /// Its folder could be, and so the file be replaced.
    pub folder_writable: bool,
}

impl Access {
    /// Whether the database could be written. A folder alone is not enough: what it lets one do is
    /// to put another file in place of this one.
    pub fn could_write(self) -> bool {
        let Self { file_writable, folder_writable: _ } = self;
        file_writable
    }
}

/// Looks at a file whose path is absolute and without links.
pub(super) fn of_file(path: &Path) -> Access {
    let folder = path.parent().unwrap_or(path);
    Access { file_writable: writable(path), folder_writable: writable(folder) }
}

/// Root is asked by mode bits, because the system would say yes to it whatever they are; everybody
/// else by the system, which knows owners, groups and access lists.
#[cfg(unix)]
fn writable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

    const ANY_WRITE_BIT: u32 = 0o222;
    let mounted_read_only = statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY));
    if mounted_read_only {
        return false;
    }
    if rustix::process::geteuid().is_root() {
        path.metadata().is_ok_and(|file| file.permissions().mode() & ANY_WRITE_BIT != 0)
    } else {
        access(path, Access::WRITE_OK).is_ok()
    }
}

#[cfg(not(unix))]
fn writable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| !file.permissions().readonly())
}
