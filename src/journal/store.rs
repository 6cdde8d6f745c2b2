//! The tables of the bookkeeping, and reading them into a world. The change `system.bookkeeping` creates
//! them. Without them there is no history and no deletion of owned rows, but plans still converge.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Error, Identity, Inventory, Listed, Result, RowLocations, RunId, identity, inventory, meta, runs,
    snapshots, table,
};
use crate::address::Address;
use crate::catalog::Snapshot;
use crate::digest::Digest;
use crate::sql::{Database, Dialect, Row, Transaction, Value};
use crate::stack::Flags;

/// The version of the tables, raised when their structure changes. A newer version is rejected.
pub const FORMAT: i64 = 4;

/// Whether the tables exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bookkeeping {
    /// Nothing was applied yet, or the tables were dropped.
    Missing,
    /// Some tables are missing, because an older trueup created the others.
    Outdated,
    /// All tables exist in the current format.
    Present,
}

/// The facts of the bookkeeping that a plan uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub bookkeeping: Bookkeeping,
    /// `None` without bookkeeping, or where an older trueup created it.
    pub identity: Option<Identity>,
    /// The stack last applied: bookkeeping belongs to one stack.
    #[serde(default)]
    pub stack: Option<String>,
    pub environment: Option<String>,
    pub flags: Option<Flags>,
    /// The addresses that were protected by the spec last applied.
    #[serde(default)]
    pub protected: BTreeSet<Address>,
    /// The digest of the spec that was last applied completely.
    #[serde(default)]
    pub spec_digest: Option<Digest>,
    pub inventory: Inventory,
    /// The newest recorded schema by owner: `system` or `target.NAME`.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Collections and documents that this bookkeeping created or changed last. Proves that a mark without
    /// an identity belongs to it.
    pub trained: BTreeSet<Address>,
    /// The most recent runs that did not succeed, whose writes may be incomplete or late.
    pub unfinished: BTreeSet<RunId>,
}

impl Observed {
    /// The value without bookkeeping.
    pub fn missing() -> Self {
        Self {
            bookkeeping: Bookkeeping::Missing,
            identity: None,
            stack: None,
            environment: None,
            flags: None,
            protected: BTreeSet::new(),
            spec_digest: None,
            inventory: Inventory::default(),
            snapshots: BTreeMap::new(),
            trained: BTreeSet::new(),
            unfinished: BTreeSet::new(),
        }
    }
}

