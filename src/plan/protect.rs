//! Protection: what the spec last applied, or this one, calls protected is neither deleted nor
//! replaced, and its block is not removed. Pure.

use std::collections::BTreeSet;

use super::Options;
use crate::address::{Address, Kind};
use crate::change::{Action, Held, Planned};
use crate::journal;
use crate::stack::Stack;

/// What protection denies: blocks that are gone, and changes that delete or replace.
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
        let thing = thing(&change.address);
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

/// Whether nothing, or something else, is there afterwards. A seed that gives up some of its rows
/// is a delete that leaves the others.
fn takes_away<C>(change: &Planned<C>) -> bool {
    match change.action {
        Action::Replace => true,
        Action::Delete => change.after.is_none(),
        Action::Create | Action::Update | Action::Run => false,
    }
}

/// The thing of the spec that a change is about.
fn thing(address: &Address) -> Address {
    match address.name_of(Kind::Documents) {
        Some(name) => Kind::Collection.named(name),
        None => address.clone(),
    }
}
