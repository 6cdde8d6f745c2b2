//! Errors of rows and accounts. No message contains a password or a value that is not in the spec.

use miette::Diagnostic;

use crate::connection;
use crate::sql;
use crate::stack::PasswordError;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// The error is not about rows.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
    /// The password is not available or cannot be hashed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Password(#[from] PasswordError),
    /// The password is longer than bcrypt reads.
    #[error("the password of {whose} has {bytes} bytes; bcrypt reads only the first 72")]
    #[diagnostic(code(trueup::system::long_password), help("shorten it, or use `hash: argon2id`"))]
    LongPassword { whose: String, bytes: usize },
    /// A table or column is missing that the plan expected.
    #[error("{address}: {message}")]
    #[diagnostic(
        code(trueup::system::shape),
        help("the schema is not what the migrations promised; plan again to see where")
    )]
    Shape {
        /// The address of the seed, ontology or user.
        address: String,
        message: String,
    },
    /// A row was inserted and cannot be read.
    #[error("{address}: {message}; nothing was written")]
    #[diagnostic(
        code(trueup::system::refused),
        help("write the key as the table keeps it, or take the row out of the spec")
    )]
    Refused { address: String, message: String },
    /// A row reads back with other values, so that every plan would write it again.
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
        /// The key of one such row, and both values.
        example: String,
    },
}

impl Error {
    /// Wraps an SQL error with the operation that failed.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}
