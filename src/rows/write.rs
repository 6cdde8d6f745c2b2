//! Writes the rows of one batch, each read again first, and proves that they are stored as the spec has them.

use std::collections::{BTreeMap, BTreeSet};

use super::own::{is_same, key_fingerprint_of, value_of};
use super::sample::shown_value;
use super::{
    Error, Result, RowSet, Shape, Source, Values, fill_id, locking, not_given, parameters, read_texts,
    row_fingerprint, unique_keys, write_expression, write_expressions,
};
use crate::address::Address;
use crate::catalog::Column;
use crate::digest::Fingerprint;
use crate::journal::{Entry, Place, inventory};
use crate::sql::{self, Dialect, Transaction, identifier};
use crate::stack::SeedMode;

/// Rows of a set that are written together.
#[derive(Clone, Copy)]
pub(super) struct Batch<'b> {
    pub(super) address: &'b Address,
    pub(super) set: &'b RowSet,
    pub(super) shape: &'b Shape<'b>,
    /// Indexes into the rows of the set.
    pub(super) rows: &'b [usize],
}

/// Writes rows and returns their inventory entries.
pub(super) async fn write_rows(batch: &Batch<'_>, transaction: &mut Transaction) -> Result<Vec<Entry>> {
    let Batch { address, set, shape, rows } = *batch;
    let rows: &[Values<'_>] = &rows.iter().filter_map(|at| shape.row_of(set, *at)).collect::<Vec<_>>();
    let doing = || Error::doing(format!("writing the rows of {address}"));
    let keys: Vec<Fingerprint> = rows.iter().map(|row| shape.key_fingerprint(shape.key_of(row))).collect();
    let keyed: BTreeMap<Fingerprint, &Values<'_>> = keys.iter().copied().zip(rows).collect();
    let (there, doubled) = lock_rows(shape, keyed.values().copied(), transaction).await.map_err(doing())?;
    if doubled && set.mode != SeedMode::Insert {
        let message = format!("several rows of {} have the same key, and they are not the same", set.table);
        return Err(Error::Shape { address: address.to_string(), message });
    }

    // Inserts in the order of the file, so that generated ids follow it.
    let missing: Vec<&Values<'_>> =
        keys.iter().zip(rows).filter(|(key, _)| !there.contains_key(key)).map(|(_, row)| row).collect();
    let different: BTreeMap<Fingerprint, &Values<'_>> = match set.mode {
        SeedMode::Insert => BTreeMap::new(),
        SeedMode::Upsert | SeedMode::Mirror => {
            let differs = |key: &Fingerprint, row: &[Option<&str>]| {
                there.get(key).is_some_and(|found| !differing(shape, found, row).is_empty())
            };
            keyed.iter().filter(|(key, row)| differs(key, row)).map(|(key, row)| (*key, *row)).collect()
        }
    };
    let inserted = insert(address, shape, &missing, transaction).await?;
    update(shape, different.values().copied(), transaction).await.map_err(doing())?;

    let touched = missing.iter().copied().chain(different.values().copied());
    let (now, _) = lock_rows(shape, touched, transaction).await.map_err(doing())?;
    missing_after_insert(address, shape, &missing, &now)?;
    if set.mode != SeedMode::Insert {
        altered_values(address, shape, &keyed, &now)?;
    }
    // A row stays this tool's while nobody changed it. The spec owns the content of ontologies, so their
    // rows stay this tool's after any change.
    let found: Vec<Fingerprint> = there.keys().copied().collect();
    let owned = match found.as_slice() {
        [] => Vec::new(),
        found => inventory::entries(transaction, address, found).await.map_err(doing())?,
    };
    let is_own = |entry: &&Entry| {
        let found = there.get(&entry.key);
        found.is_some_and(|found| set.scope.is_some() || row_fingerprint(shape.table, found) == entry.digest)
    };
    let own: BTreeSet<Fingerprint> = owned.iter().filter(is_own).map(|entry| entry.key).collect();
    let records = |key: &Fingerprint| inserted.contains(key) || own.contains(key);
    let recorded = now.iter().filter(|(key, _)| records(key));
    Ok(recorded.map(|(key, row)| entry(address, shape, *key, row)).collect())
}

