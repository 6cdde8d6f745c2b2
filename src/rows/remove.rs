//! Deletes rows in the caller's transaction, together with their inventory entries. Each row is locked and
//! checked again first: rows that changed since the plan are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::own::{self, OwnedRow, Reader};
use super::{BATCH, Shape, Values, in_batches, write_expressions};
use crate::address::Address;
use crate::catalog::Snapshot;
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::{LocatedRows, RowLocations, inventory};
use crate::progress;
use crate::sql::{self, Transaction, identifier};

/// Deletes the rows that are unchanged and not referenced.
pub(super) async fn take_back(
    address: &Address,
    delete: &FingerprintMap<Fingerprint>,
    schema: &Snapshot,
    transaction: &mut Transaction,
) -> sql::Result<()> {
    let mut places = RowLocations::default();
    for keys in in_batches(delete.keys().copied()) {
        for entry in inventory::entries(transaction, address, &keys).await? {
            places.push(address, &entry.place, entry.key);
        }
    }
    let mut removed = 0;
    for ((table, key), placed) in places.0.into_values().flatten() {
        let Ok(shape) = Shape::resolve(&table, &key, &[], schema, transaction.dialect()) else { continue };
        let going = going(&shape, &placed, delete, schema, transaction).await?;
        let is_going = |key: &Values<'_>| going.contains_key(&shape.key_fingerprint(key.iter().copied()));
        // Rows of a self-referencing table must be deleted in one statement.
        let at_once =
            if shape.table.foreign_keys.iter().any(|key| key.table == table) { usize::MAX } else { BATCH };
        let mut keys = placed.keys.iter().filter(is_going);
        loop {
            let keys: Vec<Values<'_>> = keys.by_ref().take(at_once).collect();
            if keys.is_empty() {
                break;
            }
            removed += keys.len();
            remove(&shape, keys, transaction).await?;
            progress::report(removed, delete.len(), "rows deleted");
        }
        for keys in in_batches(going.into_keys()) {
            inventory::forget(transaction, address, &keys).await?;
        }
    }
    Ok(())
}

/// Locks the rows and returns those that may be deleted.
async fn going(
    shape: &Shape<'_>,
    placed: &LocatedRows,
    delete: &FingerprintMap<Fingerprint>,
    schema: &Snapshot,
    transaction: &mut Transaction,
) -> sql::Result<BTreeMap<Fingerprint, OwnedRow>> {
    let tables = BTreeSet::from([shape.name]);
    let mut going: BTreeMap<Fingerprint, OwnedRow> = BTreeMap::new();
    for keys in in_batches(placed.keys.iter()) {
        let mut session = Reader::Transaction(transaction);
        let found = own::read(shape, keys.iter(), schema, &tables, &mut session).await?;
        going.extend(found.into_iter().filter(|(key, row)| delete.get(key) == Some(&row.row)));
    }
    // References from rows of the same change do not count.
    loop {
        let mut pointing: BTreeMap<Fingerprint, u64> = BTreeMap::new();
        let points = going.values().flat_map(OwnedRow::points);
        points.for_each(|anchor| *pointing.entry(*anchor).or_default() += 1);
        let before = going.len();
        going.retain(|_, row| {
            let ours: u64 = row.anchors().iter().filter_map(|anchor| pointing.get(anchor)).sum();
            ours >= row.references()
        });
        if going.len() == before {
            return Ok(going);
        }
    }
}

async fn remove(shape: &Shape<'_>, keys: Vec<Values<'_>>, transaction: &mut Transaction) -> sql::Result<()> {
    let source = shape.keys(keys);
    let names = shape.key.iter().map(|column| format!("t.{}", identifier(&column.name)));
    let sql = format!(
        "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM {})",
        shape.quoted_table(),
        names.collect::<Vec<_>>().join(", "),
        write_expressions(shape.dialect, shape.key.iter().copied()),
        source.sql
    );
    transaction.execute(&sql, &source.values).await.map(|_| ())
}
