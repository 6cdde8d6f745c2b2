//! Migrations that another tool applied and recorded in sqlx's history.

use std::collections::BTreeSet;

use super::{Applied, Desired, Error, Pending, Result, is_same_text, observe, record_only};
use crate::address::Kind;
use crate::connection::{Client, history_exists};
use crate::journal::{Inventory, RunId};
use crate::stack::Migration;

/// Successful rows of the history that the inventory does not have: another tool recorded them.
pub fn recorded_by_another_tool<'h>(history: &'h [Applied], inventory: &Inventory) -> Vec<&'h Applied> {
    // Compared by version, because a file may have been renamed since.
    let version = |stem: &str| stem.split('_').next().and_then(|number| number.parse::<i64>().ok());
    let stems = inventory.0.keys().filter_map(|address| address.name_of(Kind::Migration));
    let known: BTreeSet<i64> = stems.filter_map(version).collect();
    history.iter().filter(|applied| applied.success && !known.contains(&applied.version)).collect()
}

/// The files that another tool applied with the same text.
pub fn applied_by_another_tool<'d>(
    desired: &'d Desired,
    history: &[Applied],
    inventory: &Inventory,
) -> Vec<&'d Migration> {
    let unknown = recorded_by_another_tool(history, inventory).into_iter();
    unknown
        .filter_map(|applied| {
            let at = desired.files.binary_search_by_key(&applied.version, |file| file.version).ok()?;
            desired.files.get(at).filter(|file| is_same_text(&applied.checksum, file))
        })
        .collect()
}

/// Adds them to the inventory, after the schema that they left was recorded.
pub async fn adopt_into_inventory(
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
    let files = applied_by_another_tool(desired, &history, inventory).into_iter();
    let known: Vec<Pending> =
        files.map(|file| Pending { migration: file.clone(), limits: desired.limits }).collect();
    if known.is_empty() { Ok(()) } else { record_only(&[], &known, client, run).await }
}