/// The tables for both dialects. Times are text in RFC 3339, so that both return them alike.
const TABLES: &[(&str, &str)] = &[
    ("meta", "key text PRIMARY KEY, value text NOT NULL"),
    ("flags", "name text PRIMARY KEY, value boolean NOT NULL"),
    ("protection", "address text PRIMARY KEY"),
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

/// The table that every bookkeeping has.
const FIRST: &str = "meta";

/// Creates missing tables and records the protected addresses, in one transaction. Idempotent.
pub async fn ensure(database: &Database, stack: &str, protected: &BTreeSet<Address>) -> Result<()> {
    let mut transaction = database.begin().await?;
    make_tables(&mut transaction, stack).await?;
    let protection = table(transaction.dialect(), "protection");
    transaction.execute(&format!("DELETE FROM {protection}"), &[]).await?;
    for address in protected {
        let sql = format!("INSERT INTO {protection} (address) VALUES ($1)");
        transaction.execute(&sql, &[Value::from(address.as_str())]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Creates missing tables. Bookkeeping without a stack is assigned to this one.
pub(super) async fn make_tables(transaction: &mut Transaction, stack: &str) -> Result<()> {
    let dialect = transaction.dialect();
    let mut statements = Vec::new();
    if dialect == Dialect::Postgres {
        // CREATE … IF NOT EXISTS can fail in PostgreSQL when two sessions run it at once, so it is
        // serialised by a lock.
        statements.push("SELECT pg_advisory_xact_lock(7238201)".to_owned());
        statements.push("CREATE SCHEMA IF NOT EXISTS trueup".to_owned());
    }
    let make = |(name, columns): &(&str, &str)| {
        format!("CREATE TABLE IF NOT EXISTS {} ({columns})", table(dialect, name))
    };
    statements.extend(TABLES.iter().map(make));
    transaction.execute_each(&statements).await?;
    meta::set(transaction, "format", &FORMAT.to_string()).await?;
    // Existing values are kept.
    let first = format!(
        "INSERT INTO {} (key, value) VALUES ('stack', $1), ('{}', $2) ON CONFLICT (key) DO NOTHING",
        table(dialect, "meta"),
        identity::KEY
    );
    let identity = Identity::new();
    transaction.execute(&first, &[Value::from(stack), Value::from(identity.as_str())]).await?;
    Ok(())
}

/// The existing tables of the bookkeeping.
async fn tables(database: &Database) -> Result<BTreeSet<String>> {
    let sql = match database.dialect() {
        // Looks each name up: a join of catalogs is the most expensive query in a new session.
        Dialect::Postgres => {
            let there = TABLES.iter().map(|(name, _)| {
                format!(
                    "CASE WHEN to_regclass('{}') IS NOT NULL THEN '{name}' END",
                    table(Dialect::Postgres, name)
                )
            });
            format!("SELECT {}", there.collect::<Vec<_>>().join(", "))
        }
        Dialect::Sqlite => "SELECT substr(name, 8) FROM sqlite_schema \
                            WHERE type = 'table' AND name LIKE 'trueup\\_%' ESCAPE '\\'"
            .to_owned(),
    };
    let rows = database.query_each(&[&sql]).await?.into_iter().flatten();
    Ok(rows.flat_map(Row::into_values).flatten().collect())
}

/// Whether bookkeeping exists.
pub async fn exists(database: &Database) -> Result<bool> {
    Ok(tables(database).await?.contains(FIRST))
}

/// The query for the small tables meta, flags and protection.
fn small(dialect: Dialect, tables: &BTreeSet<String>) -> String {
    let parts = [("meta", "key", "value"), ("flags", "name", "value"), ("protection", "address", "''")];
    let selects = parts.iter().filter(|(name, ..)| tables.contains(*name)).map(|(name, key, value)| {
        format!("SELECT '{name}', {key}, CAST({value} AS text) FROM {}", table(dialect, name))
    });
    selects.collect::<Vec<_>>().join(" UNION ALL ")
}

/// Parses the rows of that query by table, as names and values.
fn read_small(rows: &[Row]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut small: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in rows {
        let of_table = small.entry(row.text(0)?.to_owned()).or_default();
        of_table.insert(row.text(1)?.to_owned(), row.text(2)?.to_owned());
    }
    Ok(small)
}

/// Reads the bookkeeping, and the locations of rows that observing the system database needs.
pub async fn observe(database: &Database) -> Result<(Observed, RowLocations)> {
    let tables = tables(database).await?;
    if !tables.contains(FIRST) {
        return Ok((Observed::missing(), RowLocations::default()));
    }
    let dialect = database.dialect();
    let unless_missing = |name: &str, query: String| {
        if tables.contains(name) { query } else { "SELECT NULL WHERE false".to_owned() }
    };
    let asked = [
        small(dialect, &tables),
        unless_missing("inventory", inventory::first_page(dialect)),
        unless_missing("snapshots", snapshots::newest(dialect)),
        unless_missing("steps", runs::trained(dialect)),
        unless_missing("runs", runs::unfinished(dialect)),
    ];
    let mut answers = database.query_each(&asked.each_ref().map(String::as_str)).await?.into_iter();
    let mut next = || answers.next().unwrap_or_default();

    let mut small = read_small(&next())?;
    let mut of = |name: &str| small.remove(name).unwrap_or_default();
    let (meta, flags, protection) = (of("meta"), of("flags"), of("protection"));
    let format = check_format(meta.get("format").map(String::as_str))?;
    let is_whole = format == FORMAT
        && meta.contains_key(identity::KEY)
        && TABLES.iter().all(|(name, _)| tables.contains(*name));

    let is_true = |value: &str| matches!(value, "1" | "t" | "true");
    let flags: BTreeMap<String, bool> =
        flags.into_iter().map(|(name, value)| (name, is_true(&value))).collect();
    let Listed { inventory, places } = inventory::read_all(database, next()).await?;
    let mut snapshots = snapshots::read(&next())?;
    let texts = |rows: Vec<Row>| rows.into_iter().flat_map(Row::into_values).flatten().collect::<Vec<_>>();
    let (trained, unfinished) = (texts(next()), texts(next()));
    let identity = meta.get(identity::KEY).map(Identity::from_text);
    if meta.contains_key(snapshots::CHANGING) {
        // A run is active or was killed: its schema changes must not be reported as drift.
        snapshots.remove(super::SYSTEM_SCHEMA);
    }

    let observed = Observed {
        bookkeeping: if is_whole { Bookkeeping::Present } else { Bookkeeping::Outdated },
        identity,
        stack: meta.get("stack").cloned(),
        environment: meta.get("environment").cloned(),
        flags: (!flags.is_empty()).then_some(Flags(flags)),
        protected: addresses(protection.into_keys())?,
        spec_digest: meta.get("spec_digest").map(Digest::from_text),
        inventory,
        snapshots,
        trained: addresses(trained)?,
        unfinished: unfinished.into_iter().map(RunId::from_text).collect(),
    };
    Ok((observed, places))
}

fn addresses(texts: impl IntoIterator<Item = String>) -> Result<BTreeSet<Address>> {
    texts.into_iter().map(|text| Ok(Address::parse(text)?)).collect()
}

fn check_format(found: Option<&str>) -> Result<i64> {
    let unreadable =
        || Error::Unreadable { what: format!("format {:?} in the table meta", found.unwrap_or("")) };
    let found: i64 = found.and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    if found > FORMAT { Err(Error::TooNew { found }) } else { Ok(found) }
}

/// Records the stack, the environment and the flags that were applied, replacing previous ones. Where one of the
/// first two changes, the database may be a copy: its claims on the shared cache then belong to another environment,
/// except for what this run created.
pub async fn record_flags(
    database: &Database,
    (stack, environment): (&str, &str),
    flags: &Flags,
    run: &RunId,
) -> Result<()> {
    let mut transaction = database.begin().await?;
    let (inventory, meta) = (table(database.dialect(), "inventory"), table(database.dialect(), "meta"));
    let forget = format!(
        "DELETE FROM {inventory} WHERE address LIKE 'cache.%' AND run <> $1 AND EXISTS (SELECT 1 FROM {meta} \
         WHERE (key = 'stack' AND value <> $2) OR (key = 'environment' AND value <> $3))"
    );
    let values = [run.as_str().into(), stack.into(), environment.into()];
    transaction.execute(&forget, &values).await?;
    let flags_table = table(database.dialect(), "flags");
    transaction.execute(&format!("DELETE FROM {flags_table}"), &[]).await?;
    let places = (0..flags.0.len()).map(|at| format!("(${}, ${})", at * 2 + 1, at * 2 + 2));
    let places = places.collect::<Vec<_>>().join(", ");
    if !places.is_empty() {
        let values = flags.0.iter().flat_map(|(name, value)| [name.as_str().into(), Value::from(*value)]);
        let sql = format!("INSERT INTO {flags_table} (name, value) VALUES {places}");
        transaction.execute(&sql, &values.collect::<Vec<_>>()).await?;
    }
    meta::set(&mut transaction, "stack", stack).await?;
    meta::set(&mut transaction, "environment", environment).await?;
    transaction.commit().await?;
    Ok(())
}

/// Records the digest of a spec that was applied completely. Drift is measured against it.
pub async fn record_spec(database: &Database, digest: &Digest) -> Result<()> {
    meta::set_alone(database, "spec_digest", digest.as_str()).await
}
