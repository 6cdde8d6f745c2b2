//! Repeatable migrations: views and functions, run again whenever their text changes. What was run
//! last stands in the inventory; without it they are run once more, which they must bear.

use serde_json::json;

use super::super::script::Script;
use super::super::{Change, Desired, Observed};
use super::{Job, Limits, books, risk, without_mark};
use crate::change::{Action, Address, Diff, Planned};
use crate::digest::Digest;
use crate::journal::Inventory;
use crate::spec::Repeatable;

/// A repeatable migration to run.
#[derive(Debug, Clone)]
pub struct Repeating {
    /// The file.
    pub file: Repeatable,
    /// What its statements run under.
    pub limits: Limits,
}

impl Repeating {
    pub(super) fn job(&self) -> Job<'_> {
        let Repeatable { name, sql, at } = &self.file;
        Job { address: address(&self.file), name, sql: without_mark(sql), at, limits: self.limits }
    }
}

fn address(file: &Repeatable) -> Address {
    Address::new(format!("system.repeatable.{}", file.name))
}

/// The files against what was run last, one after the other in the order of their names, after the
/// last pending migration.
pub(in crate::system) fn diff(
    desired: &Desired,
    observed: &Observed,
    inventory: &Inventory,
    pending: Option<&Address>,
) -> Diff<Change> {
    let mut diff = Diff::default();
    let mut before = pending.cloned();
    for file in &desired.repeatables {
        let address = address(file);
        let ran = inventory.at(&address).and_then(|known| known.get(&books::text_key()));
        let print = books::text_print(&file.sql);
        if ran == Some(&print) {
            diff.unchanged += 1;
            continue;
        }
        let script = Script::read(&file.sql, desired.dialect);
        let statements = script.statements.len();
        let plural = if statements == 1 { "" } else { "s" };
        diff.changes.push(Planned {
            address: address.clone(),
            action: Action::Run,
            risk: risk::of_text(&file.sql, desired.dialect, &observed.schema),
            reason: if ran.is_some() { "its text changed" } else { "never run" }.to_owned(),
            needs: vec![before.take().unwrap_or_else(super::super::database::database)],
            summary: format!("{statements} statement{plural}, run again whenever the file changes"),
            before: ran.map(|ran| json!({ "text": ran })),
            after: Some(json!({ "text": print })),
            diff: Some(risk::added(&file.at)),
            seen: Digest::of_json(&ran),
            guard: None,
            at: Some(file.at.clone()),
            change: Change::Repeat(Box::new(Repeating { file: file.clone(), limits: desired.limits() })),
        });
        before = Some(address);
    }
    diff
}
