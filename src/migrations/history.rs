//! Compares the history with the files: edited, missing, renamed and late migrations. Pure.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha384};

use super::{Applied, Desired, address, bookkeeping, reached};
use crate::address::Kind;
use crate::catalog::Snapshot;
use crate::change::Fault;
use crate::digest::hex;
use crate::journal::Inventory;
use crate::stack::Migration;

/// The numbered files by version.
pub(super) type Files<'a> = BTreeMap<i64, &'a Migration>;

/// Returns what is wrong with a row of the history, if anything.
pub(super) fn fault(applied: &Applied, files: &Files<'_>, inventory: &Inventory) -> Option<Fault> {
    let Some(file) = files.get(&applied.version) else { return Some(missing(applied, files)) };
    let fault = |message: String, help: &str| {
        Some(Fault {
            address: address(file),
            message,
            help: Some(help.to_owned()),
            at: Some(file.at.clone()),
        })
    };
    if !applied.success && bookkeeping::is_begun(inventory, &address(file)) {
        let message =
            format!("migration {} is half done outside a transaction, and now asks for one", file.stem);
        return fault(
            message,
            "put the line `-- no-transaction` back to its beginning: it goes on where it stopped",
        );
    }
    if !applied.success {
        let message = format!("migration {} is recorded as failed half way", file.stem);
        return fault(
            message,
            "bring the schema to where the migration leaves it or to where it began, then set `success` to true \
             or delete its row in `_sqlx_migrations`",
        );
    }
    if is_same_text(&applied.checksum, file) {
        return None;
    }
    let checksums = format!(
        "{} is recorded, the file has {}",
        shortened(&applied.checksum),
        shortened(&hex(&file.checksum))
    );
    if is_renamed(applied, file) {
        let message = format!(
            "migration {} has the number of another one that is applied, {} ({:?}): {checksums}",
            file.stem, applied.version, applied.description
        );
        return fault(message, "restore the file that was applied, and give this one a higher number");
    }
    let stem = &file.stem;
    match only_white_space(file, inventory) {
        Some(true) => fault(
            format!("migration {stem} was edited after it was applied, in white space only: {checksums}"),
            "restore the file: sqlx compares every byte; only line endings and a byte-order mark make no \
             difference",
        ),
        Some(false) => fault(
            format!(
                "migration {stem} was edited after it was applied, and not only in white space: {checksums}"
            ),
            "restore the file, and write the change as a new migration",
        ),
        None => fault(
            format!("migration {stem} was edited after it was applied: {checksums}"),
            "restore the file, and write the change as a new migration; another tool applied it, so whether \
             only white space differs is not known",
        ),
    }
}

/// The beginning of a checksum, enough to distinguish it.
fn shortened(checksum: &str) -> String {
    const SHOWN: usize = 12;
    format!("{}…", checksum.chars().take(SHOWN).collect::<String>())
}

/// A note about a migration that was applied under another file name.
pub(super) fn note(applied: &Applied, files: &Files<'_>) -> Option<String> {
    let file = files.get(&applied.version)?;
    let renamed = is_renamed(applied, file) && is_same_text(&applied.checksum, file);
    renamed.then(|| {
        format!(
            "migration {} was applied under another name, {:?}; its text is the same",
            file.stem, applied.description
        )
    })
}

fn is_renamed(applied: &Applied, file: &Migration) -> bool {
    !applied.description.is_empty() && applied.description != file.description
}

fn missing(applied: &Applied, files: &Files<'_>) -> Fault {
    let Applied { version, description, checksum, success } = applied;
    let is = if *success { "is applied" } else { "is recorded as failed half way" };
    let name = if description.is_empty() { String::new() } else { format!(" ({description:?})") };
    let twin = files.values().find(|file| is_same_text(checksum, file));
    let (message, help) = match twin {
        Some(twin) => (
            format!("migration {version}{name} {is}, and its file is now {}: the same text", twin.stem),
            format!("give the file its number {version} back: an applied migration keeps it"),
        ),
        None => (
            format!("migration {version}{name} {is}, and its file is missing"),
            "restore the file: a database cannot be compared with a history it does not have".to_owned(),
        ),
    };
    Fault {
        address: Kind::Migration.named(version),
        message,
        help: Some(help),
        at: twin.map(|twin| twin.at.clone()),
    }
}

/// Whether only white space differs from the applied text; `None` where another tool applied it.
fn only_white_space(file: &Migration, inventory: &Inventory) -> Option<bool> {
    let print = inventory.at(&address(file))?.get(&bookkeeping::text_key())?;
    Some(*print == bookkeeping::bare_fingerprint(&file.sql))
}

/// Whether a recorded checksum matches the file, with any line endings and byte-order mark.
pub(super) fn is_same_text(checksum: &str, file: &Migration) -> bool {
    checksum == hex(&file.checksum) || variants(&file.sql).any(|text| hex(&Sha384::digest(text)) == checksum)
}

fn variants(sql: &str) -> impl Iterator<Item = String> {
    let unix = sql.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let windows = unix.replace('\n', "\r\n");
    [unix, windows].into_iter().flat_map(|text| [format!("\u{feff}{text}"), text])
}

/// The fault of a pending migration that is older than an applied one.
pub(super) fn late(file: &Migration, newest: i64, files: &Files<'_>) -> Fault {
    let newest = files.get(&newest).map_or_else(|| newest.to_string(), |file| file.stem.clone());
    Fault {
        address: address(file),
        message: format!("migration {} is not applied, and is older than {newest}, which is", file.stem),
        help: Some(format!(
            "give it a number above {newest}, or set `system.order: allow` when the two do not touch each other"
        )),
        at: Some(file.at.clone()),
    }
}

/// The fault of a database that has tables of the migrations but no history: another tool created them, and
/// running the migrations would fail or create them again.
pub(super) fn adoption(desired: &Desired, schema: &Snapshot) -> Option<Fault> {
    let mut found: Vec<String> =
        schema.tables.keys().filter(|table| desired.creates(table)).map(ToString::to_string).collect();
    let newest = desired.files.iter().max_by_key(|file| file.version)?;
    if found.is_empty() {
        return None;
    }
    let count = found.len();
    found.truncate(5);
    let more = if count > 5 { format!(" and {} more", count - 5) } else { String::new() };
    let alembic = if schema.table("alembic_version").is_some() { " (Alembic's, it seems)" } else { "" };
    Some(Fault {
        address: address(newest),
        message: format!(
            "the database has tables of these migrations and no history of them{alembic}: {}{more}",
            found.join(", ")
        ),
        help: Some(format!(
            "nothing is made again; `trueup baseline --to {}`, the version that its tables reach, adopts the \
             database after comparing its schema with what the migrations up to there would make",
            reached::estimated_version(desired, schema).unwrap_or(newest.version)
        )),
        at: Some(newest.at.clone()),
    })
}
