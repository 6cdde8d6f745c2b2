//! Errors of connecting to the system database and of any statement on it. No message contains a password
//! or a value that is not in the spec.

use std::fmt;
use std::path::PathBuf;

use miette::Diagnostic;

use crate::sql;

pub type Result<T> = std::result::Result<T, Error>;

/// The help text of a failed connection, by error code.
fn help_of_no_connection(error: &sql::Error) -> &'static str {
    match error.code().as_deref() {
        Some("28P01" | "28000") => {
            "the server answers and refuses the account: check user and password of `system.url`, and pg_hba.conf; \
             the password is not shown here"
        }
        None if error.is_lost() => sql::HELP_OF_LOST,
        Some("42501") => "the account needs CONNECT: `GRANT CONNECT ON DATABASE … TO …`",
        _ => sql::HELP_OF_NO_CONNECTION,
    }
}

/// The help text of a history table that cannot be created, by error code.
fn help_of_no_history(error: &sql::Error) -> &'static str {
    if let Some(help) = error.help_of_connection() {
        return help;
    }
    match error.code().as_deref() {
        // Insufficient privilege; no schema on the search path.
        Some("42501" | "3F000") => {
            "the account of `system.url` may not make tables in the first schema of its search path: `GRANT USAGE, \
             CREATE ON SCHEMA public TO …`, which PostgreSQL from 15 on gives to the owner of the database alone, or \
             a schema of its own and `ALTER ROLE … SET search_path = …`"
        }
        Some("25006") => {
            "the account, the database or the server only reads: `default_transaction_read_only` is on, or it is \
             a standby"
        }
        Some(code) if sql::FULL.contains(&code) => sql::FULL_HELP,
        _ => "migrations are recorded in that table, as sqlx does",
    }
}

const HELP_TO_CREATE: &str =
    "the account of `system.url` needs CREATEDB, or somebody creates the database beforehand";

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// The run has lost its lock.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] crate::journal::lock::Lost),
    #[error("system: {source}")]
    #[diagnostic(code(trueup::system::unreachable), help("{}", help_of_no_connection(source)))]
    Unreachable {
        /// The SQL error, with the address.
        #[source]
        source: sql::Error,
    },
    /// The server's version is not supported.
    #[error("system: {source}")]
    #[diagnostic(
        code(trueup::system::too_old),
        help("upgrade that server, or name a newer one in `system.url`")
    )]
    TooOld {
        /// The SQL error, with address and version.
        #[source]
        source: sql::Error,
    },
    /// The server responds, but the database does not exist.
    #[error("system: the database {address} does not exist")]
    #[diagnostic(code(trueup::system::missing), help("set `system.create_database: true`, or create it"))]
    Missing {
        /// `host:port/database`, or the path of a file.
        address: String,
    },
    /// The folder of an SQLite file does not exist.
    #[error("cannot make {}: its folder does not exist", path.display())]
    #[diagnostic(code(trueup::system::no_folder), help("make the folder, or correct `system.url`"))]
    NoFolder { path: PathBuf },
    /// The path of an SQLite file is a folder or another kind of file.
    #[error("{} is not a file", path.display())]
    #[diagnostic(code(trueup::system::not_a_file), help("correct `system.url`"))]
    NotAFile { path: PathBuf },
    /// Another run has been creating the database for too long.
    #[error("another run has been creating database {database} for {seconds} s; {progress}")]
    #[diagnostic(code(trueup::system::creation_locked), help("wait for that run to end, and apply again"))]
    CreationLocked {
        database: String,
        progress: Creation,
        /// How long this run waited.
        seconds: u64,
    },
    /// The database cannot be created from any maintenance database.
    #[error("cannot create database {database}: {source}; {progress}")]
    #[diagnostic(
        code(trueup::system::create_database),
        help("{}", source.help_of_connection().unwrap_or(HELP_TO_CREATE))
    )]
    CreateDatabase {
        database: String,
        /// Whether the database may have been created.
        progress: Creation,
        #[source]
        source: sql::Error,
    },
    #[error("{what}: {source}")]
    #[diagnostic(code(trueup::system::statement))]
    Statement {
        /// Chosen by error code.
        #[help]
        help: Option<&'static str>,
        /// The operation, such as `reading the catalog`.
        what: String,
        #[source]
        source: sql::Error,
    },
    /// The history table of sqlx cannot be created.
    #[error("cannot make _sqlx_migrations, the history of migrations: {source}")]
    #[diagnostic(code(trueup::system::no_history), help("{}", help_of_no_history(source)))]
    NoHistory {
        #[source]
        source: sql::Error,
    },
    /// The connection was lost before the response to a statement.
    #[error("{what}: {source}")]
    #[diagnostic(code(trueup::system::connection_lost), help("{}", sql::HELP_OF_LOST))]
    Lost {
        what: String,
        #[source]
        source: sql::Error,
    },
}

