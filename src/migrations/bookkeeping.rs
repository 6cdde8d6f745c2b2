//! The inventory rows of migrations: the applied text, and the progress of a file that runs outside a
//! transaction. Builds statements only, does no I/O.

use crate::address::Address;
use crate::connection::Session;
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::{Inventory, RunId};

/// The key of the row with the fingerprint of the applied text.
pub(super) fn text_key() -> Fingerprint {
    Fingerprint::of_text("text")
}

/// The key of the row that records a statement as done; counts from 0.
pub(super) fn done_key(statement: usize) -> Fingerprint {
    Fingerprint::of_text(&format!("statement {statement} done"))
}

/// The key of the row that records a statement as begun, where it cannot run in a transaction.
pub(super) fn begun_key(statement: usize) -> Fingerprint {
    Fingerprint::of_text(&format!("statement {statement} begun"))
}

/// Ignores white space and the byte-order mark.
pub(super) fn bare_fingerprint(sql: &str) -> Fingerprint {
    let bare: String = sql.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect();
    Fingerprint::of_text(&bare)
}

/// Ignores line endings and the byte-order mark.
pub(super) fn text_fingerprint(sql: &str) -> Fingerprint {
    Fingerprint::of_text(&sql.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

/// Whether the inventory has a migration as begun but not complete.
pub(super) fn is_begun(inventory: &Inventory, address: &Address) -> bool {
    let is_part = |keys: &FingerprintMap<Fingerprint>| !keys.contains_key(&text_key()) && !keys.is_empty();
    inventory.at(address).is_some_and(is_part)
}

/// The statement that writes one inventory row of a migration.
pub(super) fn remember(
    session: &Session,
    address: &Address,
    (key, digest): (Fingerprint, Fingerprint),
    run: &RunId,
) -> String {
    format!(
        "INSERT INTO {} (address, key, place, digest, run) VALUES ({}, '{key}', '{{}}', '{digest}', {}) \
         ON CONFLICT (address, key) DO UPDATE SET digest = excluded.digest, run = excluded.run",
        session.inventory_table(),
        session.literal(address.as_str()),
        session.literal(run.as_str()),
    )
}

/// Like [`remember`], but writes nothing where the history or the inventory has the migration
/// already.
pub(super) fn remember_first(
    session: &Session,
    (address, version): (&Address, i64),
    (key, digest): (Fingerprint, Fingerprint),
    run: &RunId,
) -> String {
    let (inventory, history) = (session.inventory_table(), &session.history);
    let (address, run) = (session.literal(address.as_str()), session.literal(run.as_str()));
    format!(
        "INSERT INTO {inventory} (address, key, place, digest, run) \
         SELECT {address}, '{key}', '{{}}', '{digest}', {run} \
         WHERE NOT EXISTS (SELECT 1 FROM {history} WHERE version = {version}) \
         AND NOT EXISTS (SELECT 1 FROM {inventory} WHERE address = {address})"
    )
}

/// The statement that deletes one inventory row of a migration, or all of them.
pub(super) fn forget(session: &Session, address: &Address, key: Option<Fingerprint>) -> String {
    let key = key.map(|key| format!(" AND key = '{key}'")).unwrap_or_default();
    format!(
        "DELETE FROM {} WHERE address = {}{key}",
        session.inventory_table(),
        session.literal(address.as_str())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_endings_change_no_text_and_white_space_changes_no_bare_one() {
        assert_eq!(text_fingerprint("\u{feff}a\r\nb"), text_fingerprint("a\nb"));
        assert_ne!(text_fingerprint("a  b"), text_fingerprint("a b"));
        assert_eq!(bare_fingerprint("a\t (b)\n"), bare_fingerprint("a(b)"));
        assert_ne!(bare_fingerprint("a"), bare_fingerprint("b"));
    }
}
