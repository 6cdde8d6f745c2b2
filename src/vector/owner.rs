//! Determines the owner of a collection or document in a shared store. Two environments may use the same
//! stack name and store, so a mark contains the identity of the bookkeeping, not only names.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::{Address, Kind};
use crate::journal::{self, Identity};
use crate::stack::Stack;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    pub stack: String,
    /// `None` in marks of an older trueup.
    pub environment: Option<String>,
    /// `None` in marks of an older trueup.
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

/// How a mark in the store relates to this bookkeeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has this bookkeeping's identity.
    Own,
    /// It has no identity, but this bookkeeping recorded the object: the mark is renewed.
    Proven,
    /// The same stack and environment with another identity, whose bookkeeping may be lost: can be
    /// taken over.
    Lost,
    /// This identity with another stack or environment. Either the spec renamed them, or the system
    /// database was copied and the original still uses the object.
    Copied,
    /// The same stack without environment and identity, and without a record in this bookkeeping.
    Unproven,
    /// Another owner's.
    Foreign,
}

impl Standing {
    /// Whether objects with the mark may be changed and deleted without a flag.
    pub(super) fn is_own(self) -> bool {
        matches!(self, Self::Own | Self::Proven)
    }

    /// Whether objects with the mark may be changed only with `--allow takeover`.
    pub(super) fn needs_takeover(self) -> bool {
        matches!(self, Self::Lost | Self::Copied | Self::Unproven)
    }
}

/// This bookkeeping: its mark, and the objects that it has recorded.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Without an identity before the bookkeeping exists, or where an older trueup created it.
    pub(super) owner: Owner,
    trained: BTreeSet<Address>,
    /// Runs that did not succeed.
    pub(super) unfinished: BTreeSet<journal::RunId>,
}

impl Claimant {
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

    /// How the mark of documents relates to it, given the relation of their collection's mark.
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
