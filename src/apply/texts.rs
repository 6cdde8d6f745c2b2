//! Reads the stored texts of the documents that a plan changes, for people who review it. They are no part of
//! the plan.

use std::collections::BTreeMap;

use super::Note;
use crate::address::Address;
use crate::plan::{Plan, Work};
use crate::stores::Clients;
use crate::vector;

/// Line diffs of documents, by the address of their change and their id.
pub type TextChanges = BTreeMap<Address, BTreeMap<String, String>>;

/// Compares the stored texts with the planned ones. A store that fails now only leads to a note.
pub async fn text_changes(
    plan: &Plan,
    clients: &Clients,
    report: &mut (dyn FnMut(Note) + Send),
) -> TextChanges {
    let mut texts = TextChanges::new();
    for step in &plan.steps {
        let (Work::Vector(change), Some(client)) = (&step.work, &clients.vector) else { continue };
        let address = step.address.clone();
        match vector::text_changes(change, client).await {
            Ok(changes) => drop(texts.insert(address, changes)),
            Err(error) => report(Note::TextsUnread { address, error: error.to_string() }),
        }
    }
    texts
}
