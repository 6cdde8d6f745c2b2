//! Migrations: the history that sqlx keeps in `_sqlx_migrations`, compared with the files. Never
//! changes the history but by running a migration.

mod asserted;
mod risk;
mod run;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha384};

use super::{Change, Desired, Error, Observed, Presence, Result};
use crate::change::{Action, Address, Diff, Fault, Planned};
use crate::digest::{Digest, hex};
use crate::lint::Known;
use crate::spec::{Migration, Order};
use crate::sql::{Database, Dialect};

pub(super) use asserted::observe as observe_assertions;
pub(super) use run::apply;

/// The table that sqlx keeps.
const TABLE: &str = "_sqlx_migrations";

/// A migration that the history has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// SHA-384 of its text, in hexadecimal digits.
    pub checksum: String,
    /// False where a tool recorded that it failed half way.
    pub success: bool,
}

/// A migration to run, with the limits that its statements run under.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The file.
    pub migration: Migration,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a statement may run; zero for ever.
    pub statement_timeout: Duration,
}

/// The history; `None` without its table.
pub(super) async fn observe(database: &Database) -> Result<Option<Vec<Applied>>> {
    let (exists, history) = match database.dialect() {
        Dialect::Postgres => (
            "SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
            "SELECT version, encode(checksum, 'hex'), success FROM _sqlx_migrations ORDER BY version",
        ),
        Dialect::Sqlite => (
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
            "SELECT version, lower(hex(checksum)), success FROM _sqlx_migrations ORDER BY version",
        ),
    };
    let failed = || Error::doing("reading the history of migrations");
    let read = async || {
        let found = database.query(exists, &[]).await?;
        if !found.first().map_or(Ok(false), |row| row.bool(0))? {
            return Ok(None);
        }
        let applied = |row: &crate::sql::Row| {
            Ok(Applied { version: row.integer(0)?, checksum: row.text(1)?.to_owned(), success: row.bool(2)? })
        };
        let rows = database.query(history, &[]).await?;
        rows.iter().map(applied).collect::<crate::sql::Result<Vec<_>>>().map(Some)
    };
    read().await.map_err(failed())
}

/// The address of a migration.
pub(super) fn address(migration: &Migration) -> Address {
    Address::new(format!("system.migration.{}", migration.stem))
}

/// The files against the history.
pub(super) fn diff(desired: &Desired, observed: &Observed) -> Diff<Change> {
    let mut diff = Diff::default();
    let history = observed.migrations.as_deref().unwrap_or_default();
    let files: BTreeMap<i64, &Migration> =
        desired.migrations.iter().map(|file| (file.version, file)).collect();
    if !files.is_empty() {
        diff.faults.extend(history.iter().filter_map(|applied| history_fault(applied, &files)));
    }

    let applied: BTreeMap<i64, &Applied> = history.iter().map(|applied| (applied.version, applied)).collect();
    let newest = applied.keys().next_back().copied();
    let pending: Vec<_> = files.iter().filter(|(version, _)| !applied.contains_key(*version)).collect();
    diff.unchanged += files.len() - pending.len();
    if history.is_empty() {
        diff.faults.extend(adoption_fault(desired, observed));
    }

    let mut needs = vec![Address::new("system.database")];
    needs.extend(desired.extensions.iter().map(|name| super::database::extension(name)));
    let is_bare = observed.presence == Presence::Missing
        || observed.schema.tables.is_empty() && observed.migrations.is_none();
    let mut known = if is_bare { Known::nothing() } else { Known::of(&observed.schema) };
    for (version, file) in pending {
        let risk = risk::of(file, desired.dialect, observed, &mut known);
        let late = newest.filter(|newest| version < newest);
        if let (Some(newest), Order::Linear) = (late, desired.order) {
            diff.faults.push(late_fault(file, newest, &files));
        }
        // Pending with a fault too, so that tables which it makes are not reported as missing.
        diff.changes.push(planned(desired, file, risk, late, needs));
        needs = vec![address(file)];
    }
    diff
}

