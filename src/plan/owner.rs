//! Whose bookkeeping it is. There is one a database: another stack would take back the first one's rows,
//! and an environment that is not production has no business where production is. Pure.

use miette::Diagnostic;

use super::Document;
use crate::journal;
use crate::stack::{self, Stack};

/// The stack and the environment last applied, where they are others than the spec's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub stack: Option<String>,
    pub environment: Option<String>,
}

impl Applied {
    pub(super) fn before(stack: &Stack, journal: &journal::Observed) -> Self {
        let other = |before: &Option<String>, now: &str| before.clone().filter(|before| before != now);
        Self {
            stack: other(&journal.stack, &stack.name),
            environment: other(&journal.environment, &stack.environment),
        }
    }
}

/// Why a spec may not be applied to a database, unless that is allowed by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum Anothers {
    #[error("this system database was last applied as the stack {before}, and the spec says {now}")]
    #[diagnostic(
        code(trueup::plan::another_stack),
        help("give each stack a database of its own; if that is meant, `trueup apply --allow environment`")
    )]
    Stack {
        /// That stack.
        before: String,
        /// The spec's.
        now: String,
    },
    /// Production was.
    #[error("this system database was last applied as {before}, and the spec says {now}")]
    #[diagnostic(
        code(trueup::plan::another_environment),
        help("if that is meant, `trueup apply --allow environment`")
    )]
    Environment {
        /// That environment.
        before: String,
        /// The spec's.
        now: String,
    },
}

impl Anothers {
    /// Whether a database whose bookkeeping was read is another's.
    pub fn of(stack: &Stack, journal: &journal::Observed) -> Option<Self> {
        Self::judge(Applied::before(stack, journal), &stack.name, &stack.environment)
    }

    fn judge(before: Applied, stack: &str, environment: &str) -> Option<Self> {
        match before {
            Applied { stack: Some(before), .. } => Some(Self::Stack { before, now: stack.to_owned() }),
            Applied { stack: None, environment: Some(before) }
                if stack::is_production(&before) && !stack::is_production(environment) =>
            {
                Some(Self::Environment { before, now: environment.to_owned() })
            }
            Applied { .. } => None,
        }
    }
}

impl Document {
    /// Whether the database is another's.
    pub fn is_anothers(&self) -> Option<Anothers> {
        let before =
            Applied { stack: self.stack_before.clone(), environment: self.environment_before.clone() };
        Anothers::judge(before, &self.stack, &self.environment)
    }
}