fn entry(address: &Address, shape: &Shape<'_>, key: Fingerprint, row: &[Option<String>]) -> Entry {
    let value =
        |column: &&Column| (column.name.clone(), value_of(shape.table, row, &column.name).map(str::to_owned));
    let place = Place { table: shape.name.clone(), key: shape.key.iter().map(value).collect() };
    Entry { address: address.clone(), place: place.written(), key, digest: row_fingerprint(shape.table, row) }
}

/// The columns of the spec in which a row of the table differs from the desired one.
fn differing(shape: &Shape<'_>, found: &[Option<String>], wanted: &[Option<&str>]) -> Vec<String> {
    let found: Vec<_> =
        shape.columns.iter().map(|(column, _)| value_of(shape.table, found, &column.name)).collect();
    shape.differing(&found, wanted)
}

/// The error of rows that read back with other values: they would be written again by every run.
fn altered_values(
    address: &Address,
    shape: &Shape<'_>,
    wanted: &BTreeMap<Fingerprint, &Values<'_>>,
    now: &BTreeMap<Fingerprint, Vec<Option<String>>>,
) -> Result<()> {
    let both = || now.iter().filter_map(|(key, found)| Some((found, *wanted.get(key)?)));
    let columns: BTreeSet<String> =
        both().flat_map(|(found, wanted)| differing(shape, found, wanted)).collect();
    if columns.is_empty() {
        return Ok(());
    }
    let example = both().find_map(|(found, wanted)| {
        let column = differing(shape, found, wanted).into_iter().next()?;
        let at = shape.columns.iter().position(|(asked, _)| asked.name == column)?;
        let key: Vec<&str> = shape.key_of(wanted).into_iter().flatten().collect();
        let stored = shown_value(&column, value_of(shape.table, found, &column));
        let spec = shown_value(&column, wanted.get(at).copied().flatten());
        let [stored, spec] =
            [stored, spec].map(|text| text.map_or("NULL".to_owned(), |text| format!("{text:?}")));
        Some(format!(
            "; of the row {}, {column} is {spec} in the spec and stored as {stored}",
            key.join(", ")
        ))
    });
    Err(Error::NotKept {
        address: address.to_string(),
        table: shape.name.to_string(),
        columns: columns.into_iter().collect(),
        example: example.unwrap_or_default(),
    })
}

/// The error of rows that were inserted but cannot be read: they would be inserted again by every
/// run.
fn missing_after_insert(
    address: &Address,
    shape: &Shape<'_>,
    missing: &[&Values<'_>],
    now: &BTreeMap<Fingerprint, Vec<Option<String>>>,
) -> Result<()> {
    let key = |row: &Values<'_>| shape.key_fingerprint(shape.key_of(row));
    let Some(row) = missing.iter().find(|row| !now.contains_key(&key(row))) else { return Ok(()) };
    let both = shape.key.iter().zip(shape.key_of(row));
    let key: Vec<_> =
        both.map(|(column, value)| format!("{} {:?}", column.name, value.unwrap_or_default())).collect();
    let message = format!(
        "{} has no row with {} after it was inserted: the table takes the key for that of another row (without \
         regard to case), or a trigger or policy is in the way",
        shape.name,
        key.join(", ")
    );
    Err(Error::Refused { address: address.to_string(), message })
}

/// Reads all columns of the rows with the given keys and locks them. The second value is true where rows
/// with different contents share a key.
async fn lock_rows<'r>(
    shape: &Shape<'_>,
    rows: impl Iterator<Item = &'r Values<'r>>,
    transaction: &mut Transaction,
) -> sql::Result<(BTreeMap<Fingerprint, Vec<Option<String>>>, bool)> {
    let dialect = transaction.dialect();
    let keys: Vec<Values<'_>> = rows.map(|row| shape.key_of(row)).collect();
    if keys.is_empty() {
        return Ok((BTreeMap::new(), false));
    }
    let keys = shape.keys(keys);
    let columns = read_texts(dialect, &shape.table.columns);
    let sql = format!("SELECT {columns} FROM {}{}", shape.listed(&keys), locking(dialect));
    let found = transaction.query_many(&sql, shape.table.columns.len(), &keys.values).await?;
    let mut rows = BTreeMap::new();
    let mut doubled = false;
    for row in found.into_iter().map(sql::Row::into_values) {
        if let Some(other) = rows.insert(key_fingerprint_of(shape, &row), row.clone()) {
            doubled |= other != row;
        }
    }
    Ok((rows, doubled))
}

