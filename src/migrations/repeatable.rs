//! Repeatable migrations: views and functions, run again whenever their text changes. What was run
//! last stands in the inventory; without it they are run once more, which they must bear.

use serde_json::json;

use super::{Change, Desired, Job, Seen, books, risk, without_mark};
use crate::address::{Address, Kind};
use crate::change::{Action, Diff, Fault, Planned};
use crate::connection::Limits;
use crate::digest::Digest;
use crate::journal::Inventory;
use crate::lint::{self, Known, Text};
use crate::stack::Repeatable;

/// A repeatable migration to run.
#[derive(Debug, Clone)]
pub struct Repeating {
    pub file: Repeatable,
    pub limits: Limits,
}

impl Repeating {
    pub(super) fn job(&self) -> Job<'_> {
        let Repeatable { name, sql, at } = &self.file;
        Job { address: address(&self.file), name, sql: without_mark(sql), at, limits: self.limits }
    }
}

fn address(file: &Repeatable) -> Address {
    Kind::Repeatable.named(&file.name)
}

/// The files against what was run last, one after the other in the order of their names, after the
/// last of the migrations that are `planned`, or after what comes `before` all of them.
pub(crate) fn diff(
    desired: &Desired,
    seen: Seen<'_>,
    inventory: &Inventory,
    (before, planned): (&[Address], &[Planned<Change>]),
) -> Diff<Change> {
    let mut diff = Diff::default();
    // A migration waits for what comes before it by itself.
    let last = planned.last().map(|planned| vec![planned.address.clone()]);
    let mut needs = last.unwrap_or_else(|| before.to_vec());
    let mut known = None;
    for file in &desired.repeatables {
        let address = address(file);
        let ran = inventory.at(&address).and_then(|known| known.get(&books::text_key()));
        let print = books::text_print(&file.sql);
        if ran == Some(&print) {
            diff.unchanged += 1;
            continue;
        }
        let known = known.get_or_insert_with(|| known_after(planned, desired, seen));
        let text = Text { sql: &file.sql, dialect: desired.dialect, in_transaction: true };
        if lint::has_transactions(&file.sql, desired.dialect) {
            diff.faults.push(Fault {
                address: address.clone(),
                message: format!("{} begins or ends a transaction, and runs in one", file.at.source.name()),
                help: Some("take BEGIN and COMMIT out: the file and its record commit together".to_owned()),
                at: Some(file.at.clone()),
            });
        }
        diff.faults.extend(super::of_client(address.clone(), &file.sql, &file.at, desired.dialect));
        let verdict = risk::of(text, seen, known);
        let summary = verdict.summary(", run again whenever the file changes");
        let risk::Verdict { risks, assertions, .. } = verdict;
        diff.changes.push(Planned {
            address: address.clone(),
            action: Action::Run,
            risks,
            reason: if ran.is_some() { "its text changed" } else { "never run" }.to_owned(),
            needs: std::mem::replace(&mut needs, vec![address]),
            summary,
            before: ran.map(|ran| json!({ "text": ran })),
            after: Some(json!({ "text": print })),
            diff: Some(risk::added(&file.sql)),
            seen: match assertions {
                None => Digest::of_json(&ran),
                Some(assertions) => Digest::of_json(&(ran, assertions)),
            },
            guard: None,
            at: Some(file.at.clone()),
            change: Change::Repeat(Box::new(Repeating { file: file.clone(), limits: desired.limits })),
        });
    }
    diff
}

/// What is known of the tables when the planned migrations have run.
fn known_after(planned: &[Planned<Change>], desired: &Desired, seen: Seen<'_>) -> Known {
    let mut known = risk::known(desired, seen);
    for planned in planned {
        if let Change::Run(pending) = &planned.change {
            lint::classify(pending.migration.text(desired.dialect), &mut known, &|_| None);
        }
    }
    known
}
