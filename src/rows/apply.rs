//! Writes and deletes rows in one transaction with their inventory. Each row is read again first, so that a
//! change can run twice.

use super::clash::{clash_message, clashes};
use super::locate::write_or_locate;
use super::remove::take_back;
use super::sequence::restart_sequences;
use super::write::Batch;
use super::{BATCH, Error, Lacking, Result, RowSet, Shape, Spelling};
use crate::address::Address;
use crate::catalog::{Snapshot, TableName};
use crate::connection::{Client, limit};
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::{RunId, inventory};
use crate::progress;
use crate::sql::{Database, Dialect};

/// The rows to write and to delete for one address.
#[derive(Debug, Clone)]
pub struct RowsChange {
    address: Address,
    write: Option<Write>,
    /// The keys of rows to delete, each with the fingerprint that its row must still have.
    delete: FingerprintMap<Fingerprint>,
}

/// Some rows of a set.
#[derive(Debug, Clone)]
struct Write {
    set: RowSet,
    /// Indexes into the rows of the set, ascending.
    rows: Vec<usize>,
}

impl RowsChange {
    pub(super) fn new(
        address: &Address,
        set: Option<&RowSet>,
        rows: Vec<usize>,
        delete: FingerprintMap<Fingerprint>,
    ) -> Self {
        let write = set.filter(|_| !rows.is_empty()).map(|set| Write { set: set.clone(), rows });
        Self { address: address.clone(), write, delete }
    }

    pub(super) fn writes(&self) -> Option<&TableName> {
        self.write.as_ref().map(|write| &write.set.table)
    }
}

/// Deletes and writes all rows, or none.
pub(super) async fn apply(change: &RowsChange, client: &Client, run: &RunId) -> Result<()> {
    let RowsChange { address, write, delete } = change;
    let database = client.database().await?;
    let schema = client.catalog().await?;
    let doing = || Error::doing(format!("writing the rows of {address}"));
    let target = match write {
        Some(write) => {
            let shape = shape(address, write, &schema, database.dialect())?;
            let set = checked(address, &shape, &write.set, &database).await?;
            Some((&write.rows, shape, set))
        }
        None => None,
    };
    let mut transaction = database.begin().await.map_err(doing())?;
    // From here on a new holder of the lock waits for the end of this transaction.
    client.check_lock().await?;
    limit(&mut transaction).await.map_err(doing())?;
    take_back(address, delete, &schema, &mut transaction).await.map_err(doing())?;
    if let Some((rows, shape, set)) = &target {
        let mut written = 0;
        let total = rows.len();
        for rows in rows.chunks(BATCH) {
            let batch = Batch { address, set, shape, rows };
            let entries = write_or_locate(&batch, &mut transaction).await?;
            inventory::record(&mut transaction, run, &entries).await.map_err(doing())?;
            written += rows.len();
            progress::report(written, total, "rows written");
        }
        restart_sequences(shape, &mut transaction).await.map_err(doing())?;
    }
    transaction.commit().await.map_err(doing())
}

/// The set with its values as the server stores them. The plan could not check them where a migration of this run
/// made the table.
async fn checked(address: &Address, shape: &Shape<'_>, set: &RowSet, database: &Database) -> Result<RowSet> {
    let doing = || Error::doing(format!("writing the rows of {address}"));
    let (stored, rejected) =
        shape.as_stored(set, &mut Spelling::default(), database).await.map_err(doing())?;
    let clashes = clashes(shape, &stored, database).await.map_err(doing())?;
    let clash = || clashes.iter().find_map(|clash| clash_message(shape, &stored, clash));
    match rejected.first_key_value().and_then(|first| shape.rejection(set, first)).or_else(clash) {
        Some(message) => Err(Error::Shape { address: address.to_string(), message }),
        None => Ok(stored),
    }
}

/// Resolves the columns of the rows. They were planned without the table where a migration creates
/// it.
fn shape<'s>(
    address: &Address,
    write: &'s Write,
    schema: &'s Snapshot,
    dialect: Dialect,
) -> Result<Shape<'s>> {
    let Write { set, rows } = write;
    let shape = Shape::resolve(&set.table, &set.key, &set.columns, schema, dialect);
    let shape = shape.map_err(|lacking| match lacking {
        Lacking::Table => format!("table {} does not exist", set.table),
        Lacking::Column(column) => format!("column {column} does not exist in table {}", set.table),
    });
    let fitting = shape.and_then(|shape| match shape.refusal(set, rows) {
        None => Ok(shape),
        Some(message) => Err(message),
    });
    fitting.map_err(|message| Error::Shape { address: address.to_string(), message })
}
