//! Exit codes, and failures that carry one. The table is in `docs/reference/exit-codes.md`.

use std::process::ExitCode;

use miette::Diagnostic;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed, nothing applied.
    Failed = 1,
    /// `--detailed-exitcode`: there are changes.
    Changes = 2,
    /// Denied, nothing applied; a plan with a failed check.
    Denied = 3,
    /// Another run holds the lock.
    Locked = 4,
    /// The saved plan cannot be used.
    Stale = 5,
    /// Applied in part.
    Partial = 6,
    /// Wrong usage, or no way to approve.
    Usage = 64,
    Interrupted = 130,
}

impl Exit {
    /// Returns the exit code after something was applied.
    pub(super) fn after_changes(self) -> Self {
        match self {
            Self::Failed | Self::Denied => Self::Partial,
            other => other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The error that ended a command, with its exit code.
#[derive(Debug)]
pub(super) struct Failure {
    diagnostic: Box<dyn Diagnostic + Send + Sync>,
    exit: Exit,
}

impl Failure {
    /// A failure before anything was applied.
    pub(super) fn new(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { diagnostic: Box::new(diagnostic), exit: Exit::Failed }
    }

    /// A failure with another code.
    pub(super) fn with(exit: Exit, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { diagnostic: Box::new(diagnostic), exit }
    }

    /// Converts the failure after something was applied, because most codes promise that nothing
    /// was.
    #[must_use]
    pub(super) fn after_changes(self) -> Self {
        Self { exit: self.exit.after_changes(), ..self }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    pub(super) fn diagnostic(&self) -> &dyn Diagnostic {
        &*self.diagnostic
    }
}

/// Implements conversions of errors that mean "failed, nothing applied".
macro_rules! failed {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error)
            }
        })+
    };
}

failed!(
    crate::stack::SpecErrors,
    crate::world::Error,
    crate::stores::ObserveError,
    crate::journal::Error,
    Plain,
);

impl From<crate::plan::SavedError> for Failure {
    fn from(error: crate::plan::SavedError) -> Self {
        use crate::plan::SavedError as E;
        let exit = match error {
            E::File { .. } | E::NotAPlan { .. } => Exit::Failed,
            E::Altered | E::Other { .. } | E::Stale { .. } | E::UsedUp { .. } => Exit::Stale,
        };
        Self::with(exit, error)
    }
}

impl From<crate::journal::lock::Error> for Failure {
    fn from(error: crate::journal::lock::Error) -> Self {
        use crate::journal::lock::Error as E;
        let exit = match error {
            E::Held { .. } | E::Lingering { .. } => Exit::Locked,
            // Changes made before the lock was lost remain.
            E::Lost { .. } => Exit::Partial,
            E::Alive { .. }
            | E::OtherRun { .. }
            | E::ManyRuns { .. }
            | E::Database { .. }
            | E::ConnectionLost { .. }
            | E::NoAnswer { .. }
            | E::File { .. }
            | E::Pooler => Exit::Failed,
        };
        Self::with(exit, error)
    }
}

/// An error of the command line itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Plain {
    code: &'static str,
    message: String,
    help: Option<String>,
    at: Option<crate::location::Location>,
}

impl Plain {
    /// Creates an error from a code of the form `what_happened` and a message.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, at: None }
    }

    /// Creates an error for a failed file operation.
    pub(super) fn io(verb: &str, what: &str, source: &std::io::Error) -> Self {
        Self::new("io", format!("cannot {verb} {what}: {source}"))
    }

    /// Sets the help text.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn at(mut self, at: Option<crate::location::Location>) -> Self {
        self.at = at;
        self
    }
}

impl Diagnostic for Plain {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(format!("trueup::cli::{}", self.code)))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.at.as_ref().map(|at| at.source.shown() as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let at = self.at.as_ref()?;
        Some(Box::new(std::iter::once(miette::LabeledSpan::underline(at.span))))
    }
}
