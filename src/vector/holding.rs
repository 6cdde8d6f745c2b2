//! What of a collection counts as this bookkeeping's, by the marks in it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{Collection, Desired};
use super::observed::{CollectionSeen, DocumentSeen};
use super::owner::{Claimant, Owner, Standing};
use crate::digest::Digest;

/// A collection as this bookkeeping may use it.
#[derive(Default)]
pub(super) struct Holding<'a> {
    /// How the collection's own mark relates to it; `None` without a mark.
    pub(super) standing: Option<Standing>,
    /// Marks that count as this bookkeeping's.
    pub(super) accepts: BTreeSet<&'a Owner>,
    /// The documents under those marks, by id.
    pub(super) documents: BTreeMap<&'a String, (&'a Owner, &'a DocumentSeen)>,
    /// Whether some of those documents become its own only by `--allow takeover`.
    pub(super) needs_takeover: bool,
    /// Whether there is nothing else in the collection.
    pub(super) is_alone: bool,
}

impl<'a> Holding<'a> {
    /// Of a collection that the spec wants. A lost bookkeeping's documents count where it made the
    /// collection, or where one of them is in the way.
    pub(super) fn of(
        desired: &Desired,
        stored: &str,
        wanted: &Collection,
        there: Option<&'a CollectionSeen>,
    ) -> Self {
        let Some(there) = there else { return Self::default() };
        Self::new(&desired.claimant, stored, there, |owner| {
            let is_in_the_way = |id: &String| wanted.documents.contains_key(id);
            there.made_by.as_ref() == Some(owner)
                || there.owned.get(owner).is_some_and(|owned| owned.documents.keys().any(is_in_the_way))
        })
    }

    /// Of a collection that the spec does not want: nothing of it is taken over.
    pub(super) fn of_unwanted(claimant: &Claimant, stored: &str, there: &'a CollectionSeen) -> Self {
        Self::new(claimant, stored, there, |_| false)
    }

    fn new(
        claimant: &Claimant,
        stored: &str,
        there: &'a CollectionSeen,
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

    /// The accepted marks, for a step.
    pub(super) fn accepts(&self) -> BTreeSet<Owner> {
        self.accepts.iter().map(|owner| (*owner).clone()).collect()
    }

    /// The digest of the documents that a plan saw: without the runs that wrote them.
    pub(super) fn digest(&self) -> Digest {
        let seen = |(id, (_, seen)): (&&'a String, &(&Owner, &'a DocumentSeen))| {
            (*id, (seen.fingerprint, &seen.source))
        };
        Digest::of_json(&self.documents.iter().map(seen).collect::<BTreeMap<_, _>>())
    }
}
