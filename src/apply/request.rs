//! The options of a run.

use std::time::Duration;

use crate::plan::{Allow, Document};

/// The command of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Apply,
    /// Applies an emptied stack.
    Destroy,
}

impl Command {
    /// Returns the name used by `history`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Destroy => "destroy",
        }
    }
}

/// The options of a run.
#[derive(Debug)]
pub struct Request {
    pub command: Command,
    /// A saved plan: exactly its changes run, without a question.
    pub saved: Option<Document>,
    pub only: Option<String>,
    pub train: bool,
    pub allowed: Vec<Allow>,
    /// Run without a question.
    pub auto_approve: bool,
    /// Steps that run at the same time.
    pub parallelism: usize,
    pub lock_timeout: Duration,
    /// How long to wait for a server that is still starting.
    pub wait: Duration,
    /// Timeout of an observation.
    pub refresh_timeout: Duration,
}

impl Request {
    /// Whether later rounds may run changes that the first plan did not have. Not for a saved plan.
    pub(super) fn may_grow(&self) -> bool {
        self.saved.is_none()
    }
}
