//! What this tool put where: a row an address and key, with the digest of what was put there. It
//! is written in the transaction that puts the thing there, and tells what may be taken back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Places, RunId};
use crate::address::Address;
use crate::digest::Fingerprint;
use crate::prints::Prints;
use crate::sql::{self, Database, Dialect, Result, Row, Transaction, Value};

/// The inventory as it was observed: digests only, by address and key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(pub BTreeMap<Address, Prints<Fingerprint>>);

impl Inventory {
    /// What was put at an address: the digest of the content by the fingerprint of the key.
    pub fn at(&self, address: &Address) -> Option<&Prints<Fingerprint>> {
        self.0.get(address)
    }
}

/// The inventory as it is read: with the places of rows, which a world does not keep.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// What was put where.
    pub inventory: Inventory,
    /// Where exactly the rows are.
    pub places: Places,
}

/// One thing that this tool put somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is, such as `system.seed.demo`.
    pub address: Address,
    /// Where exactly: `{"table": …, "key": {column: value}}`, compact JSON with sorted keys.
    pub place: String,
    /// The fingerprint of the key's values, in the order of the key.
    pub key: Fingerprint,
    /// The fingerprint of all its columns, read back when it was written.
    pub digest: Fingerprint,
}

/// The inventory's table, quoted, in a dialect.
pub fn table(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "trueup.inventory",
        Dialect::Sqlite => "trueup_inventory",
    }
}

/// Records entries, replacing those of the same address and key, in the caller's transaction.
/// One statement for any number of entries.
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
        // One document: joining a json_each a column would rescan each of them for every row.
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

/// Forgets entries by their keys, in the caller's transaction.
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

/// What was put at an address under some of its keys, in the caller's transaction.
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

/// Entries of one page.
const PAGE: usize = 5_000;

/// The query for the first page of everything that was put anywhere; on SQLite folded.
pub(super) fn first_page(dialect: Dialect) -> String {
    page(dialect, "")
}

/// A page in the order of addresses and keys.
fn page(dialect: Dialect, after: &str) -> String {
    let query =
        format!("SELECT {COLUMNS} FROM {} {after} ORDER BY address, key LIMIT {PAGE}", table(dialect));
    match dialect {
        Dialect::Postgres => query,
        Dialect::Sqlite => sql::folded(&query, 4),
    }
}

/// Everything that was put anywhere: what the first page answered, and the pages behind it.
pub(super) async fn read_all(database: &Database, first: Vec<Row>) -> super::Result<Listed> {
    let dialect = database.dialect();
    let mut keys: BTreeMap<Address, Vec<(Fingerprint, Fingerprint)>> = BTreeMap::new();
    let mut places = Places::default();
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
    let inventory = Inventory(keys.into_iter().map(|(address, keys)| (address, Prints::new(keys))).collect());
    Ok(Listed { inventory, places })
}

/// The entries of a query's rows.
fn read(rows: &[Row]) -> super::Result<Vec<Entry>> {
    rows.iter().map(|row| Ok(entry(row, Address::parse(row.text(0)?)?)?)).collect()
}

/// The entry of a row, whose address is known.
fn entry(row: &Row, address: Address) -> Result<Entry> {
    let print = |column| {
        let text = row.text(column)?;
        Fingerprint::parse(text).ok_or_else(|| sql::Error::Decode { column, kind: format!("text {text:?}") })
    };
    Ok(Entry { address, place: row.text(1)?.to_owned(), key: print(2)?, digest: print(3)? })
}