/// Inserts rows and returns the keys of those that did not exist.
async fn insert(
    address: &Address,
    shape: &Shape<'_>,
    rows: &[&Values<'_>],
    transaction: &mut Transaction,
) -> Result<BTreeSet<Fingerprint>> {
    if rows.is_empty() {
        return Ok(BTreeSet::new());
    }
    let dialect = transaction.dialect();
    let mut columns: Vec<&Column> = shape.columns.iter().map(|(column, _)| *column).collect();
    let given: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let lacking = not_given(shape.table, &given);
    if !lacking.is_empty() {
        let message = format!("{} needs a value for {}", shape.name, lacking.join(", "));
        return Err(Error::Shape { address: address.to_string(), message });
    }
    let id = fill_id(shape.table, &given);
    let mut values: Vec<_> =
        rows.iter().map(|row| parameters(dialect, &columns, row.iter().copied())).collect();
    if let Some(id) = id {
        columns.push(id);
        for row in &mut values {
            row.push(Some(uuid::Uuid::new_v4().to_string()));
        }
    }
    let source = Source::new(dialect, columns.len(), &values);
    let names = columns.iter().map(|column| identifier(&column.name)).collect::<Vec<_>>().join(", ");
    let keys: Vec<String> = shape.key.iter().map(|column| identifier(&column.name)).collect();
    let returned = keys.iter().map(|key| match dialect {
        Dialect::Postgres => format!("{key}::text"),
        Dialect::Sqlite => key.clone(),
    });
    let given_identity = dialect == Dialect::Postgres && columns.iter().any(|column| column.identity);
    let sql = format!(
        "INSERT INTO {} ({names}){} SELECT {} FROM {} WHERE true{} RETURNING {}",
        shape.quoted_table(),
        if given_identity { " OVERRIDING SYSTEM VALUE" } else { "" },
        write_expressions(dialect, columns.iter().copied()),
        source.sql,
        // Another session may insert the row at the same time. ON CONFLICT needs a unique key.
        if unique_keys(shape.table).any(|columns| is_same(columns, &shape.key)) {
            format!(" ON CONFLICT ({}) DO NOTHING", keys.join(", "))
        } else {
            String::new()
        },
        returned.collect::<Vec<_>>().join(", "),
    );
    let inserted = transaction
        .query(&sql, &source.values)
        .await
        .map_err(Error::doing(format!("inserting rows of {address}")))?;
    Ok(inserted.iter().map(|row| shape.key_fingerprint(row.values().iter().map(Option::as_deref))).collect())
}

/// Sets all columns except the key.
async fn update<'r>(
    shape: &Shape<'_>,
    rows: impl Iterator<Item = &'r Values<'r>>,
    transaction: &mut Transaction,
) -> sql::Result<()> {
    let dialect = transaction.dialect();
    let is_key = |column: &Column| shape.key.iter().any(|key| key.name == column.name);
    let others: Vec<&Column> =
        shape.columns.iter().map(|(column, _)| *column).filter(|column| !is_key(column)).collect();
    let all: Vec<&Column> = shape.columns.iter().map(|(column, _)| *column).collect();
    let rows: Vec<Vec<Option<String>>> = rows
        .map(|row| {
            let set = all.iter().zip(row).filter(|(column, _)| !is_key(column)).map(|(_, value)| *value);
            let mut values = parameters(dialect, &shape.key, shape.key_of(row));
            values.extend(parameters(dialect, &others, set));
            values
        })
        .collect();
    if rows.is_empty() || others.is_empty() {
        return Ok(());
    }
    let source = Source::new(dialect, shape.key.len() + others.len(), &rows);
    let set = others.iter().enumerate().map(|(at, column)| {
        let value = write_expression(dialect, column, shape.key.len() + at);
        format!("{} = {value}", identifier(&column.name))
    });
    let sql = format!(
        "UPDATE {} AS t SET {} FROM {} WHERE {}",
        shape.quoted_table(),
        set.collect::<Vec<_>>().join(", "),
        source.sql,
        shape.is_listed()
    );
    transaction.execute(&sql, &source.values).await.map(|_| ())
}
