//! Compares the desired content of a store with the observed one. Pure, linear and sorted. Documents
//! without this stack's mark are only counted, and protected from being overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use super::apply::{Change, Task};
use super::desired::{Collection, Desired};
use super::difference::{Difference, LISTED, mass_delete};
use super::holding::Holding;
use super::observed::{Observed, ObservedCollection, Seen};
use super::owner::{Owner, Standing};
use crate::address::Kind;
use crate::change::{Action, Check, Diff, Fault, Guard, Held, Planned, Risks, Status};
use crate::digest::{Digest, Fingerprint};
use crate::location::Location;

/// Owners whose collections are listed in notes; the others are counted.
const OWNERS: usize = 5;

pub fn diff(desired: &Desired, observed: &Observed) -> Diff<Change> {
    match observed {
        Observed::Unreachable { message } => unreachable(desired, message),
        Observed::Reachable(seen) => compare(desired, seen),
    }
}

/// A collection of the spec, with its context.
#[derive(Clone, Copy)]
struct CollectionContext<'a> {
    desired: &'a Desired,
    name: &'a str,
    /// Its name in the store.
    stored: &'a str,
}

impl CollectionContext<'_> {
    fn change(&self, accepts: BTreeSet<Owner>, task: Task) -> Change {
        change(self.desired, self.stored, accepts, task)
    }
}

fn change(desired: &Desired, stored: &str, accepts: BTreeSet<Owner>, task: Task) -> Change {
    let (embedder, owner) = (desired.embedder.clone(), desired.claimant.owner.clone());
    Change { collection: stored.to_owned(), embedder, owner, accepts, task }
}

fn unreachable(desired: &Desired, message: &str) -> Diff<Change> {
    let held = |address| Held { address, reason: format!("vector: {message}") };
    let addresses = desired
        .collections
        .keys()
        .flat_map(|name| [Kind::Collection.named(name), Kind::Documents.named(name)]);
    Diff {
        checks: vec![Check::new(Kind::Vector, Status::Fail, message)],
        blocked: addresses.map(held).collect(),
        ..Diff::default()
    }
}

fn compare(desired: &Desired, seen: &Seen) -> Diff<Change> {
    let Seen { backend, collections } = seen;
    let message = backend.name();
    let mut diff = Diff { checks: vec![Check::new(Kind::Vector, Status::Pass, message)], ..Diff::default() };
    let wanted: BTreeMap<String, (&String, &Collection)> =
        desired.collections.iter().map(|(name, wanted)| (desired.stored(name), (name, wanted))).collect();
    for (stored, (name, wanted)) in &wanted {
        let context = CollectionContext { desired, name, stored };
        diff.merge(wanted_collection(context, wanted, collections.get(stored)));
    }
    for (stored, there) in collections.iter().filter(|(stored, _)| !wanted.contains_key(*stored)) {
        diff.changes.extend(take_back(desired, stored, there));
    }
    diff.notes.extend(others(desired, &wanted, collections));
    diff
}

fn wanted_collection(
    context: CollectionContext<'_>,
    wanted: &Collection,
    there: Option<&ObservedCollection>,
) -> Diff<Change> {
    let holding = Holding::of(context.desired, context.stored, wanted, there);
    let faults = faults(context, wanted, there, &holding);
    if !faults.is_empty() {
        return Diff { faults, ..Diff::default() };
    }
    let mut diff = Diff::default();
    match (there, holding.standing) {
        (None, _) => diff.changes.push(create(context, &wanted.at)),
        (Some(there), Some(Standing::Proven | Standing::Lost | Standing::Copied | Standing::Unproven)) => {
            diff.changes.push(adopt(context, there, &holding, &wanted.at));
        }
        (Some(there), None) => {
            diff.unchanged += 1;
            diff.notes.push(settings_note(context, there));
        }
        (Some(_), Some(Standing::Own | Standing::Foreign)) => diff.unchanged += 1,
    }
    diff.merge(documents(context, wanted, there, &holding));
    diff
}

