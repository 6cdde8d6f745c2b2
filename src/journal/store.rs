//! The bookkeeping's tables, and what of them goes into a world. Making them is the change
//! `system.bookkeeping`; losing them loses history and take-backs, never convergence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Error, Identity, Inventory, Listed, Places, Result, RunId, identity, inventory, runs, snapshots, table,
};
use crate::address::Address;
use crate::catalog::Snapshot;
use crate::digest::Digest;
use crate::sql::{Database, Dialect, Row, Transaction, Value};
use crate::stack::Flags;

/// Version of the tables. Raised when their form changes; a newer one is refused, not guessed at.
pub const FORMAT: i64 = 4;

/// Whether the tables are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bookkeeping {
    /// Nothing was applied yet, or somebody dropped them.
    Missing,
    /// They are there, and an older trueup made them: some are missing.
    Outdated,
    /// They are there, in the current format.
    Present,
}

/// What the journal knows that no store can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub bookkeeping: Bookkeeping,
    /// Which bookkeeping it is; `None` before it was made, or while an older trueup's is there.
    pub identity: Option<Identity>,
    /// The stack last applied: a bookkeeping is of one.
    #[serde(default)]
    pub stack: Option<String>,
    /// The environment last applied.
    pub environment: Option<String>,
    /// The flags last applied.
    pub flags: Option<Flags>,
    /// What was protected by the spec last applied.
    #[serde(default)]
    pub protected: BTreeSet<Address>,
    /// The digest of the spec that was last applied whole.
    #[serde(default)]
    pub spec_digest: Option<Digest>,
    /// What this tool put where.
    pub inventory: Inventory,
    /// The newest recorded schema of each owner: `system`, `target.NAME`.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Collections and documents whose last step on record made or changed them: the proof that a mark
    /// without an identity is this bookkeeping's.
    pub trained: BTreeSet<Address>,
    /// The newest runs that did not succeed: what they wrote may be half of it, or late.
    pub unfinished: BTreeSet<RunId>,
}

impl Observed {
    /// A journal that was never written.
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

/// The tables, for both dialects: moments are text in RFC 3339, so that they read the same.
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

/// The table without which there is no bookkeeping.
const FIRST: &str = "meta";

/// Makes the tables that are missing and records what is protected, in one transaction. Running it
/// twice is running it once.
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

/// Makes the tables that are missing. A bookkeeping of no stack is this one's from now on.
pub(super) async fn make_tables(transaction: &mut Transaction, stack: &str) -> Result<()> {
    let dialect = transaction.dialect();
    let mut statements = Vec::new();
    if dialect == Dialect::Postgres {
        // CREATE … IF NOT EXISTS still races in PostgreSQL; whoever is second waits here.
        statements.push("SELECT pg_advisory_xact_lock(7238201)".to_owned());
        statements.push("CREATE SCHEMA IF NOT EXISTS trueup".to_owned());
    }
    let make = |(name, columns): &(&str, &str)| {
        format!("CREATE TABLE IF NOT EXISTS {} ({columns})", table(dialect, name))
    };
    statements.extend(TABLES.iter().map(make));
    transaction.execute_each(&statements).await?;
    set_meta(transaction, "format", &FORMAT.to_string()).await?;
    // What stands there already stays.
    let first = format!(
        "INSERT INTO {} (key, value) VALUES ('stack', $1), ('{}', $2) ON CONFLICT (key) DO NOTHING",
        table(dialect, "meta"),
        identity::KEY
    );
    let identity = Identity::new();
    transaction.execute(&first, &[Value::from(stack), Value::from(identity.as_str())]).await?;
    Ok(())
}

/// Takes a key out of `meta`.
pub(super) async fn unset_meta(transaction: &mut Transaction, key: &str) -> Result<()> {
    let sql = format!("DELETE FROM {} WHERE key = $1", table(transaction.dialect(), "meta"));
    transaction.execute(&sql, &[Value::from(key)]).await?;
    Ok(())
}

/// Puts a key into `meta`, or another value under it.
async fn set_meta(transaction: &mut Transaction, key: &str, value: &str) -> Result<()> {
    let set = meta_is(transaction.dialect());
    transaction.execute(&set, &[Value::from(key), Value::from(value)]).await?;
    Ok(())
}

/// As [`set_meta`], by itself.
pub(super) async fn set_meta_alone(database: &Database, key: &str, value: &str) -> Result<()> {
    database.execute(&meta_is(database.dialect()), &[Value::from(key), Value::from(value)]).await?;
    Ok(())
}

fn meta_is(dialect: Dialect) -> String {
    format!(
        "INSERT INTO {} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        table(dialect, "meta")
    )
}

/// The bookkeeping's tables that are there, asked of the catalog.
async fn tables(database: &Database) -> Result<BTreeSet<String>> {
    let sql = match database.dialect() {
        // By name: a question that joins catalogs is the dearest that a new session can be asked.
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

/// Whether there is a bookkeeping to write to.
pub async fn exists(database: &Database) -> Result<bool> {
    Ok(tables(database).await?.contains(FIRST))
}

/// The query for meta, flags and protection: everything small, by table.
fn small(dialect: Dialect, tables: &BTreeSet<String>) -> String {
    let parts = [("meta", "key", "value"), ("flags", "name", "value"), ("protection", "address", "''")];
    let selects = parts.iter().filter(|(name, ..)| tables.contains(*name)).map(|(name, key, value)| {
        format!("SELECT '{name}', {key}, CAST({value} AS text) FROM {}", table(dialect, name))
    });
    selects.collect::<Vec<_>>().join(" UNION ALL ")
}

/// Its rows by table: names and values.
fn read_small(rows: &[Row]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut small: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in rows {
        let of_table = small.entry(row.text(0)?.to_owned()).or_default();
        of_table.insert(row.text(1)?.to_owned(), row.text(2)?.to_owned());
    }
    Ok(small)
}

/// Reads the journal, with the places of the inventory that observing the system needs.
pub async fn observe(database: &Database) -> Result<(Observed, Places)> {
    let tables = tables(database).await?;
    if !tables.contains(FIRST) {
        return Ok((Observed::missing(), Places::default()));
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
        // A run is at work or was killed: what it did to the schema is nobody's drift.
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

/// Records the stack, the environment and the flags that were applied, replacing what stood there. Where one of the
/// first two changes, the database may be a copy: what it claims of the shared cache is another environment's, but
/// for what this run made.
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
    set_meta(&mut transaction, "stack", stack).await?;
    set_meta(&mut transaction, "environment", environment).await?;
    transaction.commit().await?;
    Ok(())
}

/// Records the digest of a spec that was applied whole: what drift is told from.
pub async fn record_spec(database: &Database, digest: &Digest) -> Result<()> {
    set_meta_alone(database, "spec_digest", digest.as_str()).await
}
