//! Why a step failed, and how that is described.

use crate::address::Address;
use crate::cache;
use crate::connection;
use crate::journal::{self, lock};
use crate::neutral::one_line;
use crate::system;
use crate::vector;

/// Why a step failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum StepError {
    /// The run has lost its lock.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] lock::Lost),
    /// An error of the system database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    System(#[from] system::Error),
    /// An error of the bookkeeping.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] journal::Error),
    /// An error of the vector store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Vector(#[from] vector::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] cache::Error),
    /// The step needs a store that the spec does not have, which is a defect of this tool.
    #[error("there is no {0} to apply this to")]
    #[diagnostic(code(trueup::apply::no_store))]
    NoStore(&'static str),
    /// The task of the step ended without a result.
    #[error("the step stopped without an answer: {0}")]
    #[diagnostic(code(trueup::apply::lost))]
    Lost(String),
}

impl From<connection::Error> for StepError {
    fn from(error: connection::Error) -> Self {
        Self::System(error.into())
    }
}

impl StepError {
    /// Whether the step certainly changed nothing.
    pub(super) fn has_changed_nothing(&self) -> bool {
        matches!(self, Self::System(error) if error.has_changed_nothing())
    }

    /// Returns how the lock was lost, if that is the error.
    pub(super) fn lost_lock(&self) -> Option<&lock::Lost> {
        match self {
            Self::LockLost(lost)
            | Self::System(system::Error::Connection(connection::Error::LockLost(lost)))
            | Self::Vector(vector::Error::LockLost(lost))
            | Self::Cache(cache::Error::LockLost(lost)) => Some(lost),
            _ => None,
        }
    }
}

/// Formats the error with its causes and its help. The caller shows the name of the step.
pub(super) fn describe(address: &Address, error: &StepError) -> String {
    use miette::Diagnostic as _;
    let text = causes(error);
    let text = text.strip_prefix(&format!("{address}: ")).unwrap_or(&text);
    let text = one_line(text);
    match error.help() {
        Some(help) => format!("{text}\n    help: {}", one_line(&help.to_string())),
        None => text.into_owned(),
    }
}

/// Formats the error with those causes that add information, on one line if they have no line
/// breaks.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
