//! Migrations of the folder that another tool ran, which records them as sqlx does.

use std::collections::BTreeSet;

use super::{Applied, Desired, Error, Pending, Result, is_same_text, observe, record_only};
use crate::address::Kind;
use crate::connection::{Client, history_exists};
use crate::journal::{Inventory, RunId};
use crate::stack::Migration;

/// What the history has whole, and the inventory does not know: another tool recorded it.
pub fn recorded_elsewhere<'h>(history: &'h [Applied], inventory: &Inventory) -> Vec<&'h Applied> {
    // By version: a file may have got another name since.
    let version = |stem: &str| stem.split('_').next().and_then(|number| number.parse::<i64>().ok());
    let stems = inventory.0.keys().filter_map(|address| address.name_of(Kind::Migration));
    let known: BTreeSet<i64> = stems.filter_map(version).collect();
    history.iter().filter(|applied| applied.success && !known.contains(&applied.version)).collect()
}

/// The migrations that the history has whole, with the texts of the folder, and that the inventory
/// does not know.
pub fn run_elsewhere<'d>(
    desired: &'d Desired,
    history: &[Applied],
    inventory: &Inventory,
) -> Vec<&'d Migration> {
    let unknown = recorded_elsewhere(history, inventory).into_iter();
    unknown
        .filter_map(|applied| {
            let at = desired.files.binary_search_by_key(&applied.version, |file| file.version).ok()?;
            desired.files.get(at).filter(|file| is_same_text(&applied.checksum, file))
        })
        .collect()
}

/// Remembers in the inventory what another tool ran, once the schema that it left is recorded.
pub async fn remember_elsewhere(
    desired: &Desired,
    inventory: &Inventory,
    client: &Client,
    run: &RunId,
) -> Result<()> {
    let open = client.database().await?;
    let asked = open.query(history_exists(open.dialect()), &[]).await;
    let has_history = asked.and_then(|rows| rows.first().map_or(Ok(false), |row| row.bool(0)));
    if !has_history.map_err(Error::doing("looking for the history of migrations"))? {
        return Ok(());
    }
    let history = observe(&open).await?;
    let files = run_elsewhere(desired, &history, inventory).into_iter();
    let known: Vec<Pending> =
        files.map(|file| Pending { migration: file.clone(), limits: desired.limits }).collect();
    if known.is_empty() { Ok(()) } else { record_only(&[], &known, client, run).await }
}
