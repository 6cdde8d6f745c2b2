//! Secrets as types: they cannot be printed or serialised, only exposed on purpose at the place
//! where a server needs them.

use std::fmt;

use miette::Diagnostic;
use secrecy::{ExposeSecret, SecretString};

use crate::location::Location;

/// A secret of the spec: its placeholder can be shown and digested, its value cannot.
#[derive(Clone)]
pub struct Secret {
    placeholder: String,
    value: Result<SecretString, Unset>,
    pub at: Location,
}

/// The variables or files that a placeholder names and that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// As written between `${` and `}`.
    pub names: Vec<String>,
}

/// Why the password of an account or role cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PasswordError {
    /// It is needed now and its variable is unset.
    #[error("the password of {whose} needs {}, which is not set", names.join(", "))]
    #[diagnostic(code(trueup::system::unset_secret), help("set the variable and run again"))]
    Unset {
        /// The address of the account or role.
        whose: String,
        names: Vec<String>,
    },
    /// Its hash could not be computed.
    #[error("cannot hash the password of {whose}: {message}")]
    #[diagnostic(code(trueup::system::hash))]
    Hash {
        /// The address of the account or role.
        whose: String,
        /// What the library says.
        message: String,
    },
}

impl Secret {
    /// A secret with its value, or with what is missing to have it. `placeholder` is the text of
    /// the spec with `***` for what is written out, `literal` where all of it is.
    pub fn new(placeholder: impl Into<String>, value: Result<SecretString, Unset>, at: Location) -> Self {
        Self { placeholder: placeholder.into(), value, at }
    }

    /// What may be shown and digested in place of the secret: `${NAME}`, or `literal`.
    pub fn placeholder(&self) -> &str {
        &self.placeholder
    }

    /// The secret itself, or what is missing to have it.
    pub fn expose(&self) -> Result<&str, &Unset> {
        self.value.as_ref().map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.placeholder)
    }
}

/// Where a store is: resolved, or known only by its placeholder (allowed with `--world` alone).
#[derive(Debug, Clone)]
pub struct Endpoint<T> {
    /// The parsed address, or the variables that are missing to have it.
    pub to: Result<T, Unset>,
    /// The text of the spec with any literal password masked: what digests cover.
    pub written: String,
    pub at: Location,
}
