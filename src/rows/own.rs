//! Observes the rows that the inventory has: whether they were changed, and which rows reference them.
//! Reads only; `takeback` decides which are deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fits::fits;
use super::sample::key_line;
use super::{Error, Result, Shape, Values, in_batches, locking, read_texts, row_fingerprint, unique_keys};
use crate::address::{Address, Kind};
use crate::catalog::{Column, ForeignKey, Snapshot, Table, TableName};
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::{Group, LocatedRows, RowLocations};
use crate::packed::Rows;
use crate::sql::{self, Database, Dialect, Row, Transaction, Value, identifier};

/// The existing rows of one table that were written for one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    pub table: TableName,
    /// The columns that identified them, sorted.
    pub key: Vec<String>,
    /// By the fingerprint of the key.
    pub rows: FingerprintMap<OwnedRow>,
    /// The key of each of `rows` as a plan shows it. Empty in a world of an earlier version.
    #[serde(default, skip_serializing_if = "Rows::is_empty")]
    pub keys: Rows,
}

impl Owned {
    /// The key of the row at an index, as a plan shows it.
    pub(super) fn key_at(&self, at: usize) -> Option<&str> {
        self.keys.get(at)?.into_iter().next().flatten()
    }
}

/// An owned row, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedRow {
    /// The fingerprint of all columns.
    pub row: Fingerprint,
    /// `None` for most rows, to save memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ties: Option<Box<Ties>>,
}

/// The references from and to a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ties {
    /// How many rows reference it through foreign keys.
    pub references: u64,
    /// The identities of the row that foreign keys or other unique keys use.
    pub anchors: Box<[Fingerprint]>,
    /// The anchors of the owned rows that it references.
    pub points: Box<[Fingerprint]>,
}

impl OwnedRow {
    pub fn references(&self) -> u64 {
        self.ties.as_ref().map_or(0, |ties| ties.references)
    }

    pub fn anchors(&self) -> &[Fingerprint] {
        self.ties.as_ref().map_or(&[], |ties| &ties.anchors)
    }

    pub fn points(&self) -> &[Fingerprint] {
        self.ties.as_ref().map_or(&[], |ties| &ties.points)
    }
}

/// A database or an open transaction, which run the same queries.
pub(super) enum Reader<'a> {
    Database(&'a Database),
    Transaction(&'a mut Transaction),
}

impl Reader<'_> {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Database(database) => database.dialect(),
            Self::Transaction(transaction) => transaction.dialect(),
        }
    }

    /// The clause that locks rows of `t` until the end of a transaction.
    fn locking(&self) -> &'static str {
        match self {
            Self::Transaction(transaction) => locking(transaction.dialect()),
            Self::Database(_) => "",
        }
    }

    async fn query(&mut self, sql: &str, columns: usize, values: &[Value]) -> sql::Result<Vec<Row>> {
        match self {
            Self::Database(database) => database.query_many(sql, columns, values).await,
            Self::Transaction(transaction) => transaction.query_many(sql, columns, values).await,
        }
    }
}

