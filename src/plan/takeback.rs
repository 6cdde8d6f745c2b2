//! `destroy`: the plan of an emptied stack, with what stays and why. Pure.

use super::Work;
use crate::cache;
use crate::change::{Action, Address, Diff, Planned};
use crate::journal::Bookkeeping;
use crate::spec::Stack;
use crate::vector::{self, CollectionSeen};
use crate::world::World;

/// Says of each delete why it is there, and of everything else why it stays.
pub(super) fn explain(diff: &mut Diff<Work>, stack: &Stack, world: &World) {
    for change in diff.changes.iter_mut().filter(|change| change.action == Action::Delete) {
        "destroy".clone_into(&mut change.reason);
    }
    derived_first(diff);
    let tables = world.system.schema.tables.len();
    diff.notes.push(match world.journal.bookkeeping {
        Bookkeeping::Missing => format!(
            "there is no bookkeeping in the system database: nothing is known of what was put there, so that rows and \
             accounts stay, with {tables} tables and the history of migrations"
        ),
        Bookkeeping::Outdated | Bookkeeping::Present => format!(
            "the system database stays, with {tables} tables, the history of migrations and the bookkeeping: \
             applications write there"
        ),
    });
    let accounts: Vec<&str> =
        diff.unmanaged.iter().filter_map(|address| address.as_str().strip_prefix("system.user.")).collect();
    if !accounts.is_empty() {
        diff.notes.push(format!("accounts stay, because people use them: {}", accounts.join(", ")));
    }
    if let Some(vector::Observed::Reachable(seen)) = &world.vector {
        let notes = seen.collections.iter().filter_map(|(name, there)| why_it_stays(stack, name, there));
        diff.notes.extend(notes);
    }
    if stack.cache.is_some() {
        diff.notes.push("the cache keeps its settings, namespaces and streams".to_owned());
    }
    if let Some(observed) = &world.cache {
        diff.notes.extend(cache::why_groups_stay(observed, &world.journal.inventory));
    }
}

/// What was made of the system's data goes before that data.
fn derived_first(diff: &mut Diff<Work>) {
    let is_gone = |change: &&mut Planned<Work>| change.action == Action::Delete;
    let derived: Vec<Address> = diff
        .changes
        .iter_mut()
        .filter(is_gone)
        .filter(|change| matches!(change.address.component(), "vector" | "cache"))
        .map(|change| change.address.clone())
        .collect();
    for change in diff.changes.iter_mut().filter(is_gone) {
        if change.address.component() == "system" {
            change.needs.extend(derived.iter().cloned());
        }
    }
}

/// Why a collection that has documents of this stack is not deleted with them.
fn why_it_stays(stack: &Stack, name: &str, there: &CollectionSeen) -> Option<String> {
    let CollectionSeen { made_by, embedder: _, dimension: _, ours, foreign } = there;
    let is_ours = made_by.as_deref() == Some(stack.name.as_str());
    let others = ours.iter().filter(|(other, _)| **other != stack.name).map(|(_, ours)| ours.documents.len());
    let others = others.sum::<usize>() + foreign.len();
    match (is_ours, ours.contains_key(&stack.name)) {
        (true, _) if others == 1 => {
            Some(format!("the collection {name} stays: it holds a document of others"))
        }
        (true, _) if others > 1 => {
            Some(format!("the collection {name} stays: it holds {others} documents of others"))
        }
        (false, true) => Some(format!("the collection {name} stays: this stack did not make it")),
        (true | false, _) => None,
    }
}
