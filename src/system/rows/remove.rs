//! Deletes rows that this tool put into tables, in the caller's transaction and with their
//! inventory. Locks each row and judges it again as it acts: what changed since the plan stays.

use std::collections::{BTreeMap, BTreeSet};

use super::own::{self, Place, Session};
use super::{Shape, Source, write_expression, written};
use crate::catalog::{Snapshot, TableName};
use crate::change::Address;
use crate::digest::Fingerprint;
use crate::journal::{Entry, inventory};
use crate::sql::{self, Transaction, identifier};

/// Deletes the rows that are still what they were and that nobody refers to.
pub(super) async fn take_back(
    address: &Address,
    delete: &BTreeMap<Fingerprint, Fingerprint>,
    owned: &BTreeMap<Fingerprint, Entry>,
    schema: &Snapshot,
    transaction: &mut Transaction,
) -> sql::Result<()> {
    let mut groups: BTreeMap<(TableName, Vec<String>), Vec<Place>> = BTreeMap::new();
    for place in delete.keys().filter_map(|key| Place::parse(&owned.get(key)?.place)) {
        let key = place.key.keys().cloned().collect();
        groups.entry((place.table.clone(), key)).or_default().push(place);
    }
    let dialect = transaction.dialect();
    let mut forgotten = Vec::new();
    for ((table, key), places) in &groups {
        let Ok(shape) = Shape::of(table, key, &[], schema, dialect) else { continue };
        let places: Vec<&Place> = places.iter().collect();
        let tables = BTreeSet::from([table]);
        let found =
            own::read(&shape, &places, schema, &tables, &mut Session::Transaction(transaction)).await?;
        let unchanged = found.iter().filter(|(key, row)| delete.get(key) == Some(&row.row));
        // Rows of this very change may refer to each other: one statement deletes them together.
        let mut going: BTreeMap<Fingerprint, &own::OwnedRow> =
            unchanged.map(|(key, row)| (*key, row)).collect();
        loop {
            let points = going.values().flat_map(|row| &row.points);
            let mut pointing: BTreeMap<Fingerprint, u64> = BTreeMap::new();
            points.for_each(|anchor| *pointing.entry(*anchor).or_default() += 1);
            let before = going.len();
            going.retain(|_, row| {
                let ours: u64 = row.anchors.iter().filter_map(|anchor| pointing.get(anchor)).sum();
                ours >= row.references
            });
            if going.len() == before {
                break;
            }
        }
        let by_print = |place: &&&Place| {
            let key = shape.key_print(place.key.values().map(Option::as_deref));
            going.contains_key(&key)
        };
        let keys: Vec<Vec<Option<String>>> = places
            .iter()
            .filter(by_print)
            .map(|place| {
                let both = shape.key.iter().zip(place.key.values());
                both.map(|(column, value)| value.as_deref().map(|text| written(dialect, column, text)))
                    .collect()
            })
            .collect();
        if !keys.is_empty() {
            let source = Source::new(dialect, shape.key.len(), &keys);
            let expressions = shape.key.iter().enumerate();
            let expressions = expressions.map(|(at, column)| write_expression(dialect, column, at));
            let names = shape.key.iter().map(|column| format!("t.{}", identifier(&column.name)));
            let sql = format!(
                "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM {})",
                shape.place(),
                names.collect::<Vec<_>>().join(", "),
                expressions.collect::<Vec<_>>().join(", "),
                source.sql
            );
            transaction.execute(&sql, &source.values).await?;
        }
        forgotten.extend(going.into_keys());
    }
    if forgotten.is_empty() { Ok(()) } else { inventory::forget(transaction, address, &forgotten).await }
}