/// The existing rows of the inventory, by address.
pub(crate) async fn observe(
    places: &RowLocations,
    schema: &Snapshot,
    database: &Database,
) -> Result<BTreeMap<Address, Vec<Owned>>> {
    let mut groups: BTreeMap<&Group, Vec<(&Address, &LocatedRows)>> = BTreeMap::new();
    let of_rows = |address: &Address| matches!(address.kind(), Kind::Seed | Kind::Ontology);
    for (address, placed) in places.0.iter().filter(|(address, _)| of_rows(address)) {
        for (group, placed) in placed {
            groups.entry(group).or_default().push((address, placed));
        }
    }
    let tables: BTreeSet<&TableName> = groups.keys().map(|(table, _)| table).collect();
    let mut owned: BTreeMap<Address, Vec<Owned>> = BTreeMap::new();
    for ((table, key), placed) in &groups {
        // A dropped table or column took its rows with it.
        let Ok(shape) = Shape::resolve(table, key, &[], schema, database.dialect()) else { continue };
        let mut found: BTreeMap<&Address, (Vec<_>, Rows)> = BTreeMap::new();
        let rows = placed.iter().flat_map(|(address, placed)| {
            placed.prints.iter().zip(placed.keys.iter()).map(move |(print, key)| (*address, *print, key))
        });
        for batch in in_batches(rows) {
            let keys = batch.iter().map(|(.., key)| key);
            let read = read(&shape, keys, schema, &tables, &mut Reader::Database(database)).await;
            let rows = read.map_err(Error::doing(format!("reading rows of {table}")))?;
            for (address, print, values) in &batch {
                if let Some(row) = rows.get(print) {
                    let (rows, keys) = found.entry(address).or_insert_with(|| (Vec::new(), Rows::new(1)));
                    rows.push((*print, row.clone()));
                    let line = key_line(key.iter().map(String::as_str).zip(values.iter().copied()));
                    keys.push([Some(line.as_str())]);
                }
            }
        }
        for (address, (rows, mut keys)) in found {
            keys.shrink();
            // The inventory is sorted by the key's fingerprint. If the server sorts it in another way, the keys are
            // not shown.
            let keys = if rows.is_sorted_by_key(|(print, _)| *print) { keys } else { Rows::default() };
            let rows = FingerprintMap::new(rows);
            let set = Owned { table: table.clone(), key: key.clone(), rows, keys };
            owned.entry(address.clone()).or_default().push(set);
        }
    }
    Ok(owned)
}

/// Reads the rows with the given keys, by the fingerprint of the key. Runs one query for their content and
/// one for each foreign key that references the table.
///
/// In a transaction the rows are locked before references are counted. The query waits for concurrent
/// changes, so both these and new references are included.
pub(super) async fn read<'k>(
    shape: &Shape<'_>,
    keys: impl Iterator<Item = &'k Values<'k>>,
    schema: &Snapshot,
    tables: &BTreeSet<&TableName>,
    session: &mut Reader<'_>,
) -> sql::Result<BTreeMap<Fingerprint, OwnedRow>> {
    let dialect = session.dialect();
    let keys = shape.keys(keys.filter(|key| takes(shape, key)).cloned());
    let incoming = incoming(shape.name, shape.table, schema);
    let from = shape.listed(&keys);
    let columns = read_texts(dialect, &shape.table.columns);
    let sql = format!("SELECT {columns} FROM {from}{}", session.locking());
    let mut rows: BTreeMap<Fingerprint, OwnedRow> = BTreeMap::new();
    for row in session.query(&sql, shape.table.columns.len(), &keys.values).await? {
        let values = row.into_values();
        let mut row = describe(shape, &values, &incoming, schema, tables);
        let key = key_fingerprint_of(shape, &values);
        if let Some(other) = rows.get(&key) {
            // Several rows share the key, so none can be identified as ours. A combined fingerprint
            // matches none.
            let both = [Some(other.row.to_string()), Some(row.row.to_string())];
            row.row = Fingerprint::of(both.iter().map(Option::as_ref));
        }
        rows.insert(key, row);
    }
    for (child, foreign_key, references) in &incoming {
        let on =
            foreign_key.columns.iter().zip(*references).map(|(column, referenced)| {
                format!("c.{} = t.{}", identifier(column), identifier(referenced))
            });
        let sql = format!(
            "SELECT {key}, count(*) FROM {from} JOIN {child} AS c ON {on} GROUP BY {key}",
            key = read_texts(dialect, shape.key.iter().copied()),
            child = child.located(dialect),
            on = on.collect::<Vec<_>>().join(" AND "),
        );
        for row in session.query(&sql, shape.key.len() + 1, &keys.values).await? {
            let count = row.integer(shape.key.len())?.unsigned_abs();
            let key = row.values().iter().take(shape.key.len()).map(Option::as_deref);
            if let Some(owned) = rows.get_mut(&shape.key_fingerprint(key)) {
                owned.ties.get_or_insert_default().references += count;
            }
        }
    }
    Ok(rows)
}

