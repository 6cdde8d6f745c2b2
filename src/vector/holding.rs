//! Determines which parts of a collection belong to this bookkeeping, by their marks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{Collection, Desired};
use super::observed::{ObservedCollection, ObservedDocument};
use super::owner::{Claimant, Owner, Standing};
use crate::digest::Digest;

/// The parts of a collection that this bookkeeping may change.
#[derive(Default)]
pub(super) struct Holding<'a> {
    /// How the collection's own mark relates to this bookkeeping; `None` without a mark.
    pub(super) standing: Option<Standing>,
    /// Marks that count as this bookkeeping's.
    pub(super) accepts: BTreeSet<&'a Owner>,
    /// The documents with those marks, by id.
    pub(super) documents: BTreeMap<&'a String, (&'a Owner, &'a ObservedDocument)>,
    /// Whether using some of those documents requires `--allow takeover`.
    pub(super) needs_takeover: bool,
    /// Whether the collection contains nothing else.
    pub(super) is_alone: bool,
}

impl<'a> Holding<'a> {
    /// For a collection of the spec. Documents of a lost bookkeeping are included where it created the
    /// collection, or where one of them has the id of a desired document.
    pub(super) fn of(
        desired: &Desired,
        stored: &str,
        wanted: &Collection,
        there: Option<&'a ObservedCollection>,
    ) -> Self {
        let Some(there) = there else { return Self::default() };
        Self::new(&desired.claimant, stored, there, |owner| {
            let is_in_the_way = |id: &String| wanted.documents.contains_key(id);
            there.made_by.as_ref() == Some(owner)
                || there.owned.get(owner).is_some_and(|owned| owned.documents.keys().any(is_in_the_way))
        })
    }

    /// For a collection that is not in the spec: nothing is taken over.
    pub(super) fn of_unwanted(claimant: &Claimant, stored: &str, there: &'a ObservedCollection) -> Self {
        Self::new(claimant, stored, there, |_| false)
    }

    fn new(
        claimant: &Claimant,
        stored: &str,
        there: &'a ObservedCollection,
        takes_over: impl Fn(&Owner) -> bool,
    ) -> Self {
        let standing = there.made_by.as_ref().map(|owner| claimant.of_collection(stored, owner));
        let mut holding = Self { standing, is_alone: there.foreign.is_empty(), ..Self::default() };
        let is_taken = |standing: Standing, owner: &Owner| {
            standing.is_own() || (standing.needs_takeover() && takes_over(owner))
        };
        if let (Some(standing), Some(owner)) = (standing, &there.made_by)
            && is_taken(standing, owner)
        {
            holding.accepts.insert(owner);
        }
        for (owner, owned) in &there.owned {
            let standing = claimant.of_documents(stored, standing, owner);
            if !is_taken(standing, owner) {
                holding.is_alone = false;
                continue;
            }
            holding.accepts.insert(owner);
            holding.needs_takeover |= standing.needs_takeover();
            holding.documents.extend(owned.documents.iter().map(|(id, seen)| (id, (owner, seen))));
        }
        holding
    }

    pub(super) fn accepts(&self) -> BTreeSet<Owner> {
        self.accepts.iter().map(|owner| (*owner).clone()).collect()
    }

    /// The digest of the observed documents, without the runs that wrote them.
    pub(super) fn digest(&self) -> Digest {
        let seen = |(id, (_, seen)): (&&'a String, &(&Owner, &'a ObservedDocument))| {
            (*id, (seen.fingerprint, &seen.source))
        };
        Digest::of_json(&self.documents.iter().map(seen).collect::<BTreeMap<_, _>>())
    }
}
