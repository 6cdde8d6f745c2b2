//! Migrations: the history that sqlx keeps in `_sqlx_migrations`, compared with the files. Never
//! changes the history but by running a migration.

mod advice;
mod asserted;
mod books;
mod elsewhere;
mod failure;
mod history;
mod index;
mod outside;
mod reached;
mod repeatable;
mod risk;
mod run;
mod session;
mod unit;
mod waiting;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Change, Desired, Error, Observed, Result};
use crate::address::{Address, Kind};
use crate::change::{Action, Diff, Fault, Planned};
use crate::digest::{Digest, hex};
use crate::journal::Inventory;
use crate::lint::{self, Text};
use crate::spec::{Location, Migration, Order};
use crate::sql::{self, Database, Dialect};

pub use advice::Advice;
pub(super) use asserted::{observe as observe_assertions, observe_missing};
pub use elsewhere::{recorded_elsewhere, remember_elsewhere, run_elsewhere};
use history::{Files, is_same_text};
pub use repeatable::Repeating;
pub(super) use repeatable::diff as repeatables;
pub(super) use run::{apply, record_only, repeat};
pub(in crate::system) use session::Session;
pub(in crate::system) use waiting::Board;
pub use waiting::Waits;

/// The table that sqlx keeps.
const TABLE: &str = "_sqlx_migrations";

/// A migration that the history has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// The name that it had, with spaces for underscores.
    #[serde(default)]
    pub description: String,
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
    /// What its statements run under.
    pub limits: Limits,
}

/// What bounds a statement of a migration, on a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may wait for a lock.
    pub lock: Duration,
    /// How long it may run; zero for ever.
    pub statement: Duration,
}

/// A file on its way: what running and failing need to know of it.
struct Job<'a> {
    address: Address,
    name: &'a str,
    sql: &'a str,
    at: &'a Location,
    limits: Limits,
}

/// A text without its byte-order mark, which PostgreSQL takes for a part of the first word.
fn without_mark(sql: &str) -> &str {
    sql.trim_start_matches('\u{feff}')
}

/// What is wrong with a file that only a client at a terminal could run.
fn of_client(address: Address, sql: &str, at: &Location, dialect: Dialect) -> Option<Fault> {
    let (bytes, why) = lint::of_client(without_mark(sql), dialect)?;
    Some(Fault {
        message: format!("{} cannot be run: {why}", at.source.name()),
        address,
        help: Some(lint::OF_CLIENT_HELP.to_owned()),
        at: Some(Location::new(&at.source, bytes.start, bytes.len())),
    })
}

impl Migration {
    /// What is read of it to judge it.
    fn text(&self, dialect: Dialect) -> Text<'_> {
        Text { sql: &self.sql, dialect, in_transaction: !self.no_transaction }
    }
}

impl Pending {
    fn job(&self) -> Job<'_> {
        let Migration { stem, sql, at, .. } = &self.migration;
        Job { address: address(&self.migration), name: stem, sql: without_mark(sql), at, limits: self.limits }
    }
}

/// The query for whether there is a history.
pub(super) fn history_exists(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
        Dialect::Sqlite => {
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
        }
    }
}

/// The history, which must exist.
pub(super) async fn observe(database: &Database) -> Result<Vec<Applied>> {
    let read = async || {
        let rows = match database.dialect() {
            Dialect::Postgres => database.query_each(&[&history("encode(checksum, 'hex')")]).await?.concat(),
            Dialect::Sqlite => {
                let query = sql::folded(&history("lower(hex(checksum))"), 4);
                sql::unfolded(&database.query(&query, &[]).await?)?
            }
        };
        let applied = rows.iter().map(|row| {
            Ok(Applied {
                version: row.integer(0)?,
                checksum: row.text(1)?.to_owned(),
                success: row.bool(2)?,
                description: row.text(3)?.to_owned(),
            })
        });
        applied.collect::<sql::Result<Vec<_>>>()
    };
    read().await.map_err(Error::doing("reading the history of migrations"))
}

/// The query for the history, with the checksum in hexadecimal digits.
fn history(checksum: &str) -> String {
    format!("SELECT version, {checksum}, success, description FROM {TABLE} ORDER BY version")
}

