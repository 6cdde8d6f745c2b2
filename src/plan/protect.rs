//! Protection: an object that the last applied spec or this one marks as protected must not be
//! deleted or replaced, and its block must not be removed. Pure.

use std::collections::BTreeSet;

use super::Options;
use crate::address::{Address, Kind};
use crate::change::{Action, Held, Planned};
use crate::journal;
use crate::stack::Stack;

/// Returns what protection denies: removed blocks, and deleting or replacing changes.
pub(super) fn denied<C>(
    stack: &Stack,
    journal: &journal::Observed,
    changes: &[Planned<C>],
    options: &Options,
) -> Vec<Held> {
    let protected: BTreeSet<&Address> = journal.protected.iter().chain(&stack.protected).collect();
    let is_selected =
        |address: &Address| options.only.as_deref().is_none_or(|only| address.is_selected_by(only));
    let first = "apply it with `protect: false` first";
    let gone = protected.iter().filter(|address| !stack.declared.contains(**address));
    let mut denied: Vec<Held> = gone
        .filter(|address| is_selected(address))
        .map(|address| Held {
            address: (*address).clone(),
            reason: if options.take_back {
                format!("protected: {first}")
            } else {
                format!("protected, and its block is gone from the spec: put it back, or {first}")
            },
        })
        .collect();
    let named: BTreeSet<Address> = denied.iter().map(|held| held.address.clone()).collect();
    for change in changes.iter().filter(|change| takes_away(change) && !named.contains(&change.address)) {
        let thing = protected_object(&change.address);
        if protected.contains(&thing) {
            let what = change.action.as_str();
            let reason = if thing == change.address {
                format!("protected, and the plan would {what} it: {first}")
            } else {
                format!("{thing} is protected, and the plan would {what} this: {first}")
            };
            denied.push(Held { address: change.address.clone(), reason });
        }
    }
    denied
}

/// Whether the object is deleted or replaced by the change. A seed that loses some of its rows is a
/// delete that keeps the others.
fn takes_away<C>(change: &Planned<C>) -> bool {
    match change.action {
        Action::Replace => true,
        Action::Delete => change.after.is_none(),
        Action::Create | Action::Update | Action::Run => false,
    }
}

/// Returns the object of the spec that a change belongs to.
fn protected_object(address: &Address) -> Address {
    match address.name_of(Kind::Documents) {
        Some(name) => Kind::Collection.named(name),
        None => address.clone(),
    }
}
