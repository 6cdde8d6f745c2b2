//! Which rows of this tool may be taken back: those that nobody changed and nobody else refers
//! to. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::order::TableOrder;
use super::own::{Owned, OwnedRow};
use crate::change::Address;
use crate::digest::Fingerprint;
use crate::journal::Inventory;
use crate::prints::Prints;

/// A row that its owner no longer wants.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) address: &'a Address,
    pub(super) owned: &'a Owned,
    pub(super) key: Fingerprint,
    pub(super) row: &'a OwnedRow,
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
    candidates: Vec<Candidate<'_>>,
    inventory: &Inventory,
    writing: &BTreeSet<Address>,
    order: &TableOrder,
) -> BTreeMap<Address, Verdict> {
    let mut verdicts: BTreeMap<Address, Verdict> = BTreeMap::new();
    let (unchanged, changed): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| {
        let recorded = inventory.at(candidate.address).and_then(|rows| rows.get(&candidate.key));
        recorded == Some(&candidate.row.row)
    });
    for candidate in changed {
        verdicts.entry(candidate.address.clone()).or_default().changed += 1;
    }

    let (gone, kept) = settle(unchanged, |_, _| true);
    for candidate in kept {
        verdicts.entry(candidate.address.clone()).or_default().referenced += 1;
    }
    let (now, later) = settle(gone, |row, pointing| {
        row.address == pointing.address
            || !writing.contains(pointing.address) && order.is_before(&row.owned.table, &pointing.owned.table)
    });

    let pointing = pointers(now.iter().chain(&later));
    let after = |candidate: &Candidate<'_>| -> BTreeSet<Address> {
        let others = candidate.row.anchors().iter().filter_map(|anchor| pointing.get(anchor)).flatten();
        others.map(|other| other.address.clone()).filter(|address| address != candidate.address).collect()
    };
    let mut delete: BTreeMap<&Address, Vec<(Fingerprint, Fingerprint)>> = BTreeMap::new();
    for candidate in &now {
        delete.entry(candidate.address).or_default().push((candidate.key, candidate.row.row));
        let after = after(candidate);
        if !after.is_empty() {
            verdicts.entry(candidate.address.clone()).or_default().after.extend(after);
        }
    }
    for (address, rows) in delete {
        verdicts.entry(address.clone()).or_default().delete = Prints::new(rows);
    }
    for candidate in &later {
        let verdict = verdicts.entry(candidate.address.clone()).or_default();
        verdict.later += 1;
        verdict.later_after.extend(after(candidate));
    }
    verdicts
}

/// Splits rows into those that all references to come from rows that go too, and the others:
/// whatever stays makes what it points at stay, until nothing more does.
fn settle<'a>(
    mut going: Vec<Candidate<'a>>,
    counts: impl Fn(&Candidate<'a>, &Candidate<'a>) -> bool,
) -> (Vec<Candidate<'a>>, Vec<Candidate<'a>>) {
    let mut staying = Vec::new();
    loop {
        let keep: Vec<bool> = {
            let pointing = pointers(&going);
            let goes = |candidate: &Candidate<'a>| {
                let from = candidate.row.anchors().iter().filter_map(|anchor| pointing.get(anchor)).flatten();
                let count = from.filter(|other| counts(candidate, other)).count();
                u64::try_from(count).is_ok_and(|count| count >= candidate.row.references())
            };
            going.iter().map(goes).collect()
        };
        let before = going.len();
        let mut keep = keep.into_iter();
        let (goes, stays): (Vec<_>, Vec<_>) = going.into_iter().partition(|_| keep.next().unwrap_or(false));
        going = goes;
        staying.extend(stays);
        if going.len() == before {
            return (going, staying);
        }
    }
}

/// The rows that point at each anchor.
fn pointers<'r, 'a: 'r>(
    rows: impl IntoIterator<Item = &'r Candidate<'a>>,
) -> HashMap<Fingerprint, Vec<&'r Candidate<'a>>> {
    let mut pointing: HashMap<_, Vec<_>> = HashMap::new();
    for candidate in rows {
        for anchor in candidate.row.points() {
            pointing.entry(*anchor).or_default().push(candidate);
        }
    }
    pointing
}
