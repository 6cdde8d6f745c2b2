//! The things of a spec that have a name of their own: which there are, which are protected, and
//! which of them had another name before.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::Address;
use crate::spec::context::Context;
use crate::spec::error::{Code, SpecError};
use crate::spec::field::{Named, Opt, TextOr};
use crate::spec::raw::Spec;
use crate::spec::suggest::declared as advice;
use crate::spec::tree::Span;

/// The things of a spec.
pub(super) struct Things {
    /// All of them.
    pub declared: BTreeSet<Address>,
    /// Those with `protect: true`.
    pub protected: BTreeSet<Address>,
    /// New addresses by old ones; `None` when one is wrong.
    pub moved: Option<BTreeMap<Address, Address>>,
}

/// Gathers the things of a spec and checks `moved`.
pub(super) fn things(cx: &Context<'_>, spec: &Spec) -> Things {
    let all = all(spec);
    let declared: BTreeSet<Address> = all.iter().map(|(address, _)| Address::new(address)).collect();
    let protected = all.iter().filter(|(_, protect)| *protect).map(|(address, _)| Address::new(address));
    let protected = protected.collect();
    let moved = moved(cx, spec, &declared);
    Things { declared, protected, moved }
}

/// Each address with whether it is protected.
fn all(spec: &Spec) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    if let Some(system) = spec.system.value() {
        all.push(("system".to_owned(), system.protect.or(false)));
        named(&mut all, "system.role", &system.roles, |role| &role.protect);
        named(&mut all, "system.user", &system.users, |user| &user.protect);
        named(&mut all, "system.seed", &system.seeds, |seed| &seed.protect);
        for (key, field) in system.ontologies.entries() {
            let protect = match &field.value {
                Some(TextOr::Map(file)) => file.protect.or(false),
                Some(TextOr::Text(_)) | None => false,
            };
            all.push((format!("system.ontology.{}", key.name), protect));
        }
    }
    named(&mut all, "target", &spec.targets, |target| &target.protect);
    if let Some(vector) = spec.vector.value() {
        all.push(("vector".to_owned(), vector.protect.or(false)));
        named(&mut all, "vector.collection", &vector.collections, |collection| &collection.protect);
    }
    if let Some(cache) = spec.cache.value() {
        all.push(("cache".to_owned(), cache.protect.or(false)));
        named(&mut all, "cache.acl", &cache.acl, |user| &user.protect);
        named(&mut all, "cache.namespace", &cache.namespaces, |namespace| &namespace.protect);
        named(&mut all, "cache.stream", &cache.streams, |stream| &stream.protect);
    }
    all
}

fn named<T>(
    all: &mut Vec<(String, bool)>,
    prefix: &str,
    things: &Opt<Named<T>>,
    protect: fn(&T) -> &Opt<bool>,
) {
    let entries = things.entries().iter();
    all.extend(entries.map(|(key, field)| {
        let is_protected = field.value.as_ref().is_some_and(|thing| protect(thing).or(false));
        (format!("{prefix}.{}", key.name), is_protected)
    }));
}

/// What a thing is, as far as another name is concerned.
enum Kind {
    /// Its name is known to the bookkeeping alone.
    Movable(&'static str),
    /// Its name stands in a store; why that cannot be changed here.
    Fixed(&'static str),
    /// No thing of a spec has such an address.
    Unknown,
}

fn kind(address: &str) -> Kind {
    match address.split('.').collect::<Vec<_>>().as_slice() {
        ["system", "seed", _] => Kind::Movable("system.seed"),
        ["target", _] => Kind::Movable("target"),
        ["system", "user", ..] => Kind::Fixed("a user's name is the username in the table of accounts"),
        ["system", "role", ..] => Kind::Fixed("a role's name is its name on the server"),
        ["system", "ontology", ..] => Kind::Fixed("an ontology's name stands in each row of its terms"),
        ["vector", "collection" | "documents", ..] => {
            Kind::Fixed("a collection's name is its name in the vector store, where applications look for it")
        }
        ["cache", "acl", ..] => Kind::Fixed("an ACL user's name is its name in Redis"),
        ["cache", "namespace", ..] => Kind::Fixed("a namespace's name stands in the cache"),
        ["cache", "stream", ..] => Kind::Fixed("a stream's name is its key in the cache"),
        _ => Kind::Unknown,
    }
}

/// `moved:`, each entry checked against the things that the spec declares.
fn moved(cx: &Context<'_>, spec: &Spec, declared: &BTreeSet<Address>) -> Option<BTreeMap<Address, Address>> {
    const MOVABLE: &str = "seeds (`system.seed.NAME`) and targets (`target.NAME`) can be moved";
    let mut whole = true;
    let mut moved = BTreeMap::new();
    let mut taken: BTreeMap<&str, Span> = BTreeMap::new();
    let olds: BTreeMap<&str, Span> =
        spec.moved.entries().iter().map(|(key, _)| (key.name.as_str(), key.at)).collect();
    for (key, field) in spec.moved.entries() {
        let mut refuse = |error: SpecError| {
            whole = false;
            cx.report(error);
        };
        let error =
            |code, message: String, at, label: &str| SpecError::new(code, message).at(cx.at(at), label);
        let Some(new) = field.value.as_deref() else {
            whole = false;
            continue;
        };
        let old = key.name.as_str();
        let (kind_of_old, kind_of_new) = match (kind(old), kind(new)) {
            (Kind::Movable(old), Kind::Movable(new)) => (old, new),
            (Kind::Fixed(why), _) => {
                let message = format!("`{old}` cannot be moved: {why}");
                refuse(error(Code::BadValue, message, key.at, "this address").help(MOVABLE));
                continue;
            }
            (Kind::Unknown, _) => {
                let message = format!("`{old}` is no address of a thing that can be moved");
                refuse(error(Code::BadValue, message, key.at, "this address").help(MOVABLE));
                continue;
            }
            (_, Kind::Fixed(_) | Kind::Unknown) => {
                let message = format!("`{old}` cannot become `{new}`");
                refuse(error(Code::BadValue, message, field.at, "a thing of another kind").help(MOVABLE));
                continue;
            }
        };
        if kind_of_old != kind_of_new {
            let message = format!("`{old}` cannot become `{new}`");
            let help = "a thing keeps its kind when it gets another name";
            refuse(error(Code::BadValue, message, field.at, "a thing of another kind").help(help));
        } else if let Some(again) = olds.get(new) {
            let message = format!("`{new}` is the old name of something, and the new name of `{old}`");
            let help = "name the last address at once: `moved` is not followed from entry to entry";
            refuse(
                error(Code::Same, message, field.at, "moved to here")
                    .and(cx.at(*again), "and from here")
                    .help(help),
            );
        } else if declared.contains(&Address::new(old)) {
            let message = format!("`{old}` is still in the spec");
            let help = "rename its block, or remove this line";
            refuse(error(Code::BadValue, message, key.at, "the old address").help(help));
        } else if !declared.contains(&Address::new(new)) {
            let same = declared.iter().map(Address::as_str).filter(|name| name.starts_with(kind_of_new));
            let message = format!("`{new}` is not in the spec");
            refuse(error(Code::UnknownReference, message, field.at, "not declared").help(advice(new, same)));
        } else if let Some(first) = taken.insert(new, field.at) {
            let message = format!("two things cannot both become `{new}`");
            let help = "name the one that it was, and remove the other line";
            refuse(
                error(Code::Same, message, field.at, "again here").and(cx.at(first), "first here").help(help),
            );
        } else {
            moved.insert(Address::new(old), Address::new(new));
        }
    }
    whole.then_some(moved)
}