/// Whether the columns' types still accept the key. The types may have changed since it was
/// recorded.
fn takes(shape: &Shape<'_>, key: &[Option<&str>]) -> bool {
    let takes = |column, text| shape.dialect == Dialect::Sqlite || fits(column, text);
    shape.key.iter().zip(key).all(|(column, text)| text.is_some_and(|text| takes(*column, text)))
}

/// The fingerprint of the key in a row that has all columns.
pub(super) fn key_fingerprint_of(shape: &Shape<'_>, values: &[Option<String>]) -> Fingerprint {
    shape.key_fingerprint(shape.key.iter().map(|column| value_of(shape.table, values, &column.name)))
}

/// The value of a column in a row that has all columns.
pub(super) fn value_of<'v>(table: &Table, values: &'v [Option<String>], name: &str) -> Option<&'v str> {
    let at = table.columns.iter().position(|column| column.name == name)?;
    values.get(at).and_then(Option::as_deref)
}

type Incoming<'a> = Vec<(&'a TableName, &'a ForeignKey, &'a [String])>;

/// The foreign keys that reference a table, with the columns that they reference.
fn incoming<'a>(name: &TableName, table: &'a Table, schema: &'a Snapshot) -> Incoming<'a> {
    let keys = schema
        .tables
        .iter()
        .flat_map(|(child, described)| described.foreign_keys.iter().map(move |key| (child, key)));
    let to_this = keys.filter(|(_, key)| key.table == *name);
    to_this.map(|(child, key)| (child, key, referenced(key, table))).collect()
}

fn referenced<'a>(key: &'a ForeignKey, parent: &'a Table) -> &'a [String] {
    if key.references.is_empty() { &parent.primary_key } else { &key.references }
}

fn describe(
    shape: &Shape<'_>,
    values: &[Option<String>],
    incoming: &Incoming<'_>,
    schema: &Snapshot,
    tables: &BTreeSet<&TableName>,
) -> OwnedRow {
    let keys = unique_keys(shape.table).filter(|columns| !is_same(columns, &shape.key));
    let anchored: BTreeSet<&[String]> =
        incoming.iter().map(|(_, _, references)| *references).chain(keys).collect();
    let anchors = anchored.into_iter().filter_map(|columns| {
        let values = columns.iter().map(|name| value_of(shape.table, values, name));
        anchor(shape.dialect, shape.name, shape.table, columns, values)
    });
    let points =
        shape.table.foreign_keys.iter().filter(|key| tables.contains(&key.table)).filter_map(|key| {
            let parent = schema.tables.get(&key.table)?;
            let values = key.columns.iter().map(|name| value_of(shape.table, values, name));
            anchor(shape.dialect, &key.table, parent, referenced(key, parent), values)
        });
    let ties = Ties { references: 0, anchors: anchors.collect(), points: points.collect() };
    let ties = (ties != Ties::default()).then(|| Box::new(ties));
    OwnedRow { row: row_fingerprint(shape.table, values), ties }
}

/// Whether these are the columns of a key, in any order.
pub(super) fn is_same(columns: &[String], key: &[&Column]) -> bool {
    columns.len() == key.len() && key.iter().all(|column| columns.contains(&column.name))
}

/// The identity of a row under some columns; `None` where one of the values is NULL.
pub(super) fn anchor<'v>(
    dialect: Dialect,
    table: &TableName,
    described: &Table,
    columns: &[String],
    values: impl Iterator<Item = Option<&'v str>>,
) -> Option<Fingerprint> {
    let mut fields = vec![table.to_string()];
    for (name, value) in columns.iter().zip(values) {
        let column = described.column(name)?;
        fields.extend([name.clone(), column.canonical(dialect, value?)]);
    }
    Some(Fingerprint::of(fields.iter().map(Some)))
}
