//! What can go wrong with roles.

use miette::Diagnostic;

use crate::address::Address;
use crate::connection;
use crate::sql;
use crate::stack::PasswordError;

/// The result of anything done with roles.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// It has nothing to do with the roles themselves.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connection(#[from] connection::Error),
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
        address: String,
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
    NotGranted { address: String, left: String },
    /// What the role needs is not in the database, though the plan expected it.
    #[error("{address}: {message}")]
    #[diagnostic(
        code(trueup::system::shape),
        help("the schema is not what the migrations promised; plan again to see where")
    )]
    Shape { address: String, message: String },
    /// A password cannot be had or hashed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Password(#[from] PasswordError),
}

impl Error {
    /// An error of a statement that is about a role.
    pub(super) fn role(address: &Address) -> impl FnOnce(sql::Error) -> Self {
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

    /// An error of a statement of this tool, with what it was for.
    pub(super) fn doing(what: impl Into<String>) -> impl FnOnce(sql::Error) -> Self {
        let doing = connection::Error::doing(what);
        move |source| Self::Connection(doing(source))
    }
}
