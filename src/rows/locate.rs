//! Finds the row that the database rejects, where a batch of rows fails: the server names the constraint, not
//! the row. Runs only after a failure, inside the transaction that is rolled back afterwards.

use super::write::{Batch, write_rows};
use super::{Error, Result};
use crate::connection;
use crate::journal::Entry;
use crate::sql::{self, Dialect, Transaction};

const SAVE: &str = "SAVEPOINT rows";
const RELEASE: &str = "RELEASE SAVEPOINT rows";
const BACK: &str = "ROLLBACK TO SAVEPOINT rows";

/// Writes a batch of rows. An error names the first row that the database rejects, by its file and line.
pub(super) async fn write_or_locate(batch: &Batch<'_>, transaction: &mut Transaction) -> Result<Vec<Entry>> {
    let doing = || Error::doing(format!("writing the rows of {}", batch.address));
    transaction.execute(SAVE, &[]).await.map_err(doing())?;
    let error = match write_rows(batch, transaction).await {
        Ok(entries) => {
            transaction.execute(RELEASE, &[]).await.map_err(doing())?;
            return Ok(entries);
        }
        Err(error) => error,
    };
    if !is_of_one_row(&error, batch, transaction.dialect()) {
        return Err(error);
    }
    // If the connection is lost meanwhile, the first error is returned.
    let located = locate(batch, transaction).await.ok().flatten();
    Err(located.map_or(error, |(row, error)| named(batch, row, error)))
}

/// Halves a batch that fails until one row is left; returns its index and the error of this row alone.
async fn locate(batch: &Batch<'_>, transaction: &mut Transaction) -> sql::Result<Option<(usize, Error)>> {
    let mut failing = batch.rows;
    loop {
        transaction.execute(BACK, &[]).await?;
        let (first, second) = failing.split_at(failing.len().div_ceil(2));
        match write_rows(&Batch { rows: first, ..*batch }, transaction).await {
            Ok(_) if second.is_empty() => return Ok(None),
            Ok(_) => {
                transaction.execute(RELEASE, &[]).await?;
                transaction.execute(SAVE, &[]).await?;
                failing = second;
            }
            // Another kind of error, such as a lost connection, says nothing about a row.
            Err(error) if !is_of_one_row(&error, batch, transaction.dialect()) => return Ok(None),
            Err(error) => match first {
                [row] => return Ok(Some((*row, error))),
                _ => failing = first,
            },
        }
    }
}

/// Adds the file and line of the row to its error.
fn named(batch: &Batch<'_>, row: usize, error: Error) -> Error {
    match (error, batch.set.lines.location_text(row)) {
        (Error::Connection(connection::Error::Statement { help, what, source }), Some(place)) => {
            let what = format!("{place}: {what}");
            Error::Connection(connection::Error::Statement { help, what, source })
        }
        (error, _) => error,
    }
}

/// Whether a single row is the cause: a value or a constraint. A key that refers to the same table may refer to
/// a later row of the batch, so that the rows cannot be tried one by one.
fn is_of_one_row(error: &Error, batch: &Batch<'_>, dialect: Dialect) -> bool {
    let Error::Connection(connection::Error::Statement { source, .. }) = error else { return false };
    let Some(code) = source.code() else { return false };
    let (is_of_row, is_of_key) = match dialect {
        // Data exceptions, constraints, and what a trigger raises; foreign_key_violation.
        Dialect::Postgres => {
            (["22", "23", "P0"].iter().any(|class| code.starts_with(class)), code == "23503")
        }
        // SQLITE_CONSTRAINT with its extended codes, SQLITE_MISMATCH; SQLITE_CONSTRAINT_FOREIGNKEY.
        Dialect::Sqlite => {
            let code = code.parse::<u32>().unwrap_or(0);
            (matches!(code & 0xff, 19 | 20), code == 787)
        }
    };
    let refers_to_itself = || batch.shape.table.foreign_keys.iter().any(|key| key.table == *batch.shape.name);
    is_of_row && !(is_of_key && refers_to_itself())
}
