//! What can go wrong with a migration.

use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::advice::Advice;
use crate::connection::{self, Lacks};
use crate::sql;

/// The result of anything done with migrations.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// It has nothing to do with the migration itself.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
    #[error("migration {stem} failed in {}, line {line}, at {}: {message}", text.name(), shortened(statement))]
    #[diagnostic(code(trueup::system::migration), help("{advice}"))]
    Migration {
        stem: String,
        /// Line of the statement, or of the place in it that the database names.
        line: usize,
        statement: String,
        #[source_code]
        text: Arc<NamedSource<String>>,
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
        stem: String,
        table: String,
        file: String,
        /// Line of the statement that relies on it.
        line: usize,
        #[source_code]
        text: Arc<NamedSource<String>>,
        #[label("relies on it")]
        span: SourceSpan,
    },
    /// Since the plan was made, another text of this migration was applied.
    #[error("migration {stem} was applied with checksum {applied} meanwhile; the file has {file}")]
    #[diagnostic(code(trueup::system::history), help("plan again"))]
    History {
        stem: String,
        /// What the history has.
        applied: String,
        file: String,
    },
    /// No file has the version that was asked for.
    #[error("there is no migration with version {version}")]
    #[diagnostic(code(trueup::system::no_such_migration), help("there are: {}", known_or_none(known)))]
    NoSuchMigration {
        version: i64,
        /// The stems of the files.
        known: Vec<String>,
    },
}

impl Error {
    /// What a statement found missing, where the code says so.
    pub fn lacks(&self) -> Option<Lacks> {
        match self {
            Self::Migration { lacks, .. } => *lacks,
            Self::Connection(error) => error.lacks(),
            _ => None,
        }
    }

    /// An error of a statement of this tool, with what it was for.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
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
