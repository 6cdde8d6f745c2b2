//! Repeatable migrations: views and functions that run again whenever their text changes. The last executed
//! text is recorded in the inventory. Without a record a file runs again, so it must be idempotent.

use serde_json::json;

use super::{Change, Desired, Job, Observed, bookkeeping, risk, without_mark};
use crate::address::{Address, Kind};
use crate::change::{Action, Diff, Fault, Planned};
use crate::connection::Limits;
use crate::digest::Digest;
use crate::journal::Inventory;
use crate::lint::{self, Known, Text};
use crate::stack::Repeatable;

#[derive(Debug, Clone)]
pub struct Repeating {
    pub file: Repeatable,
    pub limits: Limits,
}

impl Repeating {
    pub(super) fn job(&self) -> Job<'_> {
        let Repeatable { name, sql, tables, at } = &self.file;
        Job { address: address(&self.file), name, sql: without_mark(sql), tables, at, limits: self.limits }
    }
}

fn address(file: &Repeatable) -> Address {
    Kind::Repeatable.named(&file.name)
}

/// Compares the files with the recorded texts. They run one after the other, sorted by name, after the last
/// `planned` migration, or after `before` where none is planned.
pub(crate) fn diff(
    desired: &Desired,
    seen: Observed<'_>,
    inventory: &Inventory,
    (before, planned): (&[Address], &[Planned<Change>]),
) -> Diff<Change> {
    let mut diff = Diff::default();
    // The migrations depend on `before` themselves.
    let last = planned.last().map(|planned| vec![planned.address.clone()]);
    let mut needs = last.unwrap_or_else(|| before.to_vec());
    let mut known = None;
    for file in desired.repeatables.iter() {
        let address = address(file);
        let ran = inventory.at(&address).and_then(|known| known.get(&bookkeeping::text_key()));
        let print = bookkeeping::text_fingerprint(&file.sql);
        if ran == Some(&print) {
            diff.unchanged += 1;
            continue;
        }
        let known = known.get_or_insert_with(|| tables_after(planned, desired, seen));
        let text = Text { sql: &file.sql, dialect: desired.dialect, in_transaction: true };
        if lint::has_transactions(&file.sql, desired.dialect) {
            diff.faults.push(Fault {
                address: address.clone(),
                message: format!("{} begins or ends a transaction, and runs in one", file.at.source.name()),
                help: Some("take BEGIN and COMMIT out: the file and its record commit together".to_owned()),
                at: Some(file.at.clone()),
            });
        }
        diff.faults.extend(super::client_commands_fault(
            address.clone(),
            &file.sql,
            &file.at,
            desired.dialect,
        ));
        let assessment = risk::assess(text, seen, known);
        let summary = assessment.summary(", run again whenever the file changes");
        let risk::Assessment { risks, assertions, .. } = assessment;
        diff.changes.push(Planned {
            address: address.clone(),
            action: Action::Run,
            risks,
            reason: if ran.is_some() { "its text changed" } else { "never run" }.to_owned(),
            needs: std::mem::replace(&mut needs, vec![address]),
            summary,
            before: ran.map(|ran| json!({ "text": ran })),
            after: Some(json!({ "text": print })),
            diff: Some(risk::added(&file.sql, &file.tables)),
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

/// The state of the tables after the planned migrations.
fn tables_after(planned: &[Planned<Change>], desired: &Desired, seen: Observed<'_>) -> Known {
    let mut known = risk::initial_tables(desired, seen);
    for planned in planned {
        if let Change::Run(pending) = &planned.change {
            lint::classify(pending.migration.text(desired.dialect), &mut known, &|_| None);
        }
    }
    known
}
