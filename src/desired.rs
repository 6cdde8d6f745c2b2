//! `Desired`: the desired state of the components, derived from a stack once per run. The desired documents of
//! the vector store also depend on the observed schemas, so a plan derives them. Does no I/O.

use std::collections::BTreeMap;

use crate::sql::Dialect;
use crate::stack::Stack;
use crate::{system, target};

/// A stack with what each component derives from it.
#[derive(Debug, Clone)]
pub struct Desired<'s> {
    pub stack: &'s Stack,
    pub system: system::Desired,
    /// The enabled targets, by name.
    pub targets: BTreeMap<String, target::Desired>,
}

impl<'s> Desired<'s> {
    /// Derives the desired state for a system database of a dialect.
    pub fn new(stack: &'s Stack, dialect: Dialect) -> Self {
        let on = stack.targets.iter().filter(|(_, target)| target.on);
        Self {
            stack,
            system: system::Desired::new(stack, dialect),
            targets: on.map(|(name, spec)| (name.clone(), target::Desired::new(name, spec))).collect(),
        }
    }
}
