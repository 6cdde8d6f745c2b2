//! What the bookkeeping remembers of migrations beside sqlx's history: the text that was applied,
//! and how far one got that runs outside a transaction. Pure but for the statements it gives.

use crate::address::Address;
use crate::connection::Session;
use crate::digest::Fingerprint;
use crate::journal::{Inventory, RunId};
use crate::prints::Prints;

/// The key under which the applied text is remembered.
pub(super) fn text_key() -> Fingerprint {
    Fingerprint::of_text("text")
}

/// The key of a statement that is done, counted from 0.
pub(super) fn done_key(statement: usize) -> Fingerprint {
    Fingerprint::of_text(&format!("statement {statement} done"))
}

/// The key of a statement that cannot run in a transaction and was begun.
pub(super) fn begun_key(statement: usize) -> Fingerprint {
    Fingerprint::of_text(&format!("statement {statement} begun"))
}

/// The fingerprint of a text without its white space and byte-order mark.
pub(super) fn bare_print(sql: &str) -> Fingerprint {
    let bare: String = sql.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect();
    Fingerprint::of_text(&bare)
}

/// The fingerprint of a text, whatever its line endings and byte-order mark.
pub(super) fn text_print(sql: &str) -> Fingerprint {
    Fingerprint::of_text(&sql.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

/// Whether the inventory knows a migration as begun and not ended.
pub(super) fn is_begun(inventory: &Inventory, address: &Address) -> bool {
    let is_part = |keys: &Prints<Fingerprint>| !keys.contains_key(&text_key()) && !keys.is_empty();
    inventory.at(address).is_some_and(is_part)
}

/// The statement that remembers something of a migration.
pub(super) fn remember(
    session: &Session,
    address: &Address,
    (key, digest): (Fingerprint, Fingerprint),
    run: &RunId,
) -> String {
    format!(
        "INSERT INTO {} (address, key, place, digest, run) VALUES ({}, '{key}', '{{}}', '{digest}', {}) \
         ON CONFLICT (address, key) DO UPDATE SET digest = excluded.digest, run = excluded.run",
        session.books(),
        session.literal(address.as_str()),
        session.literal(run.as_str()),
    )
}

/// As [`remember`], of a migration that neither the history nor the inventory knows: of one that they know
/// nothing is written.
pub(super) fn remember_first(
    session: &Session,
    (address, version): (&Address, i64),
    (key, digest): (Fingerprint, Fingerprint),
    run: &RunId,
) -> String {
    let (books, history) = (session.books(), &session.history);
    let (address, run) = (session.literal(address.as_str()), session.literal(run.as_str()));
    format!(
        "INSERT INTO {books} (address, key, place, digest, run) \
         SELECT {address}, '{key}', '{{}}', '{digest}', {run} \
         WHERE NOT EXISTS (SELECT 1 FROM {history} WHERE version = {version}) \
         AND NOT EXISTS (SELECT 1 FROM {books} WHERE address = {address})"
    )
}

/// The statement that forgets one thing of a migration, or all.
pub(super) fn forget(session: &Session, address: &Address, key: Option<Fingerprint>) -> String {
    let key = key.map(|key| format!(" AND key = '{key}'")).unwrap_or_default();
    format!("DELETE FROM {} WHERE address = {}{key}", session.books(), session.literal(address.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_endings_change_no_text_and_white_space_changes_no_bare_one() {
        assert_eq!(text_print("\u{feff}a\r\nb"), text_print("a\nb"));
        assert_ne!(text_print("a  b"), text_print("a b"));
        assert_eq!(bare_print("a\t (b)\n"), bare_print("a(b)"));
        assert_ne!(bare_print("a"), bare_print("b"));
    }
}
