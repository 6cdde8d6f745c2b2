//! Migrations: the history that sqlx keeps in `_sqlx_migrations`, compared with the files. Never
//! changes the history but by running a migration.

mod advice;
mod asserted;
mod beyond;
mod books;
mod desired;
mod elsewhere;
mod error;
mod failure;
mod history;
mod index;
mod outside;
mod reached;
mod renamed;
mod repeatable;
mod risk;
mod run;
mod texts;
mod unit;
mod upcoming;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::address::{Address, Kind};
use crate::catalog::{Snapshot, TableName};
use crate::change::{Action, Diff, Effect, Fault, Planned};
use crate::connection::{Client, HISTORY, Limits};
use crate::digest::{Digest, hex};
use crate::journal::{Inventory, RunId};
use crate::lint::{self, Emptiness, Missing, Text};
use crate::location::Location;
use crate::sql::{self, Database, Dialect};
use crate::stack::{Migration, Order};

pub use advice::Advice;
pub(crate) use asserted::{observe as observe_assertions, observe_missing};
pub use beyond::{beyond, without_beyond};
pub use desired::Desired;
pub use elsewhere::{recorded_elsewhere, remember_elsewhere, run_elsewhere};
pub(crate) use error::shortened;
pub use error::{Error, Result};
use history::{Files, is_same_text};
pub use repeatable::Repeating;
pub(crate) use repeatable::diff as repeatables;
pub(crate) use run::record_only;
pub(crate) use texts::{Texts, any_in};
pub(crate) use upcoming::Upcoming;

/// A migration that the history has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
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
    pub migration: Migration,
    /// What its statements run under.
    pub limits: Limits,
}

/// What runs a file.
#[derive(Debug, Clone)]
pub enum Change {
    /// Runs a numbered file.
    Run(Box<Pending>),
    /// Runs a repeatable file.
    Repeat(Box<Repeating>),
}

impl Change {
    /// The text of the file, and where it stands.
    pub(crate) fn text(&self) -> (&str, &Location) {
        match self {
            Self::Run(pending) => (&pending.migration.sql, &pending.migration.at),
            Self::Repeat(repeating) => (&repeating.file.sql, &repeating.file.at),
        }
    }
}

/// What of an observed database concerns migrations.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Whether there is a database.
    pub exists: bool,
    pub schema: &'a Snapshot,
    /// Installed extensions and their versions.
    pub extensions: &'a BTreeMap<String, String>,
    /// The history; `None` without its table.
    pub history: Option<&'a [Applied]>,
    /// Whether the tables that pending migrations assert to be empty are.
    pub emptiness: &'a BTreeMap<TableName, Emptiness>,
    /// What pending migrations make or drop by `IF [NOT] EXISTS`, and is not there.
    pub missing: &'a Missing,
}

/// Executes one change in the name of a run.
pub(crate) async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<Effect> {
    match change {
        Change::Run(pending) => run::apply(pending, client, run).await,
        Change::Repeat(repeating) => run::repeat(repeating, client, run).await,
    }
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

/// The history, which must exist.
pub(crate) async fn observe(database: &Database) -> Result<Vec<Applied>> {
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
    format!("SELECT version, {checksum}, success, description FROM {HISTORY} ORDER BY version")
}

fn address(migration: &Migration) -> Address {
    Kind::Migration.named(&migration.stem)
}

/// What of a history does not fit the files.
pub(crate) fn faults(desired: &Desired, history: &[Applied], inventory: &Inventory) -> Vec<Fault> {
    let files: Files<'_> = desired.files.iter().map(|file| (file.version, file)).collect();
    history.iter().filter_map(|applied| history::fault(applied, &files, inventory)).collect()
}

/// The numbered files against the history; what comes `before` the first, each needs.
pub(crate) fn diff(
    desired: &Desired,
    seen: Seen<'_>,
    inventory: &Inventory,
    before: &[Address],
) -> Diff<Change> {
    let mut diff = Diff::default();
    let history = seen.history.unwrap_or_default();
    let files: Files<'_> = desired.files.iter().map(|file| (file.version, file)).collect();
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
        diff.faults.extend(history::adoption(desired, seen.schema));
    }
    let made_anew: Vec<&Migration> = pending.iter().map(|(_, file)| **file).collect();
    diff.checks.extend(index::checks(desired, seen.schema, &made_anew));

    let mut needs = before.to_vec();
    let mut known = None;
    for (version, file) in pending {
        let known = known.get_or_insert_with(|| risk::known(desired, seen));
        let risk = risk::of(file.text(desired.dialect), seen, known);
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
        change: Change::Run(Box::new(Pending { migration: file.clone(), limits: desired.limits })),
    }
}
