//! The named objects of a spec: which are declared, which are protected, and which were renamed.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::{Address, Kind, Moving};
use crate::stack::context::Context;
use crate::stack::error::{Code, SpecError};
use crate::stack::raw::Spec;
use crate::stack::typed::field::{Named, Opt, TextOr};
use crate::stack::yaml::tree::Span;
use crate::suggest::declared as advice;

/// The named objects of a spec.
pub(super) struct Objects {
    pub declared: BTreeSet<Address>,
    /// The objects with `protect: true`.
    pub protected: BTreeSet<Address>,
    /// New addresses by old ones; `None` if an entry is invalid.
    pub moved: Option<BTreeMap<Address, Address>>,
}

/// Collects the named objects of a spec and validates `moved`.
pub(super) fn objects(cx: &Context<'_>, spec: &Spec) -> Objects {
    let all = addresses(spec);
    let declared: BTreeSet<Address> = all.iter().map(|(address, _)| address.clone()).collect();
    let protected = all.into_iter().filter(|(_, protect)| *protect).map(|(address, _)| address).collect();
    let moved = moved(cx, spec, &declared);
    Objects { declared, protected, moved }
}

/// Returns each address and whether it is protected.
fn addresses(spec: &Spec) -> Vec<(Address, bool)> {
    let mut all = Vec::new();
    if let Some(system) = spec.system.value() {
        all.push((Kind::System.alone(), system.protect.or(false)));
        named(&mut all, Kind::Role, &system.roles, |role| &role.protect);
        named(&mut all, Kind::User, &system.users, |user| &user.protect);
        named(&mut all, Kind::Seed, &system.seeds, |seed| &seed.protect);
        for (key, field) in system.ontologies.entries() {
            let protect = match &field.value {
                Some(TextOr::Map(file)) => file.protect.or(false),
                Some(TextOr::Text(_)) | None => false,
            };
            all.push((Kind::Ontology.named(&key.name), protect));
        }
    }
    named(&mut all, Kind::Target, &spec.targets, |target| &target.protect);
    if let Some(vector) = spec.vector.value() {
        all.push((Kind::Vector.alone(), vector.protect.or(false)));
        named(&mut all, Kind::Collection, &vector.collections, |collection| &collection.protect);
    }
    if let Some(cache) = spec.cache.value() {
        all.push((Kind::Cache.alone(), cache.protect.or(false)));
        named(&mut all, Kind::Acl, &cache.acl, |user| &user.protect);
        named(&mut all, Kind::Namespace, &cache.namespaces, |namespace| &namespace.protect);
        named(&mut all, Kind::Stream, &cache.streams, |stream| &stream.protect);
    }
    all
}

fn named<T>(
    all: &mut Vec<(Address, bool)>,
    kind: Kind,
    entries_of_kind: &Opt<Named<T>>,
    protect: fn(&T) -> &Opt<bool>,
) {
    let entries = entries_of_kind.entries().iter();
    all.extend(entries.map(|(key, field)| {
        let is_protected = field.value.as_ref().is_some_and(|object| protect(object).or(false));
        (kind.named(&key.name), is_protected)
    }));
}

/// Parses the address of an object that may be renamed, or returns why it cannot be.
fn movable(text: &str) -> Result<Address, Moving> {
    let Ok(address) = Address::parse(text) else { return Err(Moving::NotNamed) };
    match address.kind().moving() {
        Moving::Movable if !address.name().contains('.') => Ok(address),
        Moving::Movable => Err(Moving::NotNamed),
        other @ (Moving::Fixed(_) | Moving::NotNamed) => Err(other),
    }
}

/// Validates `moved:` against the declared objects.
fn moved(cx: &Context<'_>, spec: &Spec, declared: &BTreeSet<Address>) -> Option<BTreeMap<Address, Address>> {
    const MOVABLE: &str = "seeds (`system.seed.NAME`) and targets (`target.NAME`) can be moved";
    let mut is_valid = true;
    let mut moved = BTreeMap::new();
    let mut taken: BTreeMap<&str, Span> = BTreeMap::new();
    let olds: BTreeMap<&str, Span> =
        spec.moved.entries().iter().map(|(key, _)| (key.name.as_str(), key.at)).collect();
    for (key, field) in spec.moved.entries() {
        let mut refuse = |error: SpecError| {
            is_valid = false;
            cx.report(error);
        };
        let error =
            |code, message: String, at, label: &str| SpecError::new(code, message).at(cx.at(at), label);
        let Some(new) = field.value.as_deref() else {
            is_valid = false;
            continue;
        };
        let old = key.name.as_str();
        let (from, to) = match (movable(old), movable(new)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(Moving::Fixed(why)), _) => {
                let message = format!("`{old}` cannot be moved: {why}");
                refuse(error(Code::BadValue, message, key.at, "this address").help(MOVABLE));
                continue;
            }
            (Err(_), _) => {
                let message = format!("`{old}` is not the address of an object that can be moved");
                refuse(error(Code::BadValue, message, key.at, "this address").help(MOVABLE));
                continue;
            }
            (_, Err(_)) => {
                let message = format!("`{old}` cannot become `{new}`");
                refuse(error(Code::BadValue, message, field.at, "an object of another kind").help(MOVABLE));
                continue;
            }
        };
        if from.kind() != to.kind() {
            let message = format!("`{old}` cannot become `{new}`");
            let help = "an object keeps its kind when it is renamed";
            refuse(error(Code::BadValue, message, field.at, "an object of another kind").help(help));
        } else if let Some(again) = olds.get(new) {
            let message = format!("`{new}` is the old name of something, and the new name of `{old}`");
            let help = "name the last address at once: `moved` is not followed from entry to entry";
            refuse(
                error(Code::Same, message, field.at, "moved to here")
                    .and(cx.at(*again), "and from here")
                    .help(help),
            );
        } else if declared.contains(&from) {
            let message = format!("`{old}` is still in the spec");
            let help = "rename its block, or remove this line";
            refuse(error(Code::BadValue, message, key.at, "the old address").help(help));
        } else if !declared.contains(&to) {
            let same = declared.iter().filter(|thing| thing.kind() == to.kind()).map(Address::as_str);
            let message = format!("`{new}` is not in the spec");
            refuse(error(Code::UnknownReference, message, field.at, "not declared").help(advice(new, same)));
        } else if let Some(first) = taken.insert(new, field.at) {
            let message = format!("two objects cannot both become `{new}`");
            let help = "name the one that it was, and remove the other line";
            refuse(
                error(Code::Same, message, field.at, "again here").and(cx.at(first), "first here").help(help),
            );
        } else {
            moved.insert(from, to);
        }
    }
    is_valid.then_some(moved)
}
