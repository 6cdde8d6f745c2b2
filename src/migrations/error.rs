//! Errors of migrations.

use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::advice::Advice;
use crate::connection::{self, Lacks};
use crate::sql;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// The error is not about one migration.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
    #[error("migration {stem} failed in {}, line {line}, at {}: {message}", text.name(), shortened(statement))]
    #[diagnostic(code(trueup::system::migration), help("{advice}"))]
    Migration {
        stem: String,
        /// The line of the position that the database reports, or of the statement.
        line: usize,
        statement: String,
        #[source_code]
        text: Arc<NamedSource<String>>,
        #[label("this statement")]
        span: SourceSpan,
        /// The database's message without its detail, which may contain values of rows.
        message: String,
        /// The object kind that was missing, derived from the error code.
        lacks: Option<Lacks>,
        advice: Box<Advice>,
    },
    /// The file has commands that only a client such as `psql` understands.
    #[error("{file} cannot be run: {why}")]
    #[diagnostic(code(trueup::system::of_client), help("{}", crate::lint::OF_CLIENT_HELP))]
    OfClient { file: String, why: String },
    /// A statement that an earlier run executed was edited since.
    #[error("{message}")]
    #[diagnostic(
        code(trueup::system::edited_behind),
        help("restore that statement; those that are not done may be edited")
    )]
    EditedBehind { message: String },
    /// A migration relies on a table being empty, and the table has rows.
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
        stem: String,
        table: String,
        file: String,
        /// The line of the statement that relies on the assertion.
        line: usize,
        #[source_code]
        text: Arc<NamedSource<String>>,
        #[label("relies on it")]
        span: SourceSpan,
    },
    /// Another text of this migration was applied after the plan was made.
    #[error("migration {stem} was applied with checksum {applied} meanwhile; the file has {file}")]
    #[diagnostic(code(trueup::system::history), help("plan again"))]
    History {
        stem: String,
        /// The recorded checksum.
        applied: String,
        file: String,
    },
    /// No file has the requested version.
    #[error("there is no migration with version {version}")]
    #[diagnostic(code(trueup::system::no_such_migration), help("there are: {}", newest_or_none(known)))]
    NoSuchMigration {
        version: i64,
        /// The stems of the existing files.
        known: Vec<String>,
    },
}

impl Error {
    /// What was missing for a statement, derived from the error code.
    pub fn lacks(&self) -> Option<Lacks> {
        match self {
            Self::Migration { lacks, .. } => *lacks,
            Self::Connection(error) => error.lacks(),
            _ => None,
        }
    }

    /// Wraps an SQL error with the operation that failed.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}

/// The newest names of a list, because a database is usually adopted at a recent version.
fn newest_or_none(known: &[String]) -> String {
    const SHOWN: usize = 10;
    let skipped = known.len().saturating_sub(SHOWN);
    let names: Vec<&str> = known.iter().skip(skipped).map(String::as_str).collect();
    match (names.is_empty(), skipped) {
        (true, _) => "none; `system.migrations` names their folder".to_owned(),
        (false, 0) => names.join(", "),
        (false, _) => format!("… {}", names.join(", ")),
    }
}

/// The beginning of a statement on one line.
pub(crate) fn shortened(statement: &str) -> String {
    const SHOWN: usize = 60;
    let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= SHOWN {
        return format!("`{words}`");
    }
    format!("`{}…`", words.chars().take(SHOWN).collect::<String>())
}
