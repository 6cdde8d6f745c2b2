//! `destroy`: the plan of an emptied stack, with the objects that are kept and why. Pure.

use super::Work;
use crate::address::{Address, Component, Kind};
use crate::cache;
use crate::change::{Action, Diff, Planned};
use crate::journal::Bookkeeping;
use crate::stack::Stack;
use crate::vector;
use crate::world::World;

/// Sets the reason of each delete, and explains why everything else is kept.
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
        diff.unmanaged.iter().filter_map(|address| address.name_of(Kind::User)).collect();
    if !accounts.is_empty() {
        diff.notes.push(format!("accounts stay, because people use them: {}", accounts.join(", ")));
    }
    if let Some(vector::Observed::Reachable(seen)) = &world.vector {
        let claimant = vector::Claimant::new(stack, &world.journal);
        let why = |(name, there): (&String, _)| vector::why_it_stays(&claimant, name, there);
        diff.notes.extend(seen.collections.iter().filter_map(why));
    }
    if stack.cache.is_some() {
        diff.notes.push("the cache keeps its settings, namespaces and streams".to_owned());
    }
    if let Some(observed) = &world.cache {
        diff.notes.extend(cache::why_groups_stay(observed, &world.journal.inventory));
    }
}

/// Deletes data that was derived from the system database before the data in it.
fn derived_first(diff: &mut Diff<Work>) {
    let is_gone = |change: &&mut Planned<Work>| change.action == Action::Delete;
    let derived: Vec<Address> = diff
        .changes
        .iter_mut()
        .filter(is_gone)
        .filter(|change| matches!(change.address.component(), Component::Vector | Component::Cache))
        .map(|change| change.address.clone())
        .collect();
    for change in diff.changes.iter_mut().filter(is_gone) {
        if change.address.component() == Component::System {
            change.needs.extend(derived.iter().cloned());
        }
    }
}
