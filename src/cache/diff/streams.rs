//! Compares streams: missing groups are created; groups that this tool created, that are no longer declared
//! and not in use, are deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Change, Comparison, Desired, ObservedStream, Unwanted, held, planned};
use crate::address::Kind;
use crate::cache::groups;
use crate::change::{Action, Fault, Planned};
use crate::digest::{Digest, Fingerprint};
use crate::journal::Inventory;
use crate::stack::Stream;

/// The inventory of created groups, and the server that it is compared with.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) place: Option<Fingerprint>,
}

/// Compares `cache.stream.NAME`. Undeclared groups are deleted if this tool created them and they are idle;
/// all others are kept.
pub(super) fn stream(
    name: &str,
    wanted: &Stream,
    maxlen: Option<u64>,
    seen: &ObservedStream,
    known: Known<'_>,
) -> Comparison {
    let Stream { groups: wanted_groups, maxlen: _, at } = wanted;
    let address = Kind::Stream.named(name);
    let wanted_groups: BTreeSet<String> = wanted_groups.iter().cloned().collect();
    match seen {
        ObservedStream::Missing => Comparison::Change(Box::new(Planned {
            summary: format!("stream {name}{}", with_groups(&wanted_groups)),
            after: Some(as_value(&wanted_groups, maxlen)),
            ..planned(
                address,
                (Action::Create, "missing"),
                Digest::of_json(&"missing"),
                at,
                Change::Stream {
                    name: name.to_owned(),
                    groups: wanted_groups,
                    unwanted: Unwanted::default(),
                    maxlen,
                },
            )
        })),
        ObservedStream::Stream { groups, maxlen: was } => {
            let there: BTreeSet<String> = groups.keys().cloned().collect();
            let missing: BTreeSet<String> = wanted_groups.difference(&there).cloned().collect();
            let unwanted = groups::unwanted(name, groups, &wanted_groups, known.inventory, known.place);
            let mut reasons = Vec::new();
            let mut what = Vec::new();
            if !missing.is_empty() {
                reasons.push("groups missing");
                what.push(format!("gets{}", named(&missing)));
            }
            if !unwanted.known_as.is_empty() {
                reasons.push("groups no longer wanted");
                what.push(loses(&unwanted));
            }
            if *was != maxlen {
                reasons.push("maxlen differs");
                what.push(format!("keeps {}", kept(maxlen)));
            }
            if reasons.is_empty() {
                return Comparison::Unchanged;
            }
            let left: BTreeSet<String> = there
                .union(&wanted_groups)
                .filter(|group| !unwanted.groups.contains(*group))
                .cloned()
                .collect();
            Comparison::Change(Box::new(Planned {
                summary: format!("stream {name} {}", what.join(" and ")),
                before: Some(as_value(&there, *was)),
                after: Some(as_value(&left, maxlen)),
                ..planned(
                    address,
                    (Action::Update, &reasons.join(", ")),
                    Digest::of_json(&(&there, was)),
                    at,
                    Change::Stream { name: name.to_owned(), groups: missing, unwanted, maxlen },
                )
            }))
        }
        ObservedStream::NotAStream => Comparison::Fault(Fault {
            address,
            message: format!("the key {name:?} holds something that is no stream"),
            help: Some("give the stream another name, or remove the key yourself".to_owned()),
            at: Some(at.clone()),
        }),
        ObservedStream::Forbidden => {
            Comparison::Blocked(held(address, "the server does not let this user look at the stream (XINFO)"))
        }
    }
}

/// Groups of streams that were removed from the spec. The stream itself is kept, because it may
/// have entries.
pub(super) fn gone_streams(
    desired: &Desired,
    streams: &BTreeMap<String, ObservedStream>,
    known: Known<'_>,
) -> Vec<Comparison> {
    let no_groups = BTreeMap::new();
    let gone = groups::known_streams(known.inventory).filter(|name| !desired.streams.contains_key(*name));
    let verdict = |name: &str| {
        let groups = match streams.get(name) {
            Some(ObservedStream::Stream { groups, maxlen: _ }) => groups,
            None | Some(ObservedStream::Missing | ObservedStream::NotAStream) => &no_groups,
            Some(ObservedStream::Forbidden) => return None,
        };
        let unwanted = groups::unwanted(name, groups, &BTreeSet::new(), known.inventory, known.place);
        let there: BTreeSet<&String> = groups.keys().collect();
        let planned = Planned {
            summary: format!("stream {name} stays and {}", loses(&unwanted)),
            before: Some(json!({ "groups": there })),
            at: None,
            ..planned(
                Kind::Stream.named(name),
                (Action::Delete, "no longer in the spec"),
                Digest::of_json(&there),
                &desired.at,
                Change::TakeBack { name: name.to_owned(), unwanted: unwanted.clone() },
            )
        };
        (!unwanted.known_as.is_empty()).then(|| Comparison::Change(Box::new(planned)))
    };
    gone.filter_map(verdict).collect()
}

fn loses(unwanted: &Unwanted) -> String {
    let Unwanted { groups, known_as } = unwanted;
    match (groups.is_empty(), known_as.len()) {
        (false, _) => format!("loses{}", named(groups)),
        (true, 1) => "had a group that is gone already".to_owned(),
        (true, _) => "had groups that are gone already".to_owned(),
    }
}

fn with_groups(groups: &BTreeSet<String>) -> String {
    if groups.is_empty() { String::new() } else { format!(" with{}", named(groups)) }
}

fn named(groups: &BTreeSet<String>) -> String {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!(" group{plural} {}", names.join(", "))
}

fn kept(maxlen: Option<u64>) -> String {
    maxlen.map_or_else(|| "every entry".to_owned(), |maxlen| format!("{maxlen} entries"))
}

fn as_value(groups: &BTreeSet<String>, maxlen: Option<u64>) -> Value {
    match maxlen {
        Some(maxlen) => json!({ "groups": groups, "maxlen": maxlen }),
        None => json!({ "groups": groups }),
    }
}