fn planned(
    desired: &Desired,
    file: &Migration,
    verdict: risk::Verdict,
    late: Option<i64>,
    needs: Vec<Address>,
) -> Planned<Change> {
    let risk::Verdict { risk, summary, assertions } = verdict;
    let checksum = hex(&file.checksum);
    let seen = match assertions {
        None => Digest::of_json(&("pending", late)),
        Some(assertions) => Digest::of_json(&("pending", late, assertions)),
    };
    Planned {
        address: address(file),
        action: Action::Run,
        risk,
        reason: late.map_or_else(
            || "pending".to_owned(),
            |newest| format!("pending, out of order: {newest} is applied (order: allow)"),
        ),
        needs,
        summary,
        before: None,
        after: Some(json!({ "checksum": checksum })),
        diff: Some(risk::text(file)),
        seen,
        guard: None,
        at: Some(file.at.clone()),
        change: Change::Migrate(Box::new(Pending {
            migration: file.clone(),
            lock_timeout: desired.lock_timeout,
            statement_timeout: desired.statement_timeout,
        })),
    }
}

/// What is wrong with a migration of the history, if anything.
fn history_fault(applied: &Applied, files: &BTreeMap<i64, &Migration>) -> Option<Fault> {
    let Applied { version, checksum, success } = applied;
    let Some(file) = files.get(version) else {
        return Some(Fault {
            address: Address::new(format!("system.migration.{version}")),
            message: format!("migration {version} is applied, and its file is missing"),
            help: Some(
                "restore the file: a database cannot be compared with a history it does not have".into(),
            ),
            at: None,
        });
    };
    let fault = |message: String, help: &str| {
        Some(Fault {
            address: address(file),
            message,
            help: Some(help.to_owned()),
            at: Some(file.at.clone()),
        })
    };
    if !success {
        let message = format!("migration {} is recorded as failed half way", file.stem);
        return fault(
            message,
            "bring the schema to where the migration leaves it or to where it began, then set `success` to true \
             or delete its row in `_sqlx_migrations`",
        );
    }
    if is_same_text(checksum, file) {
        return None;
    }
    let message = format!(
        "migration {} was edited after it was applied: {checksum} is recorded, the file has {}",
        file.stem,
        hex(&file.checksum)
    );
    fault(
        message,
        "restore the file and write the change as a new migration; line endings and a byte-order \
                    mark make no difference, other white space does",
    )
}

/// Whether a recorded checksum is that of the file, whatever its line endings and byte-order mark.
fn is_same_text(checksum: &str, file: &Migration) -> bool {
    checksum == hex(&file.checksum) || variants(&file.sql).any(|text| hex(&Sha384::digest(text)) == checksum)
}

fn variants(sql: &str) -> impl Iterator<Item = String> {
    let unix = sql.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let windows = unix.replace('\n', "\r\n");
    [unix, windows].into_iter().flat_map(|text| [format!("\u{feff}{text}"), text])
}

fn late_fault(file: &Migration, newest: i64, files: &BTreeMap<i64, &Migration>) -> Fault {
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

/// Tables of the migrations that are there without a history: another tool made them, and running
/// the migrations could only fail or make them again.
fn adoption_fault(desired: &Desired, observed: &Observed) -> Option<Fault> {
    let mut found: Vec<String> = observed
        .schema
        .tables
        .keys()
        .filter(|table| desired.created.contains(&super::desired::folded(table)))
        .map(ToString::to_string)
        .collect();
    let newest = desired.migrations.iter().max_by_key(|file| file.version)?;
    if found.is_empty() {
        return None;
    }
    let count = found.len();
    found.truncate(5);
    let more = if count > 5 { format!(" and {} more", count - 5) } else { String::new() };
    let alembic =
        if observed.schema.table("alembic_version").is_some() { " (Alembic's, it seems)" } else { "" };
    Some(Fault {
        address: address(newest),
        message: format!(
            "the database has tables of these migrations and no history of them{alembic}: {}{more}",
            found.join(", ")
        ),
        help: Some(format!(
            "nothing is made again; `trueup baseline --to {}` adopts the database after comparing its schema \
             with what the migrations up to that version would make",
            newest.version
        )),
        at: Some(newest.at.clone()),
    })
}
