//! Renames in the spec: bookkeeping entries of the old address count for the new one. Plans apply the
//! renames in memory; the next apply writes them.

use std::collections::BTreeMap;

use super::{Observed, Result, store, table};
use crate::address::Address;
use crate::sql::{Database, Value};

/// A rename that the bookkeeping does not have yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    pub from: Address,
    pub to: Address,
}

/// The renames of a spec whose old address the bookkeeping still has.
pub fn pending_moves(moved: &BTreeMap<Address, Address>, observed: &Observed) -> Vec<Move> {
    let knows = |address: &Address, to: &Address| {
        let snapshots = &observed.snapshots;
        observed.inventory.0.contains_key(address)
            || observed.protected.contains(address)
            || snapshots.contains_key(address.as_str()) && !snapshots.contains_key(to.as_str())
    };
    let pending = moved.iter().filter(|(from, to)| knows(from, to));
    pending.map(|(from, to)| Move { from: from.clone(), to: to.clone() }).collect()
}

impl Observed {
    /// Applies the renames. An entry that exists under the new address is kept.
    #[must_use]
    pub fn renamed(mut self, moves: &[Move]) -> Self {
        for Move { from, to } in moves {
            if let Some(old) = self.inventory.0.remove(from) {
                self.inventory.0.entry(to.clone()).or_default().extend_with(old);
            }
            if self.protected.remove(from) {
                self.protected.insert(to.clone());
            }
            if let Some(snapshot) = self.snapshots.remove(from.as_str()) {
                self.snapshots.entry(to.to_string()).or_insert(snapshot);
            }
        }
        self
    }
}

/// Writes the renames in one transaction. Idempotent.
pub async fn rename(database: &Database, stack: &str, moves: &[Move]) -> Result<()> {
    let dialect = database.dialect();
    let [inventory, protection, snapshots] =
        ["inventory", "protection", "snapshots"].map(|name| table(dialect, name));
    let statements = [
        format!(
            "DELETE FROM {inventory} WHERE address = $1 \
             AND key IN (SELECT key FROM {inventory} WHERE address = $2)"
        ),
        format!("UPDATE {inventory} SET address = $2 WHERE address = $1"),
        format!("DELETE FROM {protection} WHERE address = $1 AND $2 IN (SELECT address FROM {protection})"),
        format!("UPDATE {protection} SET address = $2 WHERE address = $1"),
        format!(
            "UPDATE {snapshots} SET owner = $2 WHERE owner = $1 \
             AND $2 NOT IN (SELECT owner FROM {snapshots})"
        ),
    ];
    let mut transaction = database.begin().await?;
    store::make_tables(&mut transaction, stack).await?;
    for Move { from, to } in moves {
        let values = [Value::from(from.as_str()), Value::from(to.as_str())];
        for statement in &statements {
            transaction.execute(statement, &values).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::digest::Fingerprint;
    use crate::fingerprints::FingerprintMap;

    fn address(text: &str) -> Address {
        Address::from(text)
    }

    #[test]
    fn the_old_name_counts_as_the_new_one_and_what_stands_there_stays() {
        let print = Fingerprint::of_text;
        let mut observed = Observed::missing();
        observed.inventory.0.insert(
            address("system.seed.a"),
            FingerprintMap::from([(print("1"), print("old")), (print("2"), print("old"))]),
        );
        observed
            .inventory
            .0
            .insert(address("system.seed.b"), FingerprintMap::from([(print("1"), print("new"))]));
        observed.protected.insert(address("system.seed.a"));
        let moved = BTreeMap::from([(address("system.seed.a"), address("system.seed.b"))]);

        let moves = pending_moves(&moved, &observed);
        let renamed = observed.renamed(&moves);

        let rows = FingerprintMap::from([(print("1"), print("new")), (print("2"), print("old"))]);
        assert_eq!(renamed.inventory.0, BTreeMap::from([(address("system.seed.b"), rows)]));
        assert_eq!(renamed.protected, BTreeSet::from([address("system.seed.b")]));
        assert_eq!(pending_moves(&moved, &renamed), []);
    }
}
