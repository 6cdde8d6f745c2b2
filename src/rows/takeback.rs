//! Which rows of this tool may be taken back: those that nobody changed and nobody else refers
//! to. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::order::TableOrder;
use super::own::{Owned, OwnedRow};
use crate::address::Address;
use crate::digest::Fingerprint;
use crate::journal::Inventory;
use crate::prints::Prints;

/// Rows that their owners no longer want.
#[derive(Debug, Default)]
pub(super) struct Candidates<'a> {
    owners: Vec<(&'a Address, &'a Owned)>,
    rows: Vec<Place>,
}

/// Where a candidate is: there may be millions, so that what is known of one is looked up.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Counted among the owners.
    owner: usize,
    /// Counted among the rows of the owner.
    row: usize,
}

/// One such row.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    address: &'a Address,
    owned: &'a Owned,
    key: Fingerprint,
    row: &'a OwnedRow,
}

impl<'a> Candidates<'a> {
    /// Adds those rows of an owner that are free to go.
    pub(super) fn add(
        &mut self,
        address: &'a Address,
        owned: &'a Owned,
        is_free: impl Fn((&Fingerprint, &OwnedRow)) -> bool,
    ) {
        let owner = self.owners.len();
        self.owners.push((address, owned));
        let free = owned.rows.iter().enumerate().filter(|(_, row)| is_free(*row));
        self.rows.extend(free.map(|(row, _)| Place { owner, row }));
    }

    fn get(&self, place: Place) -> Option<Candidate<'a>> {
        let (address, owned) = *self.owners.get(place.owner)?;
        let (key, row) = owned.rows.nth(place.row)?;
        Some(Candidate { address, owned, key: *key, row })
    }

    /// Takes out the rows that something holds for.
    fn take_out(&mut self, mut holds: impl FnMut(Candidate<'a>) -> bool) -> Self {
        let mut rows = std::mem::take(&mut self.rows);
        let out = rows.extract_if(.., |place| self.get(*place).is_some_and(&mut holds)).collect();
        self.rows = rows;
        Self { owners: self.owners.clone(), rows: out }
    }

    fn iter(&self) -> impl Iterator<Item = Candidate<'a>> {
        self.rows.iter().filter_map(|place| self.get(*place))
    }
}

/// What becomes of the unwanted rows of one address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// They go, with the fingerprint that they must still have.
    pub(super) delete: Prints<Fingerprint>,
    /// Rows that refer to them go first; their addresses.
    pub(super) after: BTreeSet<Address>,
    /// They go once changes of these addresses are done, in another round.
    pub(super) later: usize,
    /// The addresses that the later ones wait for.
    pub(super) later_after: BTreeSet<Address>,
    /// They stay: somebody changed them.
    pub(super) changed: usize,
    /// They stay: rows that stay refer to them.
    pub(super) referenced: usize,
    /// They stay: somebody else may want them.
    pub(super) unclear: usize,
    pub(super) unclear_for: BTreeSet<String>,
}

/// Decides on all candidates together, because rows of one seed may refer to rows of another.
/// `writing` has the addresses that also insert or change rows: their one change cannot come
/// both before and after that of another.
pub(super) fn judge(
    mut candidates: Candidates<'_>,
    inventory: &Inventory,
    writing: &BTreeSet<Address>,
    order: &TableOrder,
) -> BTreeMap<Address, Verdict> {
    let mut verdicts: BTreeMap<Address, Verdict> = BTreeMap::new();
    let changed = candidates.take_out(|candidate| {
        let recorded = inventory.at(candidate.address).and_then(|rows| rows.get(&candidate.key));
        recorded != Some(&candidate.row.row)
    });
    for candidate in changed.iter() {
        verdicts.entry(candidate.address.clone()).or_default().changed += 1;
    }

    let kept = settle(&mut candidates, |_, _| true);
    for candidate in kept.iter() {
        verdicts.entry(candidate.address.clone()).or_default().referenced += 1;
    }
    let later = settle(&mut candidates, |row, pointing| {
        row.address == pointing.address
            || !writing.contains(pointing.address) && order.is_before(&row.owned.table, &pointing.owned.table)
    });

    let pointing = pointers(candidates.iter().chain(later.iter()));
    let after = |candidate: Candidate<'_>| -> BTreeSet<Address> {
        let others = candidate.row.anchors().iter().filter_map(|anchor| pointing.get(anchor)).flatten();
        others.map(|other| other.address.clone()).filter(|address| address != candidate.address).collect()
    };
    let mut delete: BTreeMap<&Address, Vec<(Fingerprint, Fingerprint)>> = BTreeMap::new();
    for candidate in candidates.iter() {
        delete.entry(candidate.address).or_default().push((candidate.key, candidate.row.row));
        let after = after(candidate);
        if !after.is_empty() {
            verdicts.entry(candidate.address.clone()).or_default().after.extend(after);
        }
    }
    for (address, rows) in delete {
        verdicts.entry(address.clone()).or_default().delete = Prints::new(rows);
    }
    for candidate in later.iter() {
        let verdict = verdicts.entry(candidate.address.clone()).or_default();
        verdict.later += 1;
        verdict.later_after.extend(after(candidate));
    }
    verdicts
}

/// Takes out the rows to which not all references come from rows that go too: whatever stays makes what it
/// points at stay, until nothing more does.
fn settle<'a>(
    going: &mut Candidates<'a>,
    counts: impl Fn(Candidate<'a>, Candidate<'a>) -> bool,
) -> Candidates<'a> {
    let mut staying = Candidates { owners: going.owners.clone(), rows: Vec::new() };
    loop {
        let pointing = pointers(going.iter());
        let stays = going.take_out(|candidate| {
            let from = candidate.row.anchors().iter().filter_map(|anchor| pointing.get(anchor)).flatten();
            let count = from.filter(|other| counts(candidate, **other)).count();
            !u64::try_from(count).is_ok_and(|count| count >= candidate.row.references())
        });
        if stays.rows.is_empty() {
            return staying;
        }
        staying.rows.extend(stays.rows);
    }
}

/// The rows that point at each anchor.
fn pointers<'a>(rows: impl Iterator<Item = Candidate<'a>>) -> HashMap<Fingerprint, Vec<Candidate<'a>>> {
    let mut pointing: HashMap<_, Vec<_>> = HashMap::new();
    for candidate in rows {
        for anchor in candidate.row.points() {
            pointing.entry(*anchor).or_default().push(candidate);
        }
    }
    pointing
}
