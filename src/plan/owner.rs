//! Which stack and environment a database belongs to. A database has one bookkeeping: another stack
//! would delete the rows of the first one, and a non-production environment must not be applied to
//! production. Pure.

use miette::Diagnostic;

use super::Document;
use crate::journal;
use crate::stack::{self, Stack};

/// The stack and environment last applied, where they differ from the spec's.
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

/// Why a spec must not be applied to a database without `--allow environment`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum ForeignDatabase {
    #[error("this system database was last applied as the stack {before}, and the spec says {now}")]
    #[diagnostic(
        code(trueup::plan::another_stack),
        help("give each stack a database of its own; if that is meant, `trueup apply --allow environment`")
    )]
    Stack {
        /// The stack last applied.
        before: String,
        /// The stack of the spec.
        now: String,
    },
    /// The database belongs to production.
    #[error("this system database was last applied as {before}, and the spec says {now}")]
    #[diagnostic(
        code(trueup::plan::another_environment),
        help("if that is meant, `trueup apply --allow environment`")
    )]
    Environment {
        /// The environment last applied.
        before: String,
        /// The environment of the spec.
        now: String,
    },
}

impl ForeignDatabase {
    /// Checks the bookkeeping of an observed database.
    pub fn from_journal(stack: &Stack, journal: &journal::Observed) -> Option<Self> {
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
    /// Checks the database that the plan was made for.
    pub fn foreign_database(&self) -> Option<ForeignDatabase> {
        let before =
            Applied { stack: self.stack_before.clone(), environment: self.environment_before.clone() };
        ForeignDatabase::judge(before, &self.stack, &self.environment)
    }
}
