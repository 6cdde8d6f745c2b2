//! Which rows their owners no longer want and nobody else wants either. Another seed, or the accounts,
//! may know the same row by other columns. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::fits::as_taken;
use super::own::{Owned, OwnedRow, anchor, is_same};
use super::takeback::Candidates;
use super::{Desired, RowSet, Seen, Shape, Values, unique_keys};
use crate::address::Address;
use crate::catalog::TableName;
use crate::digest::Fingerprint;
use crate::prints::Prints;
use crate::stack::User;

/// What is left of the rows of owners.
#[derive(Debug, Default)]
pub(super) struct Unwanted<'a> {
    /// Nobody wants them.
    pub(super) rows: Candidates<'a>,
    /// How many may be wanted by somebody else, and by whom.
    pub(super) unclear: BTreeMap<&'a Address, (usize, BTreeSet<String>)>,
}

/// Rows that somebody wants in a table.
struct Claim<'a> {
    who: String,
    table: TableName,
    /// The columns that identify them, sorted.
    key: Vec<String>,
    rows: Claimed<'a>,
}

/// The rows of a claim.
enum Claimed<'a> {
    Set(&'a RowSet),
    Accounts(&'a BTreeMap<String, User>),
}

/// How the rows of a claim are told from others.
enum Names {
    /// By the fingerprints of the key that the owner has, too.
    Keys(Prints<()>),
    /// By the anchors of another key that no two rows share.
    Anchors(Prints<()>),
    /// Not at all: a row may have another value in each of these columns.
    Unknown,
}

/// Parts the rows of some owners by who else wants them.
pub(super) fn unwanted<'a>(
    owners: impl Iterator<Item = (&'a Address, &'a Owned)>,
    desired: &Desired,
    seen: Seen<'_>,
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

    /// The fingerprints of the keys. A row without a value in its key is a fault, which is said elsewhere.
    fn prints(&self, print: impl Fn(&[&str]) -> Option<Fingerprint>) -> Prints<()> {
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

    fn names(&self, owned: &Owned, seen: Seen<'_>) -> Names {
        let Seen { schema, dialect, .. } = seen;
        let Ok(shape) = Shape::of(&self.table, &self.key, &[], schema, dialect) else {
            return Names::Unknown;
        };
        if self.key == owned.key {
            return Names::Keys(self.prints(|key| {
                let taken = shape.key.iter().zip(key).map(|(column, text)| as_taken(dialect, column, text));
                Some(shape.key_print(taken.map(Some)))
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
