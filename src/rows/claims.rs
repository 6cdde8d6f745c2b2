//! Finds rows that neither their owner nor another part of the spec declares. Another seed, or the
//! accounts, may declare the same row by other key columns. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::fits::as_taken;
use super::own::{Owned, OwnedRow, anchor, is_same};
use super::takeback::Candidates;
use super::{Desired, Observed, RowSet, Shape, Values, unique_keys};
use crate::address::Address;
use crate::catalog::TableName;
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::stack::User;

/// Owned rows that are no longer declared.
#[derive(Debug, Default)]
pub(super) struct Unwanted<'a> {
    /// Rows that nothing else declares.
    pub(super) rows: Candidates<'a>,
    /// The number of rows that others may declare, and the addresses of those.
    pub(super) unclear: BTreeMap<&'a Address, (usize, BTreeSet<String>)>,
}

/// Rows that a part of the spec declares in a table.
struct Claim<'a> {
    who: String,
    table: TableName,
    /// The key columns, sorted.
    key: Vec<String>,
    rows: Claimed<'a>,
}

enum Claimed<'a> {
    Set(&'a RowSet),
    Accounts(&'a BTreeMap<String, User>),
}

/// How rows of a claim are matched with owned rows.
enum Names {
    /// By the fingerprints of keys: both use the same key columns.
    Keys(FingerprintMap<()>),
    /// By anchors: the claim's key columns are another unique key of the table.
    Anchors(FingerprintMap<()>),
    /// Not possible: the claim's key columns are not unique, so it may cover any row.
    Unknown,
}

/// Separates the rows of the owners by whether others declare them.
pub(super) fn unwanted<'a>(
    owners: impl Iterator<Item = (&'a Address, &'a Owned)>,
    desired: &Desired,
    seen: Observed<'_>,
) -> Unwanted<'a> {
    let mut unwanted = Unwanted::default();
    let claims: Vec<Claim<'_>> = desired.sets.iter().filter(|set| set.on).map(Claim::of_set).collect();
    let claims: Vec<Claim<'_>> = claims.into_iter().chain(Claim::of_accounts(desired)).collect();
    for (address, owned) in owners {
        let claims = claims.iter().filter(|claim| claim.table == owned.table && !claim.is_empty());
        let (unknown, known): (Vec<_>, Vec<_>) = claims
            .map(|claim| (claim, claim.names(owned, seen)))
            .partition(|(_, names)| matches!(names, Names::Unknown));
        let is_free =
            |(key, row): (&Fingerprint, &OwnedRow)| !known.iter().any(|(_, names)| names.has(*key, row));
        if unknown.is_empty() {
            unwanted.rows.add(address, owned, is_free);
            continue;
        }
        let free = owned.rows.iter().filter(|row| is_free(*row)).count();
        if free > 0 {
            let (count, who) = unwanted.unclear.entry(address).or_default();
            *count += free;
            who.extend(unknown.into_iter().map(|(claim, _)| claim.who.clone()));
        }
    }
    unwanted
}

impl<'a> Claim<'a> {
    fn of_set(set: &'a RowSet) -> Self {
        Self {
            who: set.address.to_string(),
            table: set.table.clone(),
            key: set.key.clone(),
            rows: Claimed::Set(set),
        }
    }

    fn of_accounts(desired: &'a Desired) -> Option<Self> {
        let accounts = desired.accounts.as_ref()?;
        Some(Self {
            who: "the accounts".to_owned(),
            table: TableName::parse(&accounts.table),
            key: vec![accounts.username.clone()],
            rows: Claimed::Accounts(&desired.users),
        })
    }

    fn is_empty(&self) -> bool {
        match self.rows {
            Claimed::Set(set) => set.rows.is_empty(),
            Claimed::Accounts(users) => users.is_empty(),
        }
    }

    /// The fingerprints of the keys. Rows with NULL in the key are skipped: they are reported as
    /// faults.
    fn prints(&self, print: impl Fn(&[&str]) -> Option<Fingerprint>) -> FingerprintMap<()> {
        match self.rows {
            Claimed::Set(set) => {
                let place = |key: &String| set.columns.iter().position(|asked| asked.name == *key);
                let places: Vec<usize> = set.key.iter().filter_map(place).collect();
                let key =
                    |row: Values<'a>| places.iter().map(|at| *row.get(*at)?).collect::<Option<Vec<_>>>();
                set.rows().filter_map(|row| Some((print(&key(row)?)?, ()))).collect()
            }
            Claimed::Accounts(users) => users.keys().filter_map(|name| Some((print(&[name])?, ()))).collect(),
        }
    }

    fn names(&self, owned: &Owned, seen: Observed<'_>) -> Names {
        let Observed { schema, dialect, .. } = seen;
        let Ok(shape) = Shape::resolve(&self.table, &self.key, &[], schema, dialect) else {
            return Names::Unknown;
        };
        if self.key == owned.key {
            let answer = match self.rows {
                Claimed::Set(set) => seen.rows.get(&set.question().digest()),
                Claimed::Accounts(_) => None,
            };
            let shape = shape.with_spelling(answer.map(|answer| &answer.spelling));
            return Names::Keys(self.prints(|key| {
                let taken = shape.key.iter().zip(key).map(|(column, text)| as_taken(dialect, column, text));
                Some(shape.key_fingerprint(taken.map(Some)))
            }));
        }
        let Some(columns) = unique_keys(shape.table).find(|columns| is_same(columns, &shape.key)) else {
            return Names::Unknown;
        };
        Names::Anchors(self.prints(|key| {
            let value = |name: &String| {
                let at = self.key.iter().position(|key| key == name)?;
                key.get(at).copied()
            };
            anchor(dialect, shape.name, shape.table, columns, columns.iter().map(value))
        }))
    }
}

impl Names {
    fn has(&self, key: Fingerprint, row: &OwnedRow) -> bool {
        match self {
            Self::Keys(keys) => keys.contains_key(&key),
            Self::Anchors(anchors) => row.anchors().iter().any(|anchor| anchors.contains_key(anchor)),
            Self::Unknown => false,
        }
    }
}