/// The address of a migration.
pub(super) fn address(migration: &Migration) -> Address {
    Kind::Migration.named(&migration.stem)
}

/// What of a history does not fit the files.
pub(super) fn faults(desired: &Desired, history: &[Applied], inventory: &Inventory) -> Vec<Fault> {
    let files: Files<'_> = desired.migrations.iter().map(|file| (file.version, file)).collect();
    history.iter().filter_map(|applied| history::fault(applied, &files, inventory)).collect()
}

/// The files against the history.
pub(super) fn diff(desired: &Desired, observed: &Observed, inventory: &Inventory) -> Diff<Change> {
    let mut diff = Diff::default();
    let history = observed.migrations.as_deref().unwrap_or_default();
    let files: Files<'_> = desired.migrations.iter().map(|file| (file.version, file)).collect();
    // A migration outside a transaction that this tool began is not failed: it goes on.
    let begun = |applied: &&Applied| {
        let file = files.get(&applied.version).filter(|_| !applied.success);
        file.is_some_and(|file| file.no_transaction && books::is_begun(inventory, &address(file)))
    };
    let (begun, history): (Vec<&Applied>, Vec<&Applied>) = history.iter().partition(begun);
    // A folder that is empty by mistake, a volume that is not mounted, is no reason to be content.
    if desired.has_folder || !files.is_empty() {
        diff.faults.extend(history.iter().filter_map(|applied| history::fault(applied, &files, inventory)));
        diff.notes.extend(history.iter().filter_map(|applied| history::note(applied, &files)));
    }

    let newest = history.iter().map(|applied| applied.version).max();
    let applied: BTreeSet<i64> = history.iter().map(|applied| applied.version).collect();
    let pending: Vec<_> = files.iter().filter(|(version, _)| !applied.contains(version)).collect();
    diff.unchanged += files.len() - pending.len();
    if history.is_empty() && begun.is_empty() {
        diff.faults.extend(history::adoption(desired, observed));
    }
    let made_anew: Vec<&Migration> = pending.iter().map(|(_, file)| **file).collect();
    diff.checks.extend(index::checks(desired, observed, &made_anew));

    let mut needs = vec![Kind::Database.alone()];
    needs.extend(desired.extensions.iter().map(|name| super::database::extension(name)));
    let mut known = None;
    for (version, file) in pending {
        let known = known.get_or_insert_with(|| risk::known(desired, observed));
        let risk = risk::of(file.text(desired.dialect), observed, known);
        let late = newest.filter(|newest| version < newest);
        if let (Some(newest), Order::Linear) = (late, desired.order) {
            diff.faults.push(history::late(file, newest, &files));
        }
        diff.faults.extend(of_client(address(file), &file.sql, &file.at, desired.dialect));
        // Pending with a fault too, so that tables which it makes are not reported as missing.
        let mut planned = planned(desired, file, risk, late, needs);
        if let Some(progress) = outside::progress(file, desired.dialect, inventory) {
            // Not in what was seen: a saved plan goes on where its own run stopped.
            planned.reason = format!("{}, {}", planned.reason, progress.said());
            diff.faults.extend(progress.fault(file));
        }
        diff.changes.push(planned);
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
    let summary = verdict.summary("");
    let risk::Verdict { risks, assertions, .. } = verdict;
    let checksum = hex(&file.checksum);
    let seen = match assertions {
        None => Digest::of_json(&("pending", late)),
        Some(assertions) => Digest::of_json(&("pending", late, assertions)),
    };
    Planned {
        address: address(file),
        action: Action::Run,
        risks,
        reason: late.map_or_else(
            || "pending".to_owned(),
            |newest| format!("pending, out of order: {newest} is applied (order: allow)"),
        ),
        needs,
        summary,
        before: None,
        after: Some(json!({ "checksum": checksum })),
        diff: Some(risk::added(&file.sql)),
        seen,
        guard: None,
        at: Some(file.at.clone()),
        change: Change::Migrate(Box::new(Pending { migration: file.clone(), limits: desired.limits() })),
    }
}