/// Why the desired documents cannot be written to this collection.
fn faults(
    context: CollectionContext<'_>,
    wanted: &Collection,
    there: Option<&ObservedCollection>,
    holding: &Holding<'_>,
) -> Vec<Fault> {
    let CollectionContext { desired: _, name, stored } = context;
    let fault = |message: String, help: &str| Fault {
        address: Kind::Documents.named(name),
        message,
        help: Some(help.to_owned()),
        at: Some(wanted.at.clone()),
    };
    let collisions = wanted.collisions.iter().map(|id| {
        fault(
            format!("two sources of collection `{name}` both make the document `{id}`"),
            "rename one of them, or put them into two collections",
        )
    });
    let mut faults: Vec<Fault> = collisions.collect();
    let Some(there) = there else { return faults };

    if let (Some(Standing::Foreign), Some(owner)) = (holding.standing, &there.made_by) {
        faults.push(fault(
            format!("collection `{stored}` belongs to {owner}"),
            "it is left alone; under `vector:` give this environment a `prefix`, a `tenant` or a `database` of its \
             own, or give the collection another name",
        ));
        return faults;
    }
    faults.extend(other_space(context, there, holding).map(|(message, help)| fault(message, help)));
    let is_taken = |id: &String| {
        let is_owners = there
            .owned
            .iter()
            .find(|(owner, owned)| !holding.accepts.contains(*owner) && owned.documents.contains_key(id));
        let is_foreign = || !there.foreign.is_empty() && there.foreign.contains(&Fingerprint::of_text(id));
        match is_owners {
            Some((owner, _)) => Some(format!("that belongs to {owner}")),
            None => is_foreign().then(|| "that this tool did not put there".to_owned()),
        }
    };
    let taken = wanted.documents.keys().filter_map(|id| Some((id, is_taken(id)?)));
    faults.extend(taken.take(LISTED).map(|(id, whose)| {
        fault(
            format!("collection `{stored}` holds a document `{id}` {whose}"),
            "delete or rename that document by hand, or use a collection of another name",
        )
    }));
    faults
}

/// The error of a collection with vectors of another embedder or metric.
fn other_space(
    context: CollectionContext<'_>,
    there: &ObservedCollection,
    holding: &Holding<'_>,
) -> Option<(String, &'static str)> {
    const ANEW: &str = "vectors of two embedders must not meet in one collection: name the collection anew in the \
                        spec, or delete it by hand so that it is trained again";
    let CollectionContext { desired, name: _, stored } = context;
    let identity = desired.embedder.identity();
    // In a collection of another owner, this metadata key may mean anything.
    let of_collection = there.embedder.iter().filter(|_| there.made_by.is_some());
    let of_documents = there.owned.iter().filter(|(owner, _)| holding.accepts.contains(*owner));
    let mut of_all = of_collection.chain(of_documents.flat_map(|(_, owned)| &owned.embedders));
    let length = desired.embedder.dimensions();
    if let Some(other) = of_all.find(|embedder| **embedder != identity) {
        let message = format!(
            "collection `{stored}` was trained with the embedder {other}, and the spec wants {identity}"
        );
        return Some((message, ANEW));
    }
    match (there.dimension, &there.embedding_function) {
        (Some(dimension), _) if dimension != length => {
            let message = format!(
                "collection `{stored}` holds vectors of length {dimension}, and {identity} makes {length}"
            );
            Some((message, ANEW))
        }
        (_, Some(function)) if !desired.embedder.is_asked_by(function) => {
            let message = format!(
                "collection `{stored}` has {}: an application that opens it asks with the embedding function \
                 `{function}`, and the documents would have vectors of {identity}",
                settings(there)
            );
            Some((
                message,
                "if nothing else uses it, delete it by hand, so that it is made with settings that fit; or give the \
                 collection another name in the spec",
            ))
        }
        (_, _) => None,
    }
}

/// The collection's metric and embedding function, as reported by the store.
fn settings(there: &ObservedCollection) -> String {
    let space = there.space.as_deref().unwrap_or("not known");
    let function = match &there.embedding_function {
        Some(function) => format!("the embedding function `{function}`"),
        None => "no embedding function".to_owned(),
    };
    let length = there
        .dimension
        .map_or_else(|| "no vectors yet".to_owned(), |dimension| format!("vectors of length {dimension}"));
    format!("the space {space}, {function} and {length}")
}

/// A note about a collection that another program created: its settings are kept, and its other vectors may
/// be of another embedder.
fn settings_note(context: CollectionContext<'_>, there: &ObservedCollection) -> String {
    let CollectionContext { desired, name, stored } = context;
    let mut note = format!(
        "vector.documents.{name}: another program made the collection {stored}, with {}",
        settings(there)
    );
    if !there.foreign.is_empty() {
        let (count, identity) = (there.foreign.len(), desired.embedder.identity());
        let _ = write!(note, "; its {count} other documents must come from {identity} too to be comparable");
    }
    note
}

