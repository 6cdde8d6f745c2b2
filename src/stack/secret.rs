//! Secret types: they cannot be printed or serialised, only exposed explicitly for a connection.

use std::fmt;

use miette::Diagnostic;
use secrecy::{ExposeSecret, SecretString};

use crate::location::Location;

/// A secret of the spec. Its placeholder can be shown and digested, its value cannot.
#[derive(Clone)]
pub struct Secret {
    placeholder: String,
    value: Result<SecretString, Unset>,
    pub at: Location,
}

/// The variables or files of a placeholder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// The names as written between `${` and `}`.
    pub names: Vec<String>,
}

/// Why the password of an account or role cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PasswordError {
    /// The password is required now, but its variable is unset.
    #[error("the password of {whose} needs {}, which is not set", names.join(", "))]
    #[diagnostic(code(trueup::system::unset_secret), help("set the variable and run again"))]
    Unset {
        /// The address of the account or role.
        whose: String,
        names: Vec<String>,
    },
    /// The hash could not be computed.
    #[error("cannot hash the password of {whose}: {message}")]
    #[diagnostic(code(trueup::system::hash))]
    Hash {
        /// The address of the account or role.
        whose: String,
        /// The message of the hashing library.
        message: String,
    },
}

impl Secret {
    /// Creates a secret from its value or from the names that are missing. `placeholder` is the
    /// text of the spec with `***` for literal parts, or `literal` if all of it is literal.
    pub fn new(placeholder: impl Into<String>, value: Result<SecretString, Unset>, at: Location) -> Self {
        Self { placeholder: placeholder.into(), value, at }
    }

    /// Returns the displayable form of the secret: `${NAME}`, or `literal`.
    pub fn placeholder(&self) -> &str {
        &self.placeholder
    }

    /// Returns the secret, or the names that are missing.
    pub fn expose(&self) -> Result<&str, &Unset> {
        self.value.as_ref().map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.placeholder)
    }
}

/// The address of a store, resolved or (only with `--world`) represented by its placeholder.
#[derive(Debug, Clone)]
pub struct Endpoint<T> {
    /// The parsed address, or the variables that are missing.
    pub to: Result<T, Unset>,
    /// The text of the spec with literal passwords masked, which digests include.
    pub written: String,
    pub at: Location,
}
