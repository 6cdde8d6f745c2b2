//! The rows that the inventory says this tool put there: whether they are still what they were,
//! and who refers to them. Reads only; whether they go is decided in `takeback`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::{Error, Result};
use super::fits::fits;
use super::{BATCH, Shape, Source, read_text, row_print, unique_keys, written};
use crate::catalog::{Column, ForeignKey, Snapshot, Table, TableName};
use crate::change::Address;
use crate::digest::Fingerprint;
use crate::journal::Entry;
use crate::sql::{self, Database, Dialect, Row, Transaction, Value, identifier};

/// The rows of one table that were put there for one address and are there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The table they were put into.
    pub table: TableName,
    /// The columns that identified them, sorted.
    pub key: Vec<String>,
    /// By the fingerprint of their key.
    pub rows: BTreeMap<Fingerprint, OwnedRow>,
}

/// One such row, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedRow {
    /// The fingerprint of all its columns.
    pub row: Fingerprint,
    /// How many rows refer to it through foreign keys.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub references: u64,
    /// What rows that refer to it point at, and what else tells it from all others in its table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Fingerprint>,
    /// The anchors of other rows of this tool that it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Fingerprint>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where a row was put, as the inventory keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) table: TableName,
    pub(super) key: BTreeMap<String, Option<String>>,
}

impl Place {
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Compact JSON with sorted keys.
    pub(super) fn written(&self) -> String {
        let Self { table, key } = self;
        serde_json::json!({ "key": key, "table": table }).to_string()
    }

    fn group(&self) -> (TableName, Vec<String>) {
        (self.table.clone(), self.key.keys().cloned().collect())
    }
}

/// Entries of the inventory by their table and the columns of their key.
type Groups<'e> = BTreeMap<(TableName, Vec<String>), Vec<(&'e Entry, Place)>>;

/// An open database or transaction: where the same question can be asked.
pub(super) enum Session<'a> {
    Database(&'a Database),
    Transaction(&'a mut Transaction),
}

impl Session<'_> {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Database(database) => database.dialect(),
            Self::Transaction(transaction) => transaction.dialect(),
        }
    }

    /// What holds rows of `t` as they are read, until the end of a transaction.
    fn locking(&self) -> &'static str {
        match self {
            Self::Transaction(transaction) if transaction.dialect() == Dialect::Postgres => {
                " FOR UPDATE OF t"
            }
            // SQLite has one writer.
            Self::Database(_) | Self::Transaction(_) => "",
        }
    }

    pub(super) async fn query(&mut self, sql: &str, values: &[Value]) -> sql::Result<Vec<Row>> {
        match self {
            Self::Database(database) => database.query(sql, values).await,
            Self::Transaction(transaction) => transaction.query(sql, values).await,
        }
    }
}

/// What is still there of what the inventory knows, by address.
pub(in super::super) async fn observe(
    inventory: &[Entry],
    schema: &Snapshot,
    database: &Database,
) -> Result<BTreeMap<Address, Vec<Owned>>> {
    let mut groups: Groups<'_> = BTreeMap::new();
    let of_rows = |entry: &&Entry| {
        let address = entry.address.as_str();
        address.starts_with("system.seed.") || address.starts_with("system.ontology.")
    };
    for entry in inventory.iter().filter(of_rows) {
        if let Some(place) = Place::parse(&entry.place) {
            groups.entry(place.group()).or_default().push((entry, place));
        }
    }
    let tables: BTreeSet<&TableName> = groups.keys().map(|(table, _)| table).collect();
    let mut owned: BTreeMap<Address, Vec<Owned>> = BTreeMap::new();
    for ((table, key), entries) in &groups {
        // A table or column that is gone took the rows with it.
        let Ok(shape) = Shape::of(table, key, &[], schema, database.dialect()) else { continue };
        let places: Vec<&Place> = entries.iter().map(|(_, place)| place).collect();
        let read = read(&shape, &places, schema, &tables, &mut Session::Database(database)).await;
        let rows = read.map_err(Error::doing(format!("reading rows of {table}")))?;
        let mut by_address: BTreeMap<&Address, BTreeMap<Fingerprint, OwnedRow>> = BTreeMap::new();
        for (entry, _) in entries {
            if let Some(row) = rows.get(&entry.key) {
                by_address.entry(&entry.address).or_default().insert(entry.key, row.clone());
            }
        }
        for (address, rows) in by_address {
            let set = Owned { table: table.clone(), key: key.clone(), rows };
            owned.entry(address.clone()).or_default().push(set);
        }
    }
    Ok(owned)
}