fn create(context: CollectionContext<'_>, at: &Location) -> Planned<Change> {
    let embedder = context.desired.embedder.identity();
    Planned {
        address: Kind::Collection.named(context.name),
        action: Action::Create,
        risks: Risks::SAFE,
        reason: "missing".to_owned(),
        needs: Vec::new(),
        summary: format!("make the collection for vectors of {embedder}"),
        before: None,
        after: Some(json!({ "embedder": embedder, "metric": super::METRIC })),
        diff: None,
        seen: Digest::of("absent"),
        guard: None,
        at: Some(at.clone()),
        change: context.change(BTreeSet::new(), Task::Create),
    }
}

/// Renews the mark of a collection that this bookkeeping created or takes over.
fn adopt(
    context: CollectionContext<'_>,
    there: &ObservedCollection,
    holding: &Holding<'_>,
    at: &Location,
) -> Planned<Change> {
    let needs_takeover = holding.standing.is_some_and(Standing::needs_takeover);
    let owner = there.made_by.as_ref().map(ToString::to_string).unwrap_or_default();
    let reason = match holding.standing {
        Some(Standing::Copied) => format!(
            "it was made as {owner}, and this system database may be a copy of that one: if the environment was \
             only renamed, `--allow takeover` adopts it"
        ),
        Some(standing) if standing.needs_takeover() => {
            format!("another bookkeeping of {owner} made it, which may be lost: `--allow takeover` adopts it")
        }
        _ => "an older trueup marked it with the name of the stack alone".to_owned(),
    };
    Planned {
        address: Kind::Collection.named(context.name),
        action: Action::Update,
        risks: Risks::SAFE,
        reason,
        needs: Vec::new(),
        summary: "mark the collection as this bookkeeping's".to_owned(),
        before: Some(json!({ "made_by": owner })),
        after: Some(json!({ "made_by": context.desired.claimant.owner.to_string() })),
        diff: None,
        seen: Digest::of_json(&there.made_by),
        guard: needs_takeover.then_some(Guard::Takeover { mass_delete: false }),
        at: Some(at.clone()),
        change: context.change(holding.accepts(), Task::Adopt),
    }
}

fn documents(
    context: CollectionContext<'_>,
    wanted: &Collection,
    there: Option<&ObservedCollection>,
    holding: &Holding<'_>,
) -> Diff<Change> {
    let CollectionContext { desired, name, stored: _ } = context;
    let address = Kind::Documents.named(name);
    if !wanted.unknown.is_empty() {
        let why = wanted.unknown.iter().map(|(target, why)| format!("target.{target}.access: {why}"));
        let reason = why.collect::<Vec<_>>().join("; ");
        return Diff { blocked: vec![Held { address, reason }], ..Diff::default() };
    }

    let ours = &holding.documents;
    let own = &desired.claimant.owner;
    let difference =
        Difference::of(wanted.documents.values(), |id| wanted.documents.contains_key(id), ours, own);
    if difference.is_empty() {
        return Diff { unchanged: 1, ..Diff::default() };
    }

    let count = ours.len();
    let action = match (count, wanted.documents.len()) {
        (0, _) => Action::Create,
        (_, 0) => Action::Delete,
        (_, _) => Action::Update,
    };
    let mut reason = match there {
        None => "missing".to_owned(),
        Some(_) if count == 0 => "the collection holds none of them".to_owned(),
        Some(_) => difference.reason(&desired.claimant.unfinished),
    };
    let emptied = difference.unwanted.iter().filter(|(_, seen)| wanted.is_empty_source(&seen.source));
    let is_mass_delete = mass_delete(emptied.map(|(_, seen)| seen.source.as_str()), &mut reason);
    let guard = match (holding.needs_takeover, is_mass_delete) {
        (true, mass_delete) => Some(Guard::Takeover { mass_delete }),
        (false, true) => Some(Guard::MassDelete),
        (false, false) => None,
    };
    let fingerprints: BTreeMap<&String, String> =
        wanted.documents.iter().map(|(id, document)| (id, document.fingerprint.to_string())).collect();
    let after = json!({
        "documents": wanted.documents.len(),
        "digest": Digest::of_json(&fingerprints),
        "embedder": desired.embedder.identity(),
    });
    let targets = wanted.targets.iter().map(|target| Kind::TargetSchema.named(target));
    let planned = Planned {
        address,
        action,
        risks: Risks::SAFE,
        reason,
        needs: std::iter::once(Kind::Collection.named(name)).chain(targets).collect(),
        summary: difference.summary(),
        before: (count > 0).then(|| difference.before(count)),
        after: (action != Action::Delete).then_some(after),
        diff: Some(difference.listing()).filter(|listing| !listing.is_empty()),
        seen: holding.digest(),
        guard,
        at: Some(wanted.at.clone()),
        change: context.change(holding.accepts(), difference.task()),
    };
    Diff { changes: vec![planned], ..Diff::default() }
}