impl Error {
    /// Whether the failed step has certainly changed nothing.
    pub fn has_changed_nothing(&self) -> bool {
        match self {
            Self::CreateDatabase { progress, .. } | Self::CreationLocked { progress, .. } => {
                *progress == Creation::NotAsked
            }
            Self::NoFolder { .. } | Self::NotAFile { .. } => true,
            _ => false,
        }
    }

    /// Whether a retry may help: the server does not respond, or is still starting.
    pub fn is_unreachable(&self) -> bool {
        // PostgreSQL: cannot connect now, as during startup; too many connections.
        const PASSING: [&str; 2] = ["57P03", "53300"];
        match self {
            Self::Unreachable { source } => source.code().is_none_or(|code| PASSING.contains(&code.as_ref())),
            _ => false,
        }
    }

    /// What was missing for a statement, derived from the error code.
    pub fn lacks(&self) -> Option<Lacks> {
        match self {
            Self::Statement { source, .. } => source.code().and_then(|code| Lacks::of(&code)),
            _ => None,
        }
    }

    /// Whether the connection was lost before the response.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Unreachable { source } => source.is_lost(),
            _ => false,
        }
    }

    /// The error of a failed connection: the version is not supported, or else the result of
    /// `other`.
    pub(super) fn connecting(source: sql::Error, other: impl FnOnce(sql::Error) -> Self) -> Self {
        match source {
            sql::Error::TooOld { .. } => Self::TooOld { source },
            source => other(source),
        }
    }

    /// Wraps an SQL error with the operation that failed.
    pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let what = what.into();
        move |source| {
            if source.is_lost() {
                return Self::Lost { what, source };
            }
            let help = source.help();
            Self::Statement { what, help, source }
        }
    }
}

/// Whether CREATE DATABASE may have succeeded, where this could not be checked afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The statement was not sent, or was rejected.
    NotAsked,
    /// The statement was sent, and the connection was lost before the response.
    Unknown,
}

impl fmt::Display for Creation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "it was not made",
            Self::Unknown => "whether it was made is not known",
        })
    }
}

/// What a failed statement needed and did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    /// The parent row of a foreign key.
    Row,
    /// A table or a view.
    Relation,
    /// A schema, type, function or similar object; in SQLite any object, because its code does not
    /// distinguish them.
    Object,
}

impl Lacks {
    /// Classifies an error code of either database.
    pub(crate) fn of(code: &str) -> Option<Self> {
        match code {
            "23503" | "787" => Some(Self::Row),
            "42P01" => Some(Self::Relation),
            // SQLite has one code for all errors in a statement.
            "3F000" | "42704" | "42883" | "1" => Some(Self::Object),
            _ => None,
        }
    }

    /// Whether it may be an object of the real database that no migration creates.
    pub(crate) fn is_of_schema(self) -> bool {
        matches!(self, Self::Relation | Self::Object)
    }
}
