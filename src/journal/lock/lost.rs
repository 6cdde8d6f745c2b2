//! The error of a lock that was lost.

use super::Error;

/// The error of a run that lost its lock and therefore sends nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the lock was lost, so nothing more was sent: {reason}")]
#[diagnostic(
    code(trueup::lock::fenced),
    help("the same command goes on from here; `trueup lock status` shows who holds the lock now")
)]
pub struct Lost {
    /// The message of the server or about the file.
    pub reason: String,
}

impl From<Lost> for Error {
    fn from(Lost { reason }: Lost) -> Self {
        Self::Lost { reason }
    }
}
