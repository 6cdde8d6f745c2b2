//! Whose a collection or a document in a shared store is. Two environments may have one stack's name and
//! one store, so a mark names the bookkeeping that made it; names alone prove nothing.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::{Address, Kind};
use crate::journal::{self, Identity};
use crate::stack::Stack;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    pub stack: String,
    /// Its environment; an older trueup wrote none.
    pub environment: Option<String>,
    /// The bookkeeping; an older trueup wrote none.
    pub identity: Option<Identity>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, environment, identity } = self;
        match (environment, identity) {
            (Some(environment), Some(identity)) => {
                write!(
                    f,
                    "the stack {stack}, environment {environment} (bookkeeping {})",
                    identity.shortened()
                )
            }
            (Some(environment), None) => write!(f, "the stack {stack}, environment {environment}"),
            (None, _) => write!(f, "the stack {stack} (an older trueup wrote no environment)"),
        }
    }
}

/// How a mark in the store relates to the bookkeeping that plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It names this bookkeeping.
    Own,
    /// It names no bookkeeping, and this one has made it on record: the mark is renewed.
    Proven,
    /// The same stack and environment, another bookkeeping: it may be lost, and then this one takes over.
    Lost,
    /// The same bookkeeping under another stack or environment: either that was renamed in the spec, or the system
    /// database was copied, and what the mark names is still in use.
    Copied,
    /// The same stack, no environment and no bookkeeping, and this one has no record of it.
    Unproven,
    /// Somebody else's.
    Foreign,
}

impl Standing {
    /// Whether it may be written and taken back without being asked.
    pub(super) fn is_own(self) -> bool {
        matches!(self, Self::Own | Self::Proven)
    }

    /// Whether only `--allow takeover` makes it this bookkeeping's.
    pub(super) fn needs_takeover(self) -> bool {
        matches!(self, Self::Lost | Self::Copied | Self::Unproven)
    }
}

/// Who plans: what its marks say, and what its bookkeeping has on record.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Without an identity while there is no bookkeeping, or one that an older trueup made.
    pub(super) owner: Owner,
    trained: BTreeSet<Address>,
    /// Runs that did not succeed.
    pub(super) unfinished: BTreeSet<journal::RunId>,
}

impl Claimant {
    /// The bookkeeping of a stack.
    pub fn new(stack: &Stack, journal: &journal::Observed) -> Self {
        Self {
            owner: Owner {
                stack: stack.name.clone(),
                environment: Some(stack.environment.clone()),
                identity: journal.identity.clone(),
            },
            trained: journal.trained.clone(),
            unfinished: journal.unfinished.clone(),
        }
    }

    /// How the mark of a collection relates to this bookkeeping.
    pub(super) fn of_collection(&self, stored: &str, mark: &Owner) -> Standing {
        self.standing(mark, || self.trained.contains(&Kind::Collection.named(stored)))
    }

    /// How the mark of documents does, in a collection whose own mark relates to it like this.
    pub(super) fn of_documents(&self, stored: &str, collection: Option<Standing>, mark: &Owner) -> Standing {
        self.standing(mark, || match collection {
            Some(standing) => standing.is_own(),
            None => self.trained.contains(&Kind::Documents.named(stored)),
        })
    }

    fn standing(&self, mark: &Owner, is_on_record: impl FnOnce() -> bool) -> Standing {
        let Owner { stack, environment, identity } = mark;
        let same_stack = *stack == self.owner.stack;
        match identity {
            Some(_) if *mark == self.owner => Standing::Own,
            Some(_) if *identity == self.owner.identity => Standing::Copied,
            Some(_) if same_stack && *environment == self.owner.environment => Standing::Lost,
            None if same_stack && is_on_record() => Standing::Proven,
            None if same_stack => Standing::Unproven,
            Some(_) | None => Standing::Foreign,
        }
    }
}
