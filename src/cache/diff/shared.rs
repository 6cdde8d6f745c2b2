//! Notes about a Redis server that others may share. It cannot carry marks, so only the inventory has what
//! this bookkeeping created. Everything else counts as another owner's, and the notes name what separates
//! environments.

use std::collections::BTreeMap;

use super::{Change, Desired, ObservedStream, Planned};
use crate::address::Kind;
use crate::digest::Fingerprint;
use crate::journal::Inventory;

/// The number of names listed in a note.
const LISTED: usize = 5;

pub(super) fn notes(
    desired: &Desired,
    changes: &[Planned<Change>],
    streams: &BTreeMap<String, ObservedStream>,
    inventory: &Inventory,
) -> Vec<String> {
    let groups = groups_of_others(desired, streams, inventory);
    let groups = (!groups.is_empty()).then(|| {
        format!(
            "cache: not made by this stack: {}. Where another environment made them, both share their messages: give \
             this one another db number in `cache.url`, streams of other names, or another Redis",
            listed(&groups)
        )
    });
    let sets = |planned: &Planned<Change>| matches!(planned.change, Change::Config { .. });
    let settings = changes.iter().any(sets).then(|| {
        "cache: settings hold for the whole server, whoever uses it: where another environment sets other values, \
         leave them out of this spec, or give it another Redis"
            .to_owned()
    });
    let prefixes: Vec<String> = changes.iter().filter_map(prefix).collect();
    let keys = (!prefixes.is_empty()).then(|| {
        format!(
            "cache: keys without a TTL get one, whoever put them there: {}. Where another environment did, give this \
             one another prefix, another db number in `cache.url`, or another Redis",
            listed(&prefixes)
        )
    });
    [groups, settings, keys].into_iter().flatten().collect()
}

/// Declared groups that exist and are not in the inventory.
fn groups_of_others(
    desired: &Desired,
    streams: &BTreeMap<String, ObservedStream>,
    inventory: &Inventory,
) -> Vec<String> {
    let of_stream = |(name, wanted): (&String, &crate::stack::Stream)| -> Vec<String> {
        let Some(ObservedStream::Stream { groups, maxlen: _ }) = streams.get(name) else { return Vec::new() };
        let made = inventory.at(&Kind::Stream.named(name));
        // A group created under another address may be the same one: a server can have several
        // addresses.
        let is_own = |group: &str| made.is_some_and(|made| made.get(&Fingerprint::of_text(group)).is_some());
        let others = wanted.groups.iter().filter(|group| groups.contains_key(*group) && !is_own(group));
        others.map(|group| format!("the group {group} of stream {name}")).collect()
    };
    desired.streams.iter().flat_map(of_stream).collect()
}

fn prefix(planned: &Planned<Change>) -> Option<String> {
    match &planned.change {
        Change::Namespace { prefix, .. } => Some(format!("{prefix:?}")),
        Change::Config { .. } | Change::Stream { .. } | Change::TakeBack { .. } => None,
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
