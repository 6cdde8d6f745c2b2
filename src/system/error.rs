//! What can go wrong with the system database: with one of its parts, or with a scratch database.

use std::path::PathBuf;

use miette::Diagnostic;

use crate::connection::Lacks;
use crate::{connection, migrations, roles, rows, sql};

/// The result of anything done with the system database.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Migrations(migrations::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Rows(rows::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Roles(roles::Error),
    /// A scratch database cannot be made on the server.
    #[error("cannot make the scratch database {database}: {source}")]
    #[diagnostic(
        code(trueup::system::scratch),
        help("the account of `system.url` needs CREATEDB, to try migrations without touching the database")
    )]
    Scratch {
        database: String,
        #[source]
        source: sql::Error,
    },
    /// A folder for a scratch database cannot be made.
    #[error("cannot make the temporary folder {}: {source}", path.display())]
    #[diagnostic(code(trueup::system::scratch_folder), help("set TMPDIR to a folder that can be written"))]
    ScratchFolder { path: PathBuf, source: std::io::Error },
}

impl Error {
    /// Whether the step that it ends has certainly changed nothing. All others may have done a part.
    pub fn has_changed_nothing(&self) -> bool {
        matches!(self, Self::Connection(error) if error.has_changed_nothing())
    }

    /// What a statement found missing, where the code says so.
    pub fn lacks(&self) -> Option<Lacks> {
        match self {
            Self::Migrations(error) => error.lacks(),
            Self::Connection(error) => error.lacks(),
            Self::Rows(_) | Self::Roles(_) | Self::Scratch { .. } | Self::ScratchFolder { .. } => None,
        }
    }

    /// Whether the connection ended before an answer was there.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Connection(error) if error.is_lost())
    }

    /// An error of a statement of this tool, with what it was for.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}

// What is wrong with the connection is so whatever it was used for.

impl From<migrations::Error> for Error {
    fn from(error: migrations::Error) -> Self {
        match error {
            migrations::Error::Connection(error) => Self::Connection(error),
            error => Self::Migrations(error),
        }
    }
}

impl From<rows::Error> for Error {
    fn from(error: rows::Error) -> Self {
        match error {
            rows::Error::Connection(error) => Self::Connection(error),
            error => Self::Rows(error),
        }
    }
}

impl From<roles::Error> for Error {
    fn from(error: roles::Error) -> Self {
        match error {
            roles::Error::Connection(error) => Self::Connection(error),
            error => Self::Roles(error),
        }
    }
}
