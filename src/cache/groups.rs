//! Consumer groups that this tool created, according to the inventory, and which of them may be deleted:
//! those that are no longer declared and not in use. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Change, Unwanted};
use super::observed::{GroupUse, Observed, ObservedStream};
use crate::address::{Address, Kind};
use crate::digest::Fingerprint;
use crate::journal::Inventory;

/// The groups of a stream that may be deleted when only `wanted` are declared.
pub(super) fn unwanted(
    name: &str,
    groups: &BTreeMap<String, GroupUse>,
    wanted: &BTreeSet<String>,
    inventory: &Inventory,
    place: Option<Fingerprint>,
) -> Unwanted {
    let Some(known) = inventory.at(&Kind::Stream.named(name)) else { return Unwanted::default() };
    let by_key: BTreeMap<Fingerprint, (&String, GroupUse)> =
        groups.iter().map(|(group, seen)| (Fingerprint::of_text(group), (group, *seen))).collect();
    let wanted: BTreeSet<Fingerprint> = wanted.iter().map(|group| Fingerprint::of_text(group)).collect();
    let here = known.iter().filter(|(_, at)| Some(**at) == place).map(|(key, _)| *key);
    let mut unwanted = Unwanted::default();
    for key in here.filter(|key| !wanted.contains(key)) {
        match by_key.get(&key) {
            Some((_, GroupUse::InUse)) => {}
            Some((group, GroupUse::Idle)) => {
                unwanted.groups.insert((*group).clone());
                unwanted.known_as.push(key);
            }
            // Somebody deleted it, or a run did and was killed before it updated the inventory.
            None => unwanted.known_as.push(key),
        }
    }
    unwanted
}

pub(super) fn known_streams(inventory: &Inventory) -> impl Iterator<Item = &str> {
    inventory.0.keys().filter_map(|address| address.name_of(Kind::Stream))
}

/// The inventory changes of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub address: Address,
    pub stream: String,
    /// Groups that this tool will own.
    pub made: BTreeSet<String>,
    /// The inventory keys of the groups that will not exist any more.
    pub gone: Vec<Fingerprint>,
}

/// `None` for a change that does not affect groups.
pub fn claims(change: &Change) -> Option<Claims> {
    let (name, made, unwanted) = match change {
        Change::Stream { name, groups, unwanted, maxlen: _ } => (name, groups.clone(), unwanted),
        Change::TakeBack { name, unwanted } => (name, BTreeSet::new(), unwanted),
        Change::Config { .. } | Change::Namespace { .. } => return None,
    };
    Some(Claims {
        address: Kind::Stream.named(name),
        stream: name.clone(),
        made,
        gone: unwanted.known_as.clone(),
    })
}

/// For `destroy`: why groups that this tool created are kept.
pub fn why_groups_stay(observed: &Observed, inventory: &Inventory) -> Vec<String> {
    let (streams, place) = match observed {
        Observed::Unreachable { .. } => return Vec::new(),
        Observed::Redis(seen) => (&seen.streams, seen.place),
        Observed::Embedded(seen) => (&seen.streams, seen.place),
    };
    let in_use = |name: &str| -> Vec<String> {
        let Some(known) = inventory.at(&Kind::Stream.named(name)) else { return Vec::new() };
        let Some(ObservedStream::Stream { groups, maxlen: _ }) = streams.get(name) else { return Vec::new() };
        let is_ours = |group: &str| known.get(&Fingerprint::of_text(group)).copied() == place;
        let used = groups.iter().filter(|(group, seen)| **seen == GroupUse::InUse && is_ours(group));
        used.map(|(group, _)| {
            format!(
                "the group {group} of stream {name} stays: it has a consumer, or something pending or unread"
            )
        })
        .collect()
    };
    known_streams(inventory).flat_map(in_use).collect()
}
