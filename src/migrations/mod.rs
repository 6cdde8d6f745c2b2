//! Compares migration files with the history that sqlx keeps in `_sqlx_migrations`. The history is
//! changed only by running or recording a migration, never repaired.

mod advice;
mod asserted;
mod bookkeeping;
mod desired;
mod elsewhere;
mod error;
mod external;
mod failure;
mod history;
mod index;
mod outside;
mod reached;
mod recording;
mod renamed;
mod repeatable;
mod risk;
mod run;
mod session;
mod texts;
mod together;
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
use crate::sql::{self, Database, Dialect, FileTables};
use crate::stack::{Migration, Order};

pub use advice::Advice;
pub(crate) use asserted::{observe as observe_assertions, observe_missing};
pub use desired::Desired;
pub use elsewhere::{adopt_into_inventory, applied_by_another_tool, recorded_by_another_tool};
pub(crate) use error::shortened;
pub use error::{Error, Result};
pub use external::{external_statements, without_external_statements};
use history::{Files, is_same_text};
pub use repeatable::Repeating;
pub(crate) use repeatable::diff as diff_repeatables;
pub(crate) use run::record_only;
pub(crate) use texts::{Texts, contains_any, has_quoted};
pub(crate) use together::{MOST_FILES, apply as apply_together};
pub(crate) use upcoming::{Rename, Upcoming};

/// A row of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub version: i64,
    /// The name of its file when it was applied, with spaces in place of underscores.
    #[serde(default)]
    pub description: String,
    /// SHA-384 of the text, in hexadecimal digits.
    pub checksum: String,
    /// False where a tool recorded that the migration failed part of the way.
    pub success: bool,
}

/// A migration to run, with the time limits for its statements.
#[derive(Debug, Clone)]
pub struct Pending {
    pub migration: Migration,
    pub limits: Limits,
}

/// An action that executes one file.
#[derive(Debug, Clone)]
pub enum Change {
    /// Runs a numbered file once.
    Run(Box<Pending>),
    /// Runs a repeatable file whose text changed.
    Repeat(Box<Repeating>),
}

impl Change {
    /// The text of the file and its location in the spec.
    pub(crate) fn text(&self) -> (&str, &Location) {
        match self {
            Self::Run(pending) => (&pending.migration.sql, &pending.migration.at),
            Self::Repeat(repeating) => (&repeating.file.sql, &repeating.file.at),
        }
    }
}

/// The parts of an observed database that migrations depend on.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// False where the database itself does not exist yet.
    pub exists: bool,
    pub schema: &'a Snapshot,
    /// Installed extensions by name, with their versions.
    pub extensions: &'a BTreeMap<String, String>,
    /// `None` where the history table does not exist.
    pub history: Option<&'a [Applied]>,
    /// For each table that a pending migration asserts to be empty, whether it is.
    pub emptiness: &'a BTreeMap<TableName, Emptiness>,
    /// Objects that pending migrations create or drop with `IF [NOT] EXISTS` and that do not exist.
    pub missing: &'a Missing,
}

/// Executes one change as part of a run.
pub(crate) async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<Effect> {
    match change {
        Change::Run(pending) => run::apply(pending, client, run).await,
        Change::Repeat(repeating) => run::repeat(repeating, client, run).await,
    }
}

/// The parts of a file that running it and reporting its errors need.
struct Job<'a> {
    address: Address,
    name: &'a str,
    sql: &'a str,
    /// Masks the text.
    tables: &'a FileTables,
    at: &'a Location,
    limits: Limits,
}

/// Strips the byte-order mark, which PostgreSQL would parse as part of the first keyword.
fn without_mark(sql: &str) -> &str {
    sql.trim_start_matches('\u{feff}')
}

/// Rejects a file that only the `psql` or `sqlite3` client could execute, because it has client
/// commands.
fn client_commands_fault(address: Address, sql: &str, at: &Location, dialect: Dialect) -> Option<Fault> {
    let (bytes, why) = lint::client_command(without_mark(sql), dialect)?;
    Some(Fault {
        message: format!("{} cannot be run: {why}", at.source.name()),
        address,
        help: Some(lint::OF_CLIENT_HELP.to_owned()),
        at: Some(Location::new(&at.source, bytes.start, bytes.len())),
    })
}

impl Migration {
    /// The input that the lint rules classify.
    fn text(&self, dialect: Dialect) -> Text<'_> {
        Text { sql: &self.sql, dialect, in_transaction: !self.no_transaction }
    }
}

impl Pending {
    fn job(&self) -> Job<'_> {
        let Migration { stem, sql, tables, at, .. } = &self.migration;
        let (address, limits) = (address(&self.migration), self.limits);
        Job { address, name: stem, sql: without_mark(sql), tables, at, limits }
    }
}

/// Reads the history, whose table must exist.
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

fn history(checksum: &str) -> String {
    format!("SELECT version, {checksum}, success, description FROM {HISTORY} ORDER BY version")
}

fn address(migration: &Migration) -> Address {
    Kind::Migration.named(&migration.stem)
}

/// Reports the rows of a history that do not match the files.
pub(crate) fn faults(desired: &Desired, history: &[Applied], inventory: &Inventory) -> Vec<Fault> {
    let files: Files<'_> = desired.files.iter().map(|file| (file.version, file)).collect();
    history.iter().filter_map(|applied| history::fault(applied, &files, inventory)).collect()
}

/// Compares the numbered files with the history. The first pending file depends on `before`.
pub(crate) fn diff(
    desired: &Desired,
    seen: Observed<'_>,
    inventory: &Inventory,
    before: &[Address],
) -> Diff<Change> {
    let mut diff = Diff::default();
    let history = seen.history.unwrap_or_default();
    let files: Files<'_> = desired.files.iter().map(|file| (file.version, file)).collect();
    // A migration that this tool began outside a transaction has `success` false but did not fail:
    // it resumes.
    let begun = |applied: &&Applied| {
        let file = files.get(&applied.version).filter(|_| !applied.success);
        file.is_some_and(|file| file.no_transaction && bookkeeping::is_begun(inventory, &address(file)))
    };
    let (begun, history): (Vec<&Applied>, Vec<&Applied>) = history.iter().partition(begun);
    // Every applied migration is reported as missing when the folder is empty: the cause may be a
    // mistake or a volume that is not mounted.
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
        let known = known.get_or_insert_with(|| risk::initial_tables(desired, seen));
        let risk = risk::assess(file.text(desired.dialect), seen, known);
        let late = newest.filter(|newest| version < newest);
        if let (Some(newest), Order::Linear) = (late, desired.order) {
            diff.faults.push(history::late(file, newest, &files));
        }
        diff.faults.extend(client_commands_fault(address(file), &file.sql, &file.at, desired.dialect));
        // A migration with a fault is planned too, so that the tables it creates are not reported
        // as missing.
        let mut planned = planned(desired, file, risk, late, needs);
        if let Some(progress) = outside::progress(file, desired.dialect, inventory) {
            // The progress is not part of the digest: a saved plan can resume where its own run
            // stopped.
            planned.reason = format!("{}, {}", planned.reason, progress.description());
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
    assessment: risk::Assessment,
    late: Option<i64>,
    needs: Vec<Address>,
) -> Planned<Change> {
    let summary = assessment.summary("");
    let risk::Assessment { risks, assertions, .. } = assessment;
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
        diff: Some(risk::added(&file.sql, &file.tables)),
        seen,
        guard: None,
        at: Some(file.at.clone()),
        change: Change::Run(Box::new(Pending { migration: file.clone(), limits: desired.limits })),
    }
}
