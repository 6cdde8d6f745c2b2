//! What must be done so that a store holds what is wanted: pure, linear, sorted. What does not
//! carry this stack's mark is counted and otherwise left out of every decision but one: that no
//! document of ours is written over it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::apply::Change;
use super::desired::{Collection, Desired};
use super::documents::Document;
use super::observed::{Backend, BackendKind, CollectionSeen, DocumentSeen, Observed, Seen};
use crate::change::{Action, Address, Check, Diff, Fault, Guard, Held, Planned, Risk, Status};
use crate::digest::{Digest, Fingerprint};
use crate::spec::Location;

/// Ids that a plan lists of one kind; the others are counted.
const LISTED: usize = 20;

/// The plan's line while `auto_train_vector` is off: the store is neither read, written nor
/// emptied.
pub fn training_is_off() -> Diff<Change> {
    let note =
        "training is off (auto_train_vector): the vector store is left as it is; --train asks for it once";
    Diff { notes: vec![note.to_owned()], ..Diff::default() }
}

/// Compares what is wanted with what was observed.
pub fn diff(desired: &Desired, observed: &Observed) -> Diff<Change> {
    match observed {
        Observed::Unreachable { message } => unreachable(desired, message),
        Observed::Reachable(seen) => compare(desired, seen),
    }
}

fn unreachable(desired: &Desired, message: &str) -> Diff<Change> {
    let held = |address| Held { address, reason: format!("vector: {message}") };
    let addresses =
        desired.collections.keys().flat_map(|name| [collection_address(name), documents_address(name)]);
    Diff {
        checks: vec![Check::new("vector", Status::Fail, message)],
        blocked: addresses.map(held).collect(),
        ..Diff::default()
    }
}

fn compare(desired: &Desired, seen: &Seen) -> Diff<Change> {
    let Seen { backend, collections } = seen;
    let message = name_of(backend);
    let mut diff = Diff { checks: vec![Check::new("vector", Status::Pass, message)], ..Diff::default() };
    for (name, wanted) in &desired.collections {
        diff.merge(wanted_collection(desired, name, wanted, collections.get(name)));
    }
    for (name, there) in collections {
        if !desired.collections.contains_key(name) {
            diff.changes.extend(take_back(desired, name, there));
        }
    }
    diff
}

fn name_of(Backend { kind, version }: &Backend) -> String {
    match (kind, version) {
        (BackendKind::Chroma, Some(version)) => format!("Chroma {version}"),
        (BackendKind::Chroma, None) => "Chroma".to_owned(),
        (BackendKind::Sqlite, Some(version)) => version.clone(),
        (BackendKind::Sqlite, None) => "sqlite-vec, a new file".to_owned(),
    }
}

fn wanted_collection(
    desired: &Desired,
    name: &str,
    wanted: &Collection,
    there: Option<&CollectionSeen>,
) -> Diff<Change> {
    let faults = faults(desired, name, wanted, there);
    if !faults.is_empty() {
        return Diff { faults, ..Diff::default() };
    }
    let mut diff = Diff::default();
    match there {
        Some(_) => diff.unchanged += 1,
        None => diff.changes.push(create(desired, name, &wanted.at)),
    }
    diff.merge(documents(desired, name, wanted, there));
    diff
}

/// What makes it impossible to hold the wanted documents in this collection.
fn faults(desired: &Desired, name: &str, wanted: &Collection, there: Option<&CollectionSeen>) -> Vec<Fault> {
    let fault = |message: String, help: &str| Fault {
        address: documents_address(name),
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

    let CollectionSeen { made_by, embedder, dimension, ours, foreign } = there;
    let other_space = "vectors of two embedders must not meet in one collection: name the collection anew in \
                       the spec, or delete it by hand so that it is trained again";
    let identity = desired.embedder.identity();
    // What stands under this key in a collection of someone else's may mean anything.
    let of_collection = embedder.iter().filter(|_| made_by.is_some());
    let of_documents = ours.get(&desired.stack).into_iter().flat_map(|ours| &ours.embedders);
    let other = of_collection.chain(of_documents).find(|embedder| **embedder != identity);
    let length = desired.embedder.dimensions();
    match (other, dimension) {
        (Some(other), _) => faults.push(fault(
            format!(
                "collection `{name}` was trained with the embedder {other}, and the spec wants {identity}"
            ),
            other_space,
        )),
        (None, Some(dimension)) if *dimension != length => faults.push(fault(
            format!("collection `{name}` holds vectors of length {dimension}, and {identity} makes {length}"),
            other_space,
        )),
        (None, Some(_) | None) => {}
    }

    let others =
        || ours.iter().filter(|(stack, _)| **stack != desired.stack).map(|(_, ours)| &ours.documents);
    let is_taken = |id: &String| {
        (!foreign.is_empty() && foreign.contains(&Fingerprint::of_text(id)))
            || others().any(|documents| documents.contains_key(id))
    };
    faults.extend(wanted.documents.keys().filter(|id| is_taken(id)).take(LISTED).map(|id| {
        fault(
            format!("collection `{name}` holds a document `{id}` that this stack did not put there"),
            "delete or rename that document by hand, or use a collection of another name",
        )
    }));
    faults
}

fn create(desired: &Desired, name: &str, at: &Location) -> Planned<Change> {
    let embedder = desired.embedder.identity();
    Planned {
        address: collection_address(name),
        action: Action::Create,
        risk: Risk::Safe,
        reason: "missing".to_owned(),
        needs: Vec::new(),
        summary: format!("make the collection for vectors of {embedder}"),
        before: None,
        after: Some(json!({ "embedder": embedder, "metric": super::METRIC })),
        diff: None,
        seen: Digest::of("absent"),
        guard: None,
        at: Some(at.clone()),
        change: Change::CreateCollection {
            collection: name.to_owned(),
            stack: desired.stack.clone(),
            embedder: desired.embedder.clone(),
        },
    }
}

/// How the documents that are there differ from those that are wanted, by id.
#[derive(Default)]
struct Difference<'a> {
    missing: Vec<&'a Document>,
    differing: Vec<&'a Document>,
    unwanted: Vec<(&'a String, &'a DocumentSeen)>,
}

