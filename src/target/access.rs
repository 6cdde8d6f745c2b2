//! Determines from permissions and mount flags whether this account could write to a file. Tries no
//! write.

use std::path::Path;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Access {
    pub file_writable: bool,
    /// The folder is writable, so the file could be replaced.
    pub folder_writable: bool,
}

impl Access {
    /// Whether the database could be changed. A writable folder alone only allows to replace the
    /// file.
    pub fn could_write(self) -> bool {
        let Self { file_writable, folder_writable: _ } = self;
        file_writable
    }
}

/// The path must be absolute and without symbolic links.
pub(super) fn of_file(path: &Path) -> Access {
    let folder = path.parent().unwrap_or(path);
    Access { file_writable: writable(path), folder_writable: writable(folder) }
}

/// For root only the mode bits are checked, because the system allows root everything. For others the
/// system is asked, which considers owners, groups and access lists.
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
