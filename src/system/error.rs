//! What can go wrong with the system database. No message holds a password or a value of a row
//! that the spec did not write.

use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::beside::Creation;
use super::migrations::Advice;
use crate::sql;

/// The result of anything done with the system database.
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
        _ => "check that it runs and that `system.url` names it; the password is not shown here",
    }
}

/// What to do about a database in which no table can be made.
fn help_of_no_history(error: &sql::Error) -> &'static str {
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

/// What went wrong.
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
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// The path of an SQLite file is something else.
    #[error("{} is not a file", path.display())]
    #[diagnostic(code(trueup::system::not_a_file), help("correct `system.url`"))]
    NotAFile { path: PathBuf },
    /// Another run is creating it, and does not end.
    #[error("another run has been creating database {database} for {seconds} s; {progress}")]
    #[diagnostic(code(trueup::system::creation_locked), help("wait for that run to end, and apply again"))]
    CreationLocked {
        /// Its name.
        database: String,
        /// What this run did before.
        progress: Creation,
        /// How long it was waited for.
        seconds: u64,
    },
    /// No maintenance database lets the database be created.
    #[error("cannot create database {database}: {source}; {progress}")]
    #[diagnostic(
        code(trueup::system::create_database),
        help("{}", if source.is_lost() { sql::HELP_OF_LOST } else { HELP_TO_CREATE })
    )]
    CreateDatabase {
        /// Its name.
        database: String,
        /// Whether it may be there.
        progress: Creation,
        /// What the server says.
        #[source]
        source: sql::Error,
    },
    /// A scratch database cannot be made on the server.
    #[error("cannot make the scratch database {database}: {source}")]
    #[diagnostic(
        code(trueup::system::scratch),
        help("the account of `system.url` needs CREATEDB, to try migrations without touching the database")
    )]
    Scratch {
        /// Its name.
        database: String,
        /// What the server says.
        #[source]
        source: sql::Error,
    },
    /// A folder for a scratch database cannot be made.
    #[error("cannot make the temporary folder {}: {source}", path.display())]
    #[diagnostic(code(trueup::system::scratch_folder), help("set TMPDIR to a folder that can be written"))]
    ScratchFolder {
        /// The folder.
        path: PathBuf,
        source: std::io::Error,
    },
    /// No file has the version that was asked for.
    #[error("there is no migration with version {version}")]
    #[diagnostic(code(trueup::system::no_such_migration), help("there are: {}", known_or_none(known)))]
    NoSuchMigration {
        /// What was asked for.
        version: i64,
        /// The stems of the files.
        known: Vec<String>,
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
        /// What the database says.
        #[source]
        source: sql::Error,
    },
    /// The table that sqlx keeps cannot be made.
    #[error("cannot make _sqlx_migrations, the history of migrations: {source}")]
    #[diagnostic(code(trueup::system::no_history), help("{}", help_of_no_history(source)))]
    NoHistory {
        /// What the database says.
        #[source]
        source: sql::Error,
    },
    /// The connection ended before a statement of this tool was answered.
    #[error("{what}: {source}")]
    #[diagnostic(code(trueup::system::connection_lost), help("{}", sql::HELP_OF_LOST))]
    Lost {
        /// What was being done.
        what: String,
        /// What the driver says.
        #[source]
        source: sql::Error,
    },
    /// A statement of a migration failed.
    #[error("migration {stem} failed in {}, line {line}, at {}: {message}", text.name(), shortened(statement))]
    #[diagnostic(code(trueup::system::migration), help("{advice}"))]
    Migration {
        /// The file's stem.
        stem: String,
        /// Line of the statement, or of the place in it that the database names.
        line: usize,
        statement: String,
        /// The file, with its text.
        #[source_code]
        text: Arc<NamedSource<String>>,
        /// The statement in it.
        #[label("this statement")]
        span: SourceSpan,
        /// What the database says, without its details, which may show values of rows.
        message: String,
        /// What it found missing, where the code says so.
        lacks: Option<Lacks>,
        advice: Box<Advice>,
    },
    /// A migration that no server can run.
    #[error("{file} cannot be run: {why}")]
    #[diagnostic(code(trueup::system::of_client), help("{}", crate::lint::OF_CLIENT_HELP))]
    OfClient { file: String, why: String },
    /// A statement that an earlier run did is not what the file has in its place.
    #[error("{message}")]
    #[diagnostic(
        code(trueup::system::edited_behind),
        help("restore that statement; those that are not done may be edited")
    )]
    EditedBehind { message: String },
    /// A migration relies on a table being empty, and it is not any more.
    #[error(
        "migration {stem} was not run: {table} has rows, and {file}, line {line}, asserts that it is empty"
    )]
    #[diagnostic(
        code(trueup::system::asserted),
        help(
            "look at the rows of {table}: copy what must be kept, empty it and apply again; or take the assertion \
              away, and the plan shows what the statement destroys"
        )
    )]
    Asserted {
        /// The migration.
        stem: String,
        table: String,
        file: String,
        /// Line of the statement that relies on it.
        line: usize,
        /// The file's text.
        #[source_code]
        text: Arc<NamedSource<String>>,
        /// The statement in it.
        #[label("relies on it")]
        span: SourceSpan,
    },
    /// Since the plan was made, another text of this migration was applied.
    #[error("migration {stem} was applied with checksum {applied} meanwhile; the file has {file}")]
    #[diagnostic(code(trueup::system::history), help("plan again"))]
    History {
        /// The file's stem.
        stem: String,
        /// What the history has.
        applied: String,
        file: String,
    },
    /// A secret is needed now and its variable is unset.
    #[error("the password of {whose} needs {}, which is not set", names.join(", "))]
    #[diagnostic(code(trueup::system::unset_secret), help("set the variable and run again"))]
    UnsetSecret {
        /// The address of the user.
        whose: String,
        /// The variables.
        names: Vec<String>,
    },
    /// A password that bcrypt would cut off.
    #[error("the password of {whose} has {bytes} bytes; bcrypt reads only the first 72")]
    #[diagnostic(code(trueup::system::long_password), help("shorten it, or use `hash: argon2id`"))]
    LongPassword {
        /// The address of the user.
        whose: String,
        /// Its length.
        bytes: usize,
    },
    /// A hash could not be computed.
    #[error("cannot hash the password of {whose}: {message}")]
    #[diagnostic(code(trueup::system::hash))]
    Hash {
        /// The address of the user.
        whose: String,
        /// What the library says.
        message: String,
    },
    /// What the rows need is not in the database, though the plan expected it.
    #[error("{address}: {message}")]
    #[diagnostic(
        code(trueup::system::shape),
        help("the schema is not what the migrations promised; plan again to see where")
    )]
    Shape {
        /// The seed, ontology or user.
        address: String,
        /// What is missing.
        message: String,
    },
    /// A row was inserted and is not there.
    #[error("{address}: {message}; nothing was written")]
    #[diagnostic(
        code(trueup::system::refused),
        help("write the key as the table keeps it, or take the row out of the spec")
    )]
    Refused {
        /// The seed or ontology.
        address: String,
        message: String,
    },
    /// A role could not be made or mended.
    #[error("{address}: {source}")]
    #[diagnostic(
        code(trueup::system::role),
        help(
            "nothing of it was kept; the account of `system.url` needs CREATEROLE, and must own the tables \
             that it grants on or be a member of their owner"
        )
    )]
    Role {
        /// The role.
        address: String,
        /// What the server says.
        #[source]
        source: sql::Error,
    },
    /// The server took the statements of a role and did not do all of them.
    #[error("{address}: the account of `system.url` may not do this: {left}")]
    #[diagnostic(
        code(trueup::system::not_granted),
        help(
            "nothing of it was kept; what another role granted, that role must revoke (`\\dp` of psql shows who \
             it was), and what another role owns, only that role or a member of it can grant"
        )
    )]
    NotGranted {
        /// The role.
        address: String,
        /// What is still to be done.
        left: String,
    },
    /// A row was written and reads back differently, so that no plan would ever be empty.
    #[error(
        "{address}: {table} keeps other values than the spec writes, in {}; nothing was written{example}",
        columns.join(", ")
    )]
    #[diagnostic(
        code(trueup::system::not_kept),
        help("the column's type or a trigger changes them: write them in the spec as they are stored")
    )]
    NotKept {
        /// The seed or ontology.
        address: String,
        table: String,
        columns: Vec<String>,
        /// One of the rows: its key, what the spec writes and what is stored.
        example: String,
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
            Self::Migration { lacks, .. } => *lacks,
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

    /// An error of a statement that is about a role.
    pub(super) fn role(address: &crate::address::Address) -> impl FnOnce(sql::Error) -> Self {
        let address = address.to_string();
        move |source| Self::Role { address, source }
    }

    /// Whether another run changed the same role or the same row of a catalog at that moment.
    pub(super) fn is_lost_race(&self) -> bool {
        // The last is an internal error: of a row of a catalog that was written twice, nothing else says so.
        const CODES: [&str; 5] = ["23505", "40001", "40P01", "42710", "XX000"];
        let Self::Role { source, .. } = self else { return false };
        source.code().is_some_and(|code| CODES.contains(&code.as_str()))
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
    pub(super) fn of(code: &str) -> Option<Self> {
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

/// The last names of a list: whoever adopts a database means a late one.
fn known_or_none(known: &[String]) -> String {
    const SHOWN: usize = 10;
    let skipped = known.len().saturating_sub(SHOWN);
    let names: Vec<&str> = known.iter().skip(skipped).map(String::as_str).collect();
    match (names.is_empty(), skipped) {
        (true, _) => "none; `system.migrations` names their folder".to_owned(),
        (false, 0) => names.join(", "),
        (false, _) => format!("… {}", names.join(", ")),
    }
}

/// The beginning of a statement, on one line.
pub(crate) fn shortened(statement: &str) -> String {
    const SHOWN: usize = 60;
    let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= SHOWN {
        return format!("`{words}`");
    }
    format!("`{}…`", words.chars().take(SHOWN).collect::<String>())
}
