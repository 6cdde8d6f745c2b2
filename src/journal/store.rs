//! The bookkeeping's tables, and what of them goes into a world. Making them is the change
//! `system.bookkeeping`; losing them loses history and take-backs, never convergence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Error, Inventory, Recorded, Result, inventory, snapshots, table};
use crate::catalog::Snapshot;
use crate::spec::Flags;
use crate::sql::{Database, Dialect, Value};

/// Version of the tables. Raised when their form changes; a newer one is refused, not guessed at.
pub const FORMAT: i64 = 1;

/// Whether the tables are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bookkeeping {
    /// Nothing was applied yet, or somebody dropped them.
    Missing,
    /// They are there, in the current format.
    Present,
}

/// What the journal knows that no store can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether the tables are there.
    pub bookkeeping: Bookkeeping,
    /// The environment last applied.
    pub environment: Option<String>,
    /// The flags last applied.
    pub flags: Option<Flags>,
    /// What this tool put where.
    pub inventory: Inventory,
    /// The newest recorded schema of each owner: `system`, `target.NAME`.
    pub snapshots: BTreeMap<String, Snapshot>,
}

impl Observed {
    /// A journal that was never written.
    pub fn missing() -> Self {
        Self {
            bookkeeping: Bookkeeping::Missing,
            environment: None,
            flags: None,
            inventory: Inventory::default(),
            snapshots: BTreeMap::new(),
        }
    }
}

/// The tables, for both dialects: moments are text in RFC 3339, so that they read the same.
const TABLES: &[(&str, &str)] = &[
    ("meta", "key text PRIMARY KEY, value text NOT NULL"),
    ("flags", "name text PRIMARY KEY, value boolean NOT NULL"),
    (
        "runs",
        "id text PRIMARY KEY, command text NOT NULL, stack text NOT NULL, environment text NOT NULL, \
         status text NOT NULL, started_at text NOT NULL, finished_at text, who text NOT NULL, \
         tool_version text NOT NULL, git_commit text, spec_digest text NOT NULL, plan_digest text NOT NULL, \
         summary text",
    ),
    (
        "steps",
        "run text NOT NULL, position bigint NOT NULL, address text NOT NULL, action text NOT NULL, \
         outcome text NOT NULL, finished_at text NOT NULL, milliseconds bigint NOT NULL, detail text, \
         PRIMARY KEY (run, position)",
    ),
    (
        "inventory",
        "address text NOT NULL, key text NOT NULL, place text NOT NULL, digest text NOT NULL, \
         run text NOT NULL, PRIMARY KEY (address, key)",
    ),
    (
        "snapshots",
        "owner text NOT NULL, version bigint NOT NULL, digest text NOT NULL, taken_at text NOT NULL, \
         run text NOT NULL, content text NOT NULL, PRIMARY KEY (owner, version)",
    ),
];

/// Makes the tables that are missing, in one transaction. Running it twice is running it once.
pub async fn ensure(database: &Database) -> Result<()> {
    let dialect = database.dialect();
    let mut transaction = database.begin().await?;
    if dialect == Dialect::Postgres {
        // CREATE … IF NOT EXISTS still races in PostgreSQL; whoever is second waits here.
        transaction.execute("SELECT pg_advisory_xact_lock(7238201)", &[]).await?;
        transaction.execute("CREATE SCHEMA IF NOT EXISTS trueup", &[]).await?;
    }
    for (name, columns) in TABLES {
        let sql = format!("CREATE TABLE IF NOT EXISTS {} ({columns})", table(dialect, name));
        transaction.execute(&sql, &[]).await?;
    }
    set_meta(&mut transaction, "format", &FORMAT.to_string()).await?;
    transaction.commit().await?;
    Ok(())
}

async fn set_meta(transaction: &mut crate::sql::Transaction, key: &str, value: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        table(transaction.dialect(), "meta")
    );
    transaction.execute(&sql, &[Value::from(key), Value::from(value)]).await?;
    Ok(())
}

/// Whether the tables are there, asked of the catalog.
async fn is_present(database: &Database) -> Result<bool> {
    let sql = match database.dialect() {
        Dialect::Postgres => {
            "SELECT to_regclass('trueup.meta') IS NOT NULL AND to_regclass('trueup.snapshots') IS NOT NULL"
        }
        Dialect::Sqlite => {
            "SELECT count(*) = 2 FROM sqlite_schema WHERE name IN ('trueup_meta', 'trueup_snapshots')"
        }
    };
    let rows = database.query_each(&[sql]).await?;
    Ok(rows.iter().flatten().next().map(|row| row.bool(0)).transpose()?.unwrap_or(false))
}

/// Reads the journal, with the places of the inventory that observing the system needs.
pub async fn observe(database: &Database) -> Result<(Observed, Vec<super::Entry>)> {
    if !is_present(database).await? {
        return Ok((Observed::missing(), Vec::new()));
    }
    let dialect = database.dialect();
    let meta = format!("SELECT key, value FROM {}", table(dialect, "meta"));
    let flags = format!("SELECT name, value FROM {}", table(dialect, "flags"));
    let (entries, snapshots) = (inventory::all(dialect), snapshots::newest(dialect));
    let mut answers = database.query_each(&[&meta, &flags, &entries, &snapshots]).await?.into_iter();
    let mut next = || answers.next().unwrap_or_default();

    let meta = next();
    let meta: BTreeMap<&str, &str> =
        meta.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect::<crate::sql::Result<_>>()?;
    check_format(meta.get("format").copied())?;

    let flags = next();
    let flags: BTreeMap<String, bool> = flags
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), row.bool(1)?)))
        .collect::<crate::sql::Result<_>>()?;
    let entries = inventory::read(&next())?;
    let snapshots = snapshots::read(&next())?;

    let observed = Observed {
        bookkeeping: Bookkeeping::Present,
        environment: meta.get("environment").map(|text| (*text).to_owned()),
        flags: (!flags.is_empty()).then_some(Flags(flags)),
        inventory: entries.iter().cloned().collect(),
        snapshots: snapshots.into_iter().map(|Recorded { owner, snapshot, .. }| (owner, snapshot)).collect(),
    };
    Ok((observed, entries))
}

fn check_format(found: Option<&str>) -> Result<()> {
    let unreadable =
        || Error::Unreadable { what: format!("format {:?} in the table meta", found.unwrap_or("")) };
    let found: i64 = found.and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    if found > FORMAT { Err(Error::TooNew { found }) } else { Ok(()) }
}

/// Records the flags and the environment that were applied, replacing what stood there.
pub async fn record_flags(database: &Database, environment: &str, flags: &Flags) -> Result<()> {
    let mut transaction = database.begin().await?;
    let flags_table = table(database.dialect(), "flags");
    transaction.execute(&format!("DELETE FROM {flags_table}"), &[]).await?;
    for (name, value) in &flags.0 {
        let sql = format!("INSERT INTO {flags_table} (name, value) VALUES ($1, $2)");
        transaction.execute(&sql, &[Value::from(name.as_str()), Value::from(*value)]).await?;
    }
    set_meta(&mut transaction, "environment", environment).await?;
    transaction.commit().await?;
    Ok(())
}
