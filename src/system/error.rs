//! Errors of the system database, of its parts, and of scratch databases.

use std::path::PathBuf;

use miette::Diagnostic;

use crate::connection::Lacks;
use crate::{connection, migrations, roles, rows, sql};

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
    /// A scratch database cannot be created on the server.
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
    /// The folder of a scratch database cannot be created.
    #[error("cannot make the temporary folder {}: {source}", path.display())]
    #[diagnostic(code(trueup::system::scratch_folder), help("set TMPDIR to a folder that can be written"))]
    ScratchFolder { path: PathBuf, source: std::io::Error },
}

impl Error {
    /// Whether the failed step has certainly changed nothing.
    pub fn has_changed_nothing(&self) -> bool {
        matches!(self, Self::Connection(error) if error.has_changed_nothing())
    }

    /// What was missing for a statement, derived from the error code.
    pub fn lacks(&self) -> Option<Lacks> {
        match self {
            Self::Migrations(error) => error.lacks(),
            Self::Connection(error) => error.lacks(),
            Self::Rows(_) | Self::Roles(_) | Self::Scratch { .. } | Self::ScratchFolder { .. } => None,
        }
    }

    /// Whether the connection was lost before the response.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Connection(error) if error.is_lost())
    }

    /// Wraps an SQL error with the operation that failed.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}

// Connection errors are unwrapped, so that they look the same in every room.

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
