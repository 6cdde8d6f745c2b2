//! Checks a target, and plans the recording of its schema when that changed. Pure.

use serde_json::json;

use super::{Access, Desired, Observed, Seen, filtered};
use crate::address::{Address, Kind};
use crate::catalog::{self, SchemaChange, Snapshot, Table, TableName};
use crate::change::{Action, Check, Diff, Held, Planned, Risks, Status};
use crate::digest::Digest;
use crate::suggest;

/// An action on the bookkeeping; targets are never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Record the schema as a new version.
    RecordSchema {
        target: String,
        /// The schema, filtered by `include` and `exclude`.
        snapshot: Snapshot,
    },
}

/// Compares an enabled target with its recorded schema.
pub fn diff(desired: &Desired, observed: &Observed, recorded: Option<&Snapshot>) -> Diff<Change> {
    let mut diff = Diff::default();
    let access = access_check(desired, observed);
    let failed = access.status == Status::Fail;
    diff.checks.push(access);
    let Observed::Readable(seen) = observed else {
        diff.blocked.push(held(desired));
        return diff;
    };
    if !desired.require.is_empty() {
        diff.checks.push(contract_check(desired, &seen.snapshot));
    }
    let snapshot = filtered(desired, &seen.snapshot);
    let planned = match recorded {
        Some(recorded) if *recorded == snapshot => None,
        recorded => Some(record(desired, recorded, snapshot)),
    };
    match planned {
        None => diff.unchanged += 1,
        Some(_) if failed => diff.blocked.push(held(desired)),
        Some(planned) => diff.changes.push(planned),
    }
    diff
}

fn address(desired: &Desired, kind: Kind) -> Address {
    kind.named(&desired.name)
}

fn held(desired: &Desired) -> Held {
    Held {
        address: address(desired, Kind::TargetSchema),
        reason: format!("{} failed", address(desired, Kind::TargetAccess)),
    }
}

fn access_check(desired: &Desired, observed: &Observed) -> Check {
    let (status, message) = match observed {
        Observed::Failed { place, failure } => (Status::Fail, failure.message(place)),
        Observed::Readable(seen) => readable(desired, seen),
    };
    Check { address: address(desired, Kind::TargetAccess), status, message }
}

fn readable(desired: &Desired, seen: &Seen) -> (Status, String) {
    let Seen { place, snapshot, access, version } = seen;
    if access.could_write() && desired.require_read_only {
        return (
            Status::Fail,
            format!(
                "this user could write {place}, and require_read_only is set: take the write permission away \
                 (chmod a-w), mount it read-only, or run as another user"
            ),
        );
    }
    let shown = snapshot.tables.keys().filter(|name| desired.shows(name)).count();
    if shown == 0 {
        let all = snapshot.tables.len();
        let reason = match all {
            0 => "it has no table".to_owned(),
            _ => format!("include and exclude leave none of its {}", counted(all, "table")),
        };
        return (Status::Warn, format!("{place} can be read, but {reason}"));
    }
    let tables = format!("{version}, {}", counted(shown, "table"));
    match access {
        Access { file_writable: true, folder_writable: _ } => (
            Status::Warn,
            format!(
                "{tables}; opened read-only, but this user could write {place}: chmod a-w, or mount it read-only"
            ),
        ),
        Access { file_writable: false, folder_writable: true } => (
            Status::Pass,
            format!(
                "{tables}; read-only by its mode or mount (its folder is not: the file could be replaced)"
            ),
        ),
        Access { file_writable: false, folder_writable: false } => {
            (Status::Pass, format!("{tables}; read-only by its mode or mount"))
        }
    }
}

fn contract_check(desired: &Desired, snapshot: &Snapshot) -> Check {
    let mut missing = Vec::new();
    let mut columns_met = 0;
    for (name, columns) in &desired.require {
        match table_named(snapshot, name) {
            None => {
                let names = snapshot.tables.keys().map(ToString::to_string);
                missing.push(format!("table {name:?} is missing{}", nearest(name, names)));
            }
            Some(table) => {
                let has = |name: &String| table.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
                for column in columns.iter().filter(|column| !has(column)) {
                    let names = table.columns.iter().map(|column| column.name.clone());
                    let suggestion = nearest(column, names);
                    missing.push(format!("column {column:?} of table {name:?} is missing{suggestion}"));
                }
                columns_met += columns.len();
            }
        }
    }
    let (status, message) = if missing.is_empty() {
        let met =
            format!("{} and {}", counted(desired.require.len(), "table"), counted(columns_met, "column"));
        (Status::Pass, format!("{met} are there as required"))
    } else {
        let what = missing.join("; ");
        (Status::Fail, format!("{what}: correct the target, or `require` in the spec"))
    };
    Check { address: address(desired, Kind::TargetContract), status, message }
}

/// SQLite compares names without regard to ASCII case.
fn table_named<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s Table> {
    snapshot.table(name).or_else(|| {
        let wanted = TableName::parse(name).to_string();
        let mut tables = snapshot.tables.iter();
        tables.find(|(name, _)| name.to_string().eq_ignore_ascii_case(&wanted)).map(|(_, table)| table)
    })
}

fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let near = suggest::nearest(wanted, names.iter().map(String::as_str));
    near.map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

fn record(desired: &Desired, recorded: Option<&Snapshot>, snapshot: Snapshot) -> Planned<Change> {
    let shown = |snapshot: &Snapshot| json!({"schema": snapshot.digest(), "tables": snapshot.tables.len()});
    let tables = counted(snapshot.tables.len(), "table");
    let (action, reason, summary, diff) = match recorded {
        None => (Action::Create, "not recorded", format!("record the schema of {tables}"), None),
        Some(recorded) => (
            Action::Update,
            "schema differs",
            format!("record a new version of the schema: {}", summary(&catalog::diff(recorded, &snapshot))),
            Some(catalog::text_diff(recorded, &snapshot)),
        ),
    };
    Planned {
        address: address(desired, Kind::TargetSchema),
        action,
        risks: Risks::SAFE,
        reason: reason.to_owned(),
        needs: Vec::new(),
        summary,
        before: recorded.map(shown),
        after: Some(shown(&snapshot)),
        diff,
        seen: Digest::of_json(&(recorded.map(Snapshot::digest), snapshot.digest())),
        guard: None,
        at: Some(desired.at.clone()),
        change: Change::RecordSchema { target: desired.name.clone(), snapshot },
    }
}

/// For example `1 table added, 2 changed`.
fn summary(changes: &[SchemaChange]) -> String {
    let count = |of: fn(&SchemaChange) -> bool| changes.iter().filter(|change| of(change)).count();
    let counts = [
        (count(|change| matches!(change, SchemaChange::AddTable { .. })), "added"),
        (count(|change| matches!(change, SchemaChange::ModifyTable { .. })), "changed"),
        (count(|change| matches!(change, SchemaChange::RenameTable { .. })), "renamed"),
        (count(|change| matches!(change, SchemaChange::DropTable { .. })), "gone"),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", counted(*count, "table")))
        .collect();
    if parts.is_empty() { "its form".to_owned() } else { parts.join(", ") }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