/// Deletes this bookkeeping's documents in a collection that is no longer in the spec. Deletes the
/// collection too where this bookkeeping created it and it contains nothing else.
fn take_back(desired: &Desired, stored: &str, there: &ObservedCollection) -> Vec<Planned<Change>> {
    let holding = Holding::of_unwanted(&desired.claimant, stored, there);
    let name = address_name(desired, stored);
    let no_document = std::iter::empty();
    let own = &desired.claimant.owner;
    let difference = Difference::of(no_document, |_| false, &holding.documents, own);
    let planned = |address, summary, (before, diff), seen, needs, task| Planned {
        address,
        action: Action::Delete,
        risks: Risks::SAFE,
        reason: "no longer in the spec".to_owned(),
        needs,
        summary,
        before: Some(before),
        after: None,
        diff,
        seen,
        guard: None,
        at: None,
        change: change(desired, stored, holding.accepts(), task),
    };
    let mut changes = Vec::new();
    if !holding.documents.is_empty() {
        changes.push(planned(
            Kind::Documents.named(&name),
            difference.summary(),
            (difference.before(holding.documents.len()), Some(difference.listing())),
            holding.digest(),
            Vec::new(),
            difference.task(),
        ));
    }
    if holding.standing.is_some_and(Standing::is_own) && holding.is_alone {
        changes.push(planned(
            Kind::Collection.named(&name),
            "delete the collection, which nobody else uses".to_owned(),
            (json!({ "documents_of_others": 0 }), None),
            Digest::of("empty"),
            changes.iter().map(|change| change.address.clone()).collect(),
            Task::Drop,
        ));
    }
    changes
}

/// The address of a collection that is not in the spec: its name without the prefix. Without the prefix in
/// its name, the full name is used, so that addresses stay unique.
fn address_name(desired: &Desired, stored: &str) -> String {
    match stored.strip_prefix(&desired.prefix) {
        Some(name) => name.to_owned(),
        None if desired.collections.contains_key(stored) => format!("stored:{stored}"),
        None => stored.to_owned(),
    }
}

/// Notes about documents of other owners in collections of the spec, one line for each owner. A shared store has
/// any number of other collections, which do not affect this stack.
fn others(
    desired: &Desired,
    wanted: &BTreeMap<String, (&String, &Collection)>,
    collections: &BTreeMap<String, ObservedCollection>,
) -> Vec<String> {
    let mut by_owner: BTreeMap<&Owner, BTreeSet<&str>> = BTreeMap::new();
    for (stored, (_, spec)) in wanted {
        let Some(there) = collections.get(stored) else { continue };
        let holding = Holding::of(desired, stored, spec, Some(there));
        let owners = there.made_by.iter().chain(there.owned.keys());
        for owner in owners.filter(|owner| !holding.accepts.contains(*owner)) {
            by_owner.entry(owner).or_default().insert(stored);
        }
    }
    let count = by_owner.len();
    let said = |(owner, names): (&Owner, BTreeSet<&str>)| {
        let more = names.len().saturating_sub(LISTED);
        let names = names.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("vector: {names}{more} of {owner} is left alone: another bookkeeping made it")
    };
    let mut notes: Vec<String> = by_owner.into_iter().take(OWNERS).map(said).collect();
    if count > OWNERS {
        notes.push(format!("vector: what {} more bookkeepings made is left alone", count - OWNERS));
    }
    notes
}

/// For `destroy`: why a collection with documents of this bookkeeping is kept.
pub fn why_it_stays(claimant: &super::Claimant, stored: &str, there: &ObservedCollection) -> Option<String> {
    let holding = Holding::of_unwanted(claimant, stored, there);
    let others = there.len() - holding.documents.len();
    let is_own = holding.standing.is_some_and(Standing::is_own);
    match (is_own, others) {
        (true, 0) => None,
        (true, 1) => Some(format!("the collection {stored} stays: it holds a document of others")),
        (true, _) => Some(format!("the collection {stored} stays: it holds {others} documents of others")),
        (false, _) if !holding.documents.is_empty() => {
            Some(format!("the collection {stored} stays: this stack did not make it"))
        }
        (false, _) => None,
    }
}