impl<'a> Difference<'a> {
    fn of(
        wanted: impl Iterator<Item = &'a Document>,
        is_wanted: impl Fn(&String) -> bool,
        there: Option<&'a BTreeMap<String, DocumentSeen>>,
    ) -> Self {
        let mut difference = Self::default();
        for document in wanted {
            match there.and_then(|there| there.get(&document.id)) {
                None => difference.missing.push(document),
                Some(seen) if seen.fingerprint != Some(document.fingerprint) => {
                    difference.differing.push(document);
                }
                Some(_) => {}
            }
        }
        difference.unwanted = there.into_iter().flatten().filter(|(id, _)| !is_wanted(id)).collect();
        difference
    }

    fn is_empty(&self) -> bool {
        let Self { missing, differing, unwanted } = self;
        missing.is_empty() && differing.is_empty() && unwanted.is_empty()
    }

    fn reason(&self) -> String {
        let Self { missing, differing, unwanted } = self;
        let parts =
            [(missing.len(), "missing"), (differing.len(), "changed"), (unwanted.len(), "no longer wanted")];
        let said =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        said.collect::<Vec<_>>().join(", ")
    }

    fn summary(&self) -> String {
        let Self { missing, differing, unwanted } = self;
        match (missing.len() + differing.len(), unwanted.len()) {
            (0, delete) => format!("{} to delete", counted(delete)),
            (write, 0) => format!("{} to write", counted(write)),
            (write, delete) => format!("{} to write, {delete} to delete", counted(write)),
        }
    }

    /// What is there, as far as it differs from what is wanted.
    fn before(&self, there: usize) -> Value {
        let ids = |documents: &[&Document]| listed(documents.iter().map(|document| &document.id));
        let Self { missing, differing, unwanted } = self;
        json!({
            "documents": there,
            "missing": ids(missing),
            "changed": ids(differing),
            "unwanted": listed(unwanted.iter().map(|(id, _)| *id)),
        })
    }

    fn change(&self, desired: &Desired, name: &str) -> Change {
        let Self { missing, differing, unwanted } = self;
        Change::Documents {
            collection: name.to_owned(),
            stack: desired.stack.clone(),
            embedder: desired.embedder.clone(),
            write: missing.iter().chain(differing).map(|document| (*document).clone()).collect(),
            delete: unwanted.iter().map(|(id, _)| (*id).clone()).collect(),
        }
    }
}

