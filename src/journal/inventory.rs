//! The inventory: one row per address and key, with the digest of the content that this tool wrote. It is
//! written in the same transaction as the content, and determines what may be deleted later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RowLocations, RunId};
use crate::address::Address;
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::sql::{self, Database, Dialect, Result, Row, Transaction, Value};

/// The observed inventory, with digests only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(pub BTreeMap<Address, FingerprintMap<Fingerprint>>);

impl Inventory {
    /// Content digests by key fingerprint.
    pub fn at(&self, address: &Address) -> Option<&FingerprintMap<Fingerprint>> {
        self.0.get(address)
    }
}

/// The inventory as it is read. Unlike a world it also has the locations of rows.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    pub inventory: Inventory,
    pub places: RowLocations,
}

/// A row of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The owner, such as `system.seed.demo`.
    pub address: Address,
    /// The location: `{"table": …, "key": {column: value}}`, compact JSON with sorted keys.
    pub place: String,
    /// The fingerprint of the key's values, in the order of the key.
    pub key: Fingerprint,
    /// The fingerprint of all columns, read back after writing.
    pub digest: Fingerprint,
}

/// The quoted name of the table.
pub fn table(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "trueup.inventory",
        Dialect::Sqlite => "trueup_inventory",
    }
}

/// Inserts or replaces entries in the caller's transaction, with one statement for all of them.
pub async fn record(transaction: &mut Transaction, run: &RunId, entries: &[Entry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let dialect = transaction.dialect();
    let table = table(dialect);
    let rows = match dialect {
        Dialect::Postgres => {
            "SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) \
                              AS e(address, key, place, digest)"
        }
        // A single JSON document: one json_each per column would scan all of them for each row.
        Dialect::Sqlite => {
            "SELECT value ->> 0 AS address, value ->> 1 AS key, value ->> 2 AS place, value ->> 3 AS digest \
             FROM json_each($2)"
        }
    };
    let sql = format!(
        "INSERT INTO {table} (address, key, place, digest, run) \
         SELECT e.address, e.key, e.place, e.digest, $1 FROM ({rows}) AS e WHERE true \
         ON CONFLICT (address, key) DO UPDATE \
         SET place = excluded.place, digest = excluded.digest, run = excluded.run"
    );
    let columns: [fn(&Entry) -> String; 4] = [
        |entry| entry.address.to_string(),
        |entry| entry.key.to_string(),
        |entry| entry.place.clone(),
        |entry| entry.digest.to_string(),
    ];
    let mut values = vec![Value::from(run.as_str())];
    match dialect {
        Dialect::Postgres => values.extend(
            columns.iter().map(|of| Value::Texts(entries.iter().map(|entry| Some(of(entry))).collect())),
        ),
        Dialect::Sqlite => {
            let rows: Vec<[String; 4]> = entries.iter().map(|entry| columns.map(|of| of(entry))).collect();
            values.push(Value::Text(serde_json::json!(rows).to_string()));
        }
    }
    transaction.execute(&sql, &values).await.map(|_| ())
}

/// Deletes entries by their keys, in the caller's transaction.
pub async fn forget(transaction: &mut Transaction, address: &Address, keys: &[Fingerprint]) -> Result<()> {
    let dialect = transaction.dialect();
    let table = table(dialect);
    let among = match dialect {
        Dialect::Postgres => "key = ANY($2)",
        Dialect::Sqlite => "key IN (SELECT value FROM json_each($2))",
    };
    let sql = format!("DELETE FROM {table} WHERE address = $1 AND {among}");
    let keys = keys.iter().map(|key| Some(key.to_string())).collect();
    transaction.execute(&sql, &[Value::from(address.as_str()), Value::Texts(keys)]).await.map(|_| ())
}

/// Reads the entries of an address with the given keys, in the caller's transaction.
pub async fn entries(
    transaction: &mut Transaction,
    address: &Address,
    keys: &[Fingerprint],
) -> Result<Vec<Entry>> {
    let dialect = transaction.dialect();
    let among = match dialect {
        Dialect::Postgres => "key = ANY($2)",
        Dialect::Sqlite => "key IN (SELECT value FROM json_each($2))",
    };
    let sql = format!("SELECT {COLUMNS} FROM {} WHERE address = $1 AND {among}", table(dialect));
    let keys = keys.iter().map(|key| Some(key.to_string())).collect();
    let values = [Value::from(address.as_str()), Value::Texts(keys)];
    let rows = transaction.query_many(&sql, 4, &values).await?;
    rows.iter().map(|row| entry(row, address.clone())).collect()
}

const COLUMNS: &str = "address, place, key, digest";

/// The number of entries in a page.
const PAGE: usize = 5_000;

/// The query for the first page of all entries; folded into one column on SQLite.
pub(super) fn first_page(dialect: Dialect) -> String {
    page(dialect, "")
}

/// Pages are sorted by address and key. `after` is the condition that skips earlier pages.
fn page(dialect: Dialect, after: &str) -> String {
    let query =
        format!("SELECT {COLUMNS} FROM {} {after} ORDER BY address, key LIMIT {PAGE}", table(dialect));
    match dialect {
        Dialect::Postgres => query,
        Dialect::Sqlite => sql::folded(&query, 4),
    }
}

/// Parses the first page, which was queried already, and reads the others.
pub(super) async fn read_all(database: &Database, first: Vec<Row>) -> super::Result<Listed> {
    let dialect = database.dialect();
    let mut keys: BTreeMap<Address, Vec<(Fingerprint, Fingerprint)>> = BTreeMap::new();
    let mut places = RowLocations::default();
    let mut answer = first;
    loop {
        let entries = match dialect {
            Dialect::Postgres => read(&answer)?,
            Dialect::Sqlite => read(&sql::unfolded(&answer)?)?,
        };
        for Entry { address, place, key, digest } in &entries {
            places.push(address, place, *key);
            keys.entry(address.clone()).or_default().push((*key, *digest));
        }
        let Some(last) = entries.last().filter(|_| entries.len() == PAGE) else { break };
        let after = [Value::from(last.address.as_str()), Value::from(last.key.to_string())];
        answer = database.query(&page(dialect, "WHERE (address, key) > ($1, $2)"), &after).await?;
    }
    let inventory =
        Inventory(keys.into_iter().map(|(address, keys)| (address, FingerprintMap::new(keys))).collect());
    Ok(Listed { inventory, places })
}

fn read(rows: &[Row]) -> super::Result<Vec<Entry>> {
    rows.iter().map(|row| Ok(entry(row, Address::parse(row.text(0)?)?)?)).collect()
}

/// Parses a row whose address is parsed already.
fn entry(row: &Row, address: Address) -> Result<Entry> {
    let print = |column| {
        let text = row.text(column)?;
        Fingerprint::parse(text).ok_or_else(|| sql::Error::Decode { column, kind: format!("text {text:?}") })
    };
    Ok(Entry { address, place: row.text(1)?.to_owned(), key: print(2)?, digest: print(3)? })
}
