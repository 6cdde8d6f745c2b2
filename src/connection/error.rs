//! What can go wrong with a connection to the system database, and with any statement. No message holds a
//! password or a value of a row that the spec did not write.

use std::fmt;
use std::path::PathBuf;

use miette::Diagnostic;

use crate::sql;

/// The result of anything done over a connection.
pub type Result<T> = std::result::Result<T, Error>;

/// What to do about a server that lets nobody in.
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

/// What to do about a database in which no table can be made.
fn help_of_no_history(error: &sql::Error) -> &'static str {
    if let Some(help) = error.help_of_connection() {
        return help;
    }
    match error.code().as_deref() {
        // It may not make one; there is no schema on the search path.
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

/// What to do where a database cannot be made.
const HELP_TO_CREATE: &str =
    "the account of `system.url` needs CREATEDB, or somebody creates the database beforehand";

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// The run holds its lock no more.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] crate::journal::lock::Lost),
    /// The server or file cannot be opened.
    #[error("system: {source}")]
    #[diagnostic(code(trueup::system::unreachable), help("{}", help_of_no_connection(source)))]
    Unreachable {
        /// What the SQL door says, with the address.
        #[source]
        source: sql::Error,
    },
    /// It answers, and is older than what can be worked with.
    #[error("system: {source}")]
    #[diagnostic(
        code(trueup::system::too_old),
        help("upgrade that server, or name a newer one in `system.url`")
    )]
    TooOld {
        /// What the SQL door says, with address and version.
        #[source]
        source: sql::Error,
    },
    /// It answers, and the database does not exist.
    #[error("system: the database {address} does not exist")]
    #[diagnostic(code(trueup::system::missing), help("set `system.create_database: true`, or create it"))]
    Missing {
        /// `host:port/database`, or the path of a file.
        address: String,
    },
    /// A file of SQLite in a folder that does not exist.
    #[error("cannot make {}: its folder does not exist", path.display())]
    #[diagnostic(code(trueup::system::no_folder), help("make the folder, or correct `system.url`"))]
    NoFolder { path: PathBuf },
    /// The path of an SQLite file is something else.
    #[error("{} is not a file", path.display())]
    #[diagnostic(code(trueup::system::not_a_file), help("correct `system.url`"))]
    NotAFile { path: PathBuf },
    /// Another run is creating it, and does not end.
    #[error("another run has been creating database {database} for {seconds} s; {progress}")]
    #[diagnostic(code(trueup::system::creation_locked), help("wait for that run to end, and apply again"))]
    CreationLocked {
        database: String,
        progress: Creation,
        /// How long it was waited for.
        seconds: u64,
    },
    /// No maintenance database lets the database be created.
    #[error("cannot create database {database}: {source}; {progress}")]
    #[diagnostic(
        code(trueup::system::create_database),
        help("{}", source.help_of_connection().unwrap_or(HELP_TO_CREATE))
    )]
    CreateDatabase {
        database: String,
        /// Whether it may be there.
        progress: Creation,
        #[source]
        source: sql::Error,
    },
    /// A statement of this tool failed.
    #[error("{what}: {source}")]
    #[diagnostic(code(trueup::system::statement))]
    Statement {
        /// What to do, where the code tells.
        #[help]
        help: Option<&'static str>,
        /// What was being done, such as `reading the catalog`.
        what: String,
        #[source]
        source: sql::Error,
    },
    /// The table that sqlx keeps cannot be made.
    #[error("cannot make _sqlx_migrations, the history of migrations: {source}")]
    #[diagnostic(code(trueup::system::no_history), help("{}", help_of_no_history(source)))]
    NoHistory {
        #[source]
        source: sql::Error,
    },
    /// The connection ended before a statement of this tool was answered.
    #[error("{what}: {source}")]
    #[diagnostic(code(trueup::system::connection_lost), help("{}", sql::HELP_OF_LOST))]
    Lost {
        what: String,
        #[source]
        source: sql::Error,
    },
}

impl Error {
    /// Whether the step that it ends has certainly changed nothing. All others may have done a part.
    pub fn has_changed_nothing(&self) -> bool {
        match self {
            Self::CreateDatabase { progress, .. } | Self::CreationLocked { progress, .. } => {
                *progress == Creation::NotAsked
            }
            Self::NoFolder { .. } | Self::NotAFile { .. } => true,
            _ => false,
        }
    }

    /// Whether waiting may help: nothing answers, or the server is still starting.
    pub fn is_unreachable(&self) -> bool {
        // PostgreSQL: it cannot connect now, as while it starts; it has too many clients.
        const PASSING: [&str; 2] = ["57P03", "53300"];
        match self {
            Self::Unreachable { source } => source.code().is_none_or(|code| PASSING.contains(&code.as_ref())),
            _ => false,
        }
    }

    /// What a statement found missing, where the code says so.
    pub fn lacks(&self) -> Option<Lacks> {
        match self {
            Self::Statement { source, .. } => source.code().and_then(|code| Lacks::of(&code)),
            _ => None,
        }
    }

    /// Whether the connection ended before an answer was there.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Unreachable { source } => source.is_lost(),
            _ => false,
        }
    }

    /// A server that could not be connected to: it is too old, or else what `other` makes of it.
    pub(super) fn connecting(source: sql::Error, other: impl FnOnce(sql::Error) -> Self) -> Self {
        match source {
            sql::Error::TooOld { .. } => Self::TooOld { source },
            source => other(source),
        }
    }

    /// An error of a statement, with what it was for.
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

/// What is known of a database that was to be made, and that nobody could look for afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The server was not asked to make it, or refused.
    NotAsked,
    /// It was asked, and did not answer.
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

/// What a statement found missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    /// A row that another one refers to.
    Row,
    /// A table or a view.
    Relation,
    /// A schema, type, function or the like; in SQLite, which does not tell them apart, any object.
    Object,
}

impl Lacks {
    /// Of a code of either database.
    pub(crate) fn of(code: &str) -> Option<Self> {
        match code {
            "23503" | "787" => Some(Self::Row),
            "42P01" => Some(Self::Relation),
            // SQLite has one code for all that is wrong with a statement.
            "3F000" | "42704" | "42883" | "1" => Some(Self::Object),
            _ => None,
        }
    }

    /// Whether it may be something that is in the real database and that no migration makes.
    pub(crate) fn is_of_schema(self) -> bool {
        matches!(self, Self::Relation | Self::Object)
    }
}
