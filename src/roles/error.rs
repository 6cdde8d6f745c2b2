//! Errors of roles.

use miette::Diagnostic;

use crate::address::Address;
use crate::connection;
use crate::sql;
use crate::stack::PasswordError;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// The error is not about a role.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
    /// A role could not be created or altered.
    #[error("{address}: {source}")]
    #[diagnostic(
        code(trueup::system::role),
        help(
            "nothing of it was kept; the account of `system.url` needs CREATEROLE, and must own the tables \
             that it grants on or be a member of their owner"
        )
    )]
    Role {
        address: String,
        #[source]
        source: sql::Error,
    },
    /// The server accepted the statements of a role but did not apply all of them.
    #[error("{address}: the account of `system.url` may not do this: {left}")]
    #[diagnostic(
        code(trueup::system::not_granted),
        help(
            "nothing of it was kept; what another role granted, that role must revoke (`\\dp` of psql shows who \
             it was), and what another role owns, only that role or a member of it can grant"
        )
    )]
    NotGranted { address: String, left: String },
    /// A table or role is missing that the plan expected.
    #[error("{address}: {message}")]
    #[diagnostic(
        code(trueup::system::shape),
        help("the schema is not what the migrations promised; plan again to see where")
    )]
    Shape { address: String, message: String },
    /// The password is not available or cannot be hashed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Password(#[from] PasswordError),
}

impl Error {
    /// Wraps an SQL error of a statement about a role.
    pub(super) fn role(address: &Address) -> impl FnOnce(sql::Error) -> Self {
        let address = address.to_string();
        move |source| Self::Role { address, source }
    }

    /// Whether another run changed the same role or catalog row at the same time.
    pub(super) fn is_lost_race(&self) -> bool {
        // XX000 is an internal error: a concurrent update of a catalog row has no code of its own.
        const CODES: [&str; 5] = ["23505", "40001", "40P01", "42710", "XX000"];
        let Self::Role { source, .. } = self else { return false };
        source.code().is_some_and(|code| CODES.contains(&code.as_str()))
    }

    /// Wraps an SQL error with the operation that failed.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}