fn documents(
    desired: &Desired,
    name: &str,
    wanted: &Collection,
    there: Option<&CollectionSeen>,
) -> Diff<Change> {
    let address = documents_address(name);
    if !wanted.unknown.is_empty() {
        let why = wanted.unknown.iter().map(|(target, why)| format!("target.{target}.access: {why}"));
        let reason = why.collect::<Vec<_>>().join("; ");
        return Diff { blocked: vec![Held { address, reason }], ..Diff::default() };
    }

    let ours = there.and_then(|there| there.ours.get(&desired.stack)).map(|ours| &ours.documents);
    let difference = Difference::of(wanted.documents.values(), |id| wanted.documents.contains_key(id), ours);
    if difference.is_empty() {
        return Diff { unchanged: 1, ..Diff::default() };
    }

    let count = ours.map_or(0, BTreeMap::len);
    let action = match (count, wanted.documents.len()) {
        (0, _) => Action::Create,
        (_, 0) => Action::Delete,
        (_, _) => Action::Update,
    };
    let mut reason = match there {
        None => "missing".to_owned(),
        Some(_) if count == 0 => "the collection holds none of them".to_owned(),
        Some(_) => difference.reason(),
    };
    let emptied = difference.unwanted.iter().filter(|(_, seen)| wanted.is_empty_source(&seen.source));
    let guard = mass_delete(emptied.map(|(_, seen)| seen.source.as_str()), &mut reason);
    let fingerprints: BTreeMap<&String, String> =
        wanted.documents.iter().map(|(id, document)| (id, document.fingerprint.to_string())).collect();
    let after = json!({
        "documents": wanted.documents.len(),
        "digest": Digest::of_json(&fingerprints),
        "embedder": desired.embedder.identity(),
        "ids": listed(wanted.documents.keys()),
    });
    let targets = wanted.targets.iter().map(|target| Address::new(format!("target.{target}.schema")));
    let planned = Planned {
        address,
        action,
        risk: Risk::Safe,
        reason,
        needs: std::iter::once(collection_address(name)).chain(targets).collect(),
        summary: difference.summary(),
        before: (count > 0).then(|| difference.before(count)),
        after: (action != Action::Delete).then_some(after),
        diff: None,
        seen: Digest::of_json(&ours),
        guard,
        at: Some(wanted.at.clone()),
        change: difference.change(desired, name),
    };
    let notes = there.and_then(|there| foreign_note(desired, name, there)).into_iter().collect();
    Diff { changes: vec![planned], notes, ..Diff::default() }
}

/// The guard for documents whose source is in the spec and yields nothing, said in the reason.
fn mass_delete<'a>(sources: impl Iterator<Item = &'a str>, reason: &mut String) -> Option<Guard> {
    let mut by_source: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        *by_source.entry(source).or_default() += 1;
    }
    for (source, count) in &by_source {
        let _ = write!(reason, "; {source} yields nothing, and {} came from it", counted(*count));
    }
    (!by_source.is_empty()).then_some(Guard::MassDelete)
}

/// A remark on a collection of someone else's: its other vectors may be of another space.
fn foreign_note(desired: &Desired, name: &str, there: &CollectionSeen) -> Option<String> {
    let is_ours = there.made_by.as_deref() == Some(desired.stack.as_str());
    (!is_ours && !there.foreign.is_empty()).then(|| {
        format!(
            "vector.documents.{name}: this stack did not make the collection; its {} other documents must come \
             from {} too to be comparable",
            there.foreign.len(),
            desired.embedder.identity()
        )
    })
}

/// Takes back what this stack put into a collection that is no longer in the spec, and the
/// collection too when this stack made it and nothing of anyone else's is in it.
fn take_back(desired: &Desired, name: &str, there: &CollectionSeen) -> Vec<Planned<Change>> {
    let CollectionSeen { made_by, embedder: _, dimension: _, ours, foreign } = there;
    let documents = ours.get(&desired.stack).map(|ours| &ours.documents);
    let difference = Difference::of(std::iter::empty(), |_| false, documents);
    let planned = |address, summary, before, seen, needs, change| Planned {
        address,
        action: Action::Delete,
        risk: Risk::Safe,
        reason: "no longer in the spec".to_owned(),
        needs,
        summary,
        before: Some(before),
        after: None,
        diff: None,
        seen,
        guard: None,
        at: None,
        change,
    };
    let mut changes = Vec::new();
    if let Some(documents) = documents.filter(|documents| !documents.is_empty()) {
        changes.push(planned(
            documents_address(name),
            difference.summary(),
            difference.before(documents.len()),
            Digest::of_json(documents),
            Vec::new(),
            difference.change(desired, name),
        ));
    }
    let is_alone = foreign.is_empty() && ours.keys().all(|stack| *stack == desired.stack);
    if made_by.as_deref() == Some(desired.stack.as_str()) && is_alone {
        changes.push(planned(
            collection_address(name),
            "delete the collection, which nobody else uses".to_owned(),
            json!({ "documents_of_others": 0 }),
            Digest::of("empty"),
            changes.iter().map(|change| change.address.clone()).collect(),
            Change::DropCollection { collection: name.to_owned(), stack: desired.stack.clone() },
        ));
    }
    changes
}

fn collection_address(name: &str) -> Address {
    Address::new(format!("vector.collection.{name}"))
}

fn documents_address(name: &str) -> Address {
    Address::new(format!("vector.documents.{name}"))
}

fn counted(count: usize) -> String {
    if count == 1 { "1 document".to_owned() } else { format!("{count} documents") }
}

/// How many, and the first of them.
fn listed<'a>(ids: impl ExactSizeIterator<Item = &'a String>) -> Value {
    let count = ids.len();
    json!({ "count": count, "ids": ids.take(LISTED).collect::<Vec<_>>() })
}
