//! What can go wrong with rows and accounts. No message holds a password or a value of a row that the
//! spec did not write.

use miette::Diagnostic;

use crate::connection;
use crate::sql;
use crate::stack::PasswordError;

/// The result of anything done with rows.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// It has nothing to do with the rows themselves.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
    /// A password cannot be had or hashed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Password(#[from] PasswordError),
    /// A password that bcrypt would cut off.
    #[error("the password of {whose} has {bytes} bytes; bcrypt reads only the first 72")]
    #[diagnostic(code(trueup::system::long_password), help("shorten it, or use `hash: argon2id`"))]
    LongPassword {
        /// The address of the user.
        whose: String,
        bytes: usize,
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
        message: String,
    },
    /// A row was inserted and is not there.
    #[error("{address}: {message}; nothing was written")]
    #[diagnostic(
        code(trueup::system::refused),
        help("write the key as the table keeps it, or take the row out of the spec")
    )]
    Refused { address: String, message: String },
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
        address: String,
        table: String,
        columns: Vec<String>,
        /// One of the rows: its key, what the spec writes and what is stored.
        example: String,
    },
}

impl Error {
    /// An error of a statement of this tool, with what it was for.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}