/// The rows at some places of one table, by the fingerprint of their key: one query for their
/// content and one for each foreign key that refers to the table.
///
/// In a transaction the rows are locked before those that refer to them are counted: a change that is
/// being made is waited for and seen, and so is a row that was inserted to refer to one of them.
pub(super) async fn read(
    shape: &Shape<'_>,
    places: &[&Place],
    schema: &Snapshot,
    tables: &BTreeSet<&TableName>,
    session: &mut Session<'_>,
) -> sql::Result<BTreeMap<Fingerprint, OwnedRow>> {
    let dialect = session.dialect();
    let keys: Vec<Vec<Option<String>>> =
        places.iter().filter_map(|place| key_values(shape, place, dialect)).collect();
    let incoming = incoming(shape.name, shape.table, schema);
    let columns: Vec<String> = shape.table.columns.iter().map(|column| read_text(dialect, column)).collect();
    let key_columns: Vec<String> = shape.key.iter().map(|column| read_text(dialect, column)).collect();
    let mut rows = BTreeMap::new();
    for keys in keys.chunks(BATCH) {
        let source = Source::new(dialect, shape.key.len(), keys);
        let from = format!("{} AS t JOIN {} ON {}", shape.place(), source.sql, shape.joined(dialect));
        let sql = format!("SELECT {} FROM {from}{}", columns.join(", "), session.locking());
        for row in session.query(&sql, &source.values).await? {
            let values = row.into_values();
            let mut row = describe(shape, &values, &incoming, schema, tables);
            let key = print_of_key(shape, &values);
            if let Some(other) = rows.get(&key) {
                // The key does not tell which of them is ours: together they are none that was put here.
                let OwnedRow { row: other, .. } = other;
                row.row = Fingerprint::of(
                    [Some(other.to_string()), Some(row.row.to_string())].iter().map(Option::as_ref),
                );
            }
            rows.insert(key, row);
        }
        for (child, foreign_key, references) in &incoming {
            let on = foreign_key.columns.iter().zip(*references).map(|(column, referenced)| {
                format!("c.{} = t.{}", identifier(column), identifier(referenced))
            });
            let sql = format!(
                "SELECT {keys}, count(*) FROM {from} JOIN {child} AS c ON {on} GROUP BY {keys}",
                keys = key_columns.join(", "),
                child = child.located(dialect),
                on = on.collect::<Vec<_>>().join(" AND "),
            );
            for row in session.query(&sql, &source.values).await? {
                let count = row.integer(shape.key.len())?.unsigned_abs();
                let key = row.values().iter().take(shape.key.len()).map(Option::as_deref);
                if let Some(owned) = rows.get_mut(&shape.key_print(key)) {
                    owned.references += count;
                }
            }
        }
    }
    Ok(rows)
}

/// The key of a place as parameters; `None` where the column's type no longer takes it.
fn key_values(shape: &Shape<'_>, place: &Place, dialect: Dialect) -> Option<Vec<Option<String>>> {
    let value = |column: &&Column| {
        let text = place.key.get(&column.name)?.as_deref()?;
        let takes = dialect == Dialect::Sqlite || fits(column, text);
        takes.then(|| Some(written(dialect, column, text)))
    };
    shape.key.iter().map(value).collect()
}

/// The key's fingerprint in a row of all columns of the table.
pub(super) fn print_of_key(shape: &Shape<'_>, values: &[Option<String>]) -> Fingerprint {
    shape.key_print(shape.key.iter().map(|column| value_of(shape.table, values, &column.name)))
}

/// A column's value in a row of all columns of a table.
pub(super) fn value_of<'v>(table: &Table, values: &'v [Option<String>], name: &str) -> Option<&'v str> {
    let at = table.columns.iter().position(|column| column.name == name)?;
    values.get(at).and_then(Option::as_deref)
}

type Incoming<'a> = Vec<(&'a TableName, &'a ForeignKey, &'a [String])>;

/// The foreign keys that refer to a table, with the columns that they refer to.
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
    OwnedRow {
        row: row_print(shape.table, values),
        references: 0,
        anchors: anchors.collect(),
        points: points.collect(),
    }
}

/// Whether these are the columns of a key, in any order.
pub(super) fn is_same(columns: &[String], key: &[&Column]) -> bool {
    columns.len() == key.len() && key.iter().all(|column| columns.contains(&column.name))
}

/// The identity of a row as foreign keys see it; `None` where one of the values is NULL.
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
