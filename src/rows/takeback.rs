//! Decides which owned rows are deleted: those that are unchanged and that no remaining row
//! references. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::order::TableOrder;
use super::own::{Owned, OwnedRow};
use super::sample::FirstKeys;
use crate::address::Address;
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::Inventory;

/// Owned rows that are no longer declared.
#[derive(Debug, Default)]
pub(super) struct Candidates<'a> {
    owners: Vec<(&'a Address, &'a Owned)>,
    rows: Vec<Position>,
}

/// Indexes instead of copies, because there may be millions of candidates.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// The index in the list of owners.
    owner: usize,
    /// The index in the rows of the owner.
    row: usize,
}

/// A candidate for deletion.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    address: &'a Address,
    owned: &'a Owned,
    /// The index of the row in `owned`.
    at: usize,
    key: Fingerprint,
    row: &'a OwnedRow,
}

impl<'a> Candidates<'a> {
    /// Adds the rows of an owner that pass the filter.
    pub(super) fn add(
        &mut self,
        address: &'a Address,
        owned: &'a Owned,
        is_free: impl Fn((&Fingerprint, &OwnedRow)) -> bool,
    ) {
        let owner = self.owners.len();
        self.owners.push((address, owned));
        let free = owned.rows.iter().enumerate().filter(|(_, row)| is_free(*row));
        self.rows.extend(free.map(|(row, _)| Position { owner, row }));
    }

    fn get(&self, place: Position) -> Option<Candidate<'a>> {
        let (address, owned) = *self.owners.get(place.owner)?;
        let (key, row) = owned.rows.nth(place.row)?;
        Some(Candidate { address, owned, at: place.row, key: *key, row })
    }

    /// Removes and returns the rows for which the predicate holds.
    fn extract(&mut self, mut holds: impl FnMut(Candidate<'a>) -> bool) -> Self {
        let mut rows = std::mem::take(&mut self.rows);
        let out = rows.extract_if(.., |place| self.get(*place).is_some_and(&mut holds)).collect();
        self.rows = rows;
        Self { owners: self.owners.clone(), rows: out }
    }

    fn iter(&self) -> impl Iterator<Item = Candidate<'a>> {
        self.rows.iter().filter_map(|place| self.get(*place))
    }
}

/// What happens to the undeclared rows of one address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TakeBack {
    /// Deleted now, if they still have this fingerprint.
    pub(super) delete: FingerprintMap<Fingerprint>,
    /// The first keys of the rows to delete.
    pub(super) first: FirstKeys,
    /// The addresses whose rows reference these and must be deleted first.
    pub(super) after: BTreeSet<Address>,
    /// The number of rows that are deleted in a later round, after changes of other addresses.
    pub(super) later: usize,
    /// The addresses that these rows wait for.
    pub(super) later_after: BTreeSet<Address>,
    /// Kept, because somebody changed them.
    pub(super) changed: usize,
    /// Kept, because remaining rows reference them.
    pub(super) referenced: usize,
    /// Kept, because other parts of the spec may declare them.
    pub(super) unclear: usize,
    pub(super) unclear_for: BTreeSet<String>,
}

/// Decides about all candidates together, because rows of one seed may reference rows of another. `writing`
/// has the addresses that also write rows: an address has one change, so it cannot run both before and
/// after another.
pub(super) fn judge(
    mut candidates: Candidates<'_>,
    inventory: &Inventory,
    writing: &BTreeSet<Address>,
    order: &TableOrder,
) -> BTreeMap<Address, TakeBack> {
    let mut verdicts: BTreeMap<Address, TakeBack> = BTreeMap::new();
    let changed = candidates.extract(|candidate| {
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
        let verdict = verdicts.entry(candidate.address.clone()).or_default();
        verdict.first.extend(candidate.owned.key_at(candidate.at));
        verdict.after.extend(after(candidate));
    }
    for (address, rows) in delete {
        verdicts.entry(address.clone()).or_default().delete = FingerprintMap::new(rows);
    }
    for candidate in later.iter() {
        let verdict = verdicts.entry(candidate.address.clone()).or_default();
        verdict.later += 1;
        verdict.later_after.extend(after(candidate));
    }
    verdicts
}

/// Removes the rows that are referenced by rows other than candidates. A removed row keeps the rows that it
/// references, so this repeats until nothing changes.
fn settle<'a>(
    going: &mut Candidates<'a>,
    counts: impl Fn(Candidate<'a>, Candidate<'a>) -> bool,
) -> Candidates<'a> {
    let mut staying = Candidates { owners: going.owners.clone(), rows: Vec::new() };
    loop {
        let pointing = pointers(going.iter());
        let stays = going.extract(|candidate| {
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

/// The candidates that reference each anchor.
fn pointers<'a>(rows: impl Iterator<Item = Candidate<'a>>) -> HashMap<Fingerprint, Vec<Candidate<'a>>> {
    let mut pointing: HashMap<_, Vec<_>> = HashMap::new();
    for candidate in rows {
        for anchor in candidate.row.points() {
            pointing.entry(*anchor).or_default().push(candidate);
        }
    }
    pointing
}
