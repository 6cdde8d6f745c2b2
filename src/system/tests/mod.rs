//! The whole room on real databases: on a file of SQLite, and on a database of its own in the server whose
//! URL `TRUEUP_TEST_POSTGRES` holds. Its account may create databases. `none` leaves that half out.

mod accounts;
mod columns;
mod keys;
mod migrating;
mod migrating_on;
mod ontologies;
mod roles;
mod rows;
mod scale;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sha2::Digest as _;

use super::*;
use crate::address::Address;
use crate::change::{Action, Diff, Planned};
use crate::connection::{self, Client, Presence, Purpose};
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::{Entry, Inventory, RowLocations, RunId, inventory};
use crate::location::{Location, Source};
use crate::migrations::{self, Advice};
use crate::packed::Rows;
use crate::sql::{Database, Dialect, Value};
use crate::stack::{
    self, Cell, Migration, MigrationSets, Ontology, Order, PasswordHash, RedactedUrl, Secret, Seed, SeedMode,
    Stack, SystemUrl, Term, User,
};

/// Runs a test's body on SQLite and on PostgreSQL.
fn on_each_database<F: Future<Output = ()>>(body: impl Fn(Bench) -> F) {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        body(Bench::new(SystemUrl::Sqlite(folder.path().join("app.db")))).await;
    });
    on_postgres(body);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a test's body on PostgreSQL.
fn on_postgres<F: Future<Output = ()>>(body: impl FnOnce(Bench) -> F) {
    runtime().block_on(async {
        let server = std::env::var("TRUEUP_TEST_POSTGRES");
        let server =
            server.expect("run scripts/test, or set TRUEUP_TEST_POSTGRES=none to test without PostgreSQL");
        if server != "none" {
            let mut url = url::Url::parse(&server).unwrap();
            let name = format!("trueup_{}", uuid::Uuid::new_v4().simple());
            url.set_path(&name);
            body(Bench::new(SystemUrl::Postgres(RedactedUrl::new(url)))).await;
            let admin = Client::new(postgres(&server), "test", Purpose::Apply(RunId::new()));
            admin.drop_beside(&name).await.unwrap();
        }
    });
}

fn postgres(url: &str) -> SystemUrl {
    SystemUrl::Postgres(RedactedUrl::new(url::Url::parse(url).unwrap()))
}

/// A stack to be changed by a test, and the database that it is brought to.
struct Bench {
    stack: Stack,
    url: SystemUrl,
    run: RunId,
}

/// What one round did, as `action address`.
type Steps = Vec<String>;

/// All that is to be seen through a client.
async fn look(desired: &Desired, inventory: &Inventory, places: &RowLocations, client: &Client) -> Observed {
    if client.presence().await.unwrap() == Presence::Missing {
        return observe_missing(desired, inventory, client).await.unwrap();
    }
    let listed = list(&client.database().await.unwrap()).await.unwrap();
    observe(desired, listed, inventory, places, client).await.unwrap()
}

impl Bench {
    fn new(url: SystemUrl) -> Self {
        Self { stack: empty_stack(url.clone()), url, run: RunId::new() }
    }

    fn dialect(&self) -> Dialect {
        self.client().dialect()
    }

    fn client(&self) -> Client {
        Client::new(self.url.clone(), "test", Purpose::Apply(self.run.clone()))
    }

    async fn database(&self) -> Database {
        self.client().database().await.unwrap()
    }

    /// The numbered files, each with its stem.
    fn migrate(&mut self, files: &[(&str, &str)]) {
        self.stack.system.migrations.common = files.iter().map(|(stem, sql)| migration(stem, sql)).collect();
    }

    fn put(&mut self, name: &str, seed: Seed) {
        self.stack.system.seeds.insert(name.into(), seed);
    }

    fn seed(&mut self, name: &str) -> &mut Seed {
        self.stack.system.seeds.get_mut(name).unwrap()
    }

    async fn execute(&self, sql: &str) {
        for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
            self.database().await.execute(statement, &[]).await.unwrap();
        }
    }

    /// All rows of a query, values joined by `|`.
    async fn query(&self, sql: &str) -> Vec<String> {
        let rows = self.database().await.query(sql, &[]).await.unwrap();
        let joined = |row: crate::sql::Row| {
            row.into_values()
                .into_iter()
                .map(|value| value.unwrap_or("NULL".into()))
                .collect::<Vec<_>>()
                .join("|")
        };
        rows.into_iter().map(joined).collect()
    }

    async fn entries(&self) -> Vec<crate::journal::Entry> {
        let client = self.client();
        if client.presence().await.unwrap() == Presence::Missing {
            return Vec::new();
        }
        let database = client.database().await.unwrap();
        let sql = match database.dialect() {
            Dialect::Postgres => "SELECT to_regclass('trueup.inventory') IS NOT NULL",
            Dialect::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name = 'trueup_inventory'",
        };
        if database.query(sql, &[]).await.unwrap()[0].bool(0).unwrap() {
            let table = inventory::table(database.dialect());
            let sql = format!("SELECT address, place, key, digest FROM {table} ORDER BY address, key");
            database.query(&sql, &[]).await.unwrap().iter().map(entry).collect()
        } else {
            Vec::new()
        }
    }

    /// The entries of rows, without what is remembered of migrations.
    async fn row_entries(&self) -> Vec<crate::journal::Entry> {
        let mut entries = self.entries().await;
        entries.retain(|entry| !entry.address.is_selected_by("system.migration"));
        entries
    }

    async fn observe(&self) -> (Observed, Inventory) {
        let client = Client::new(self.url.clone(), "test", Purpose::Observe);
        let entries = self.entries().await;
        let mut places = RowLocations::default();
        let mut keys: BTreeMap<Address, Vec<(Fingerprint, Fingerprint)>> = BTreeMap::new();
        for Entry { address, place, key, digest } in &entries {
            places.push(address, place, *key);
            keys.entry(address.clone()).or_default().push((*key, *digest));
        }
        let keys = keys.into_iter().map(|(address, keys)| (address, FingerprintMap::new(keys)));
        let inventory = Inventory(keys.collect());
        let desired = Desired::new(&self.stack, self.dialect());
        let observed = look(&desired, &inventory, &places, &client).await;
        // What a world file keeps is all that a diff may use.
        let observed = serde_json::from_str(&serde_json::to_string(&observed).unwrap()).unwrap();
        (observed, inventory)
    }

    async fn diff(&self) -> Diff<Change> {
        let (observed, inventory) = self.observe().await;
        diff(&Desired::new(&self.stack, self.dialect()), &observed, &inventory)
    }

    /// Makes the database and the books before anything is planned.
    async fn keep_books_early(&self) {
        self.client().create_database().await.unwrap();
        self.keep_books().await;
    }

    async fn keep_books(&self) {
        let columns =
            "(address text, key text, place text, digest text, run text, PRIMARY KEY (address, key))";
        let sql = match self.dialect() {
            Dialect::Postgres => {
                format!(
                    "CREATE SCHEMA IF NOT EXISTS trueup; CREATE TABLE IF NOT EXISTS trueup.inventory {columns}"
                )
            }
            Dialect::Sqlite => format!("CREATE TABLE IF NOT EXISTS trueup_inventory {columns}"),
        };
        self.execute(&sql).await;
    }

    /// Applies a diff's changes in an order that their needs allow, each twice.
    async fn apply(&self, diff: Diff<Change>) -> Result<Steps> {
        assert!(diff.faults.is_empty(), "{:?}", diff.faults);
        let client = self.client();
        let mut steps = Vec::new();
        let mut waiting = diff.changes;
        while !waiting.is_empty() {
            let open: Vec<_> = waiting.iter().map(|planned| planned.address.clone()).collect();
            let (ready, rest): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|planned| planned.needs.iter().all(|need| !open.contains(need)));
            assert!(!ready.is_empty(), "needs go in a circle: {open:?}");
            waiting = rest;
            for planned in ready {
                apply(&planned.change, &client, &self.run).await?;
                if planned.address.as_str() == "system.database" {
                    self.keep_books().await;
                }
                apply(&planned.change, &client, &self.run).await?;
                steps.push(step(&planned));
            }
        }
        Ok(steps)
    }

    /// As [`Self::converge`], while the spec has no seeds.
    async fn converge_without_seeds(&mut self) {
        let seeds = std::mem::take(&mut self.stack.system.seeds);
        self.converge().await;
        self.stack.system.seeds = seeds;
    }

    /// Plans, applies, and proves that nothing is left to do.
    async fn converge(&self) -> Steps {
        let steps = self.apply(self.diff().await).await.unwrap();
        let left = self.diff().await;
        assert!(left.faults.is_empty(), "{:?}", left.faults);
        let left: Steps = left.changes.iter().map(step).collect();
        assert!(left.is_empty(), "after {steps:?} there is still {left:?}");
        steps
    }
}

fn step(planned: &Planned<Change>) -> String {
    let action = match planned.action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::Replace => "replace",
        Action::Run => "run",
    };
    format!("{action} {}: {} ({})", planned.address, planned.summary, planned.reason)
}

fn somewhere() -> Location {
    Location::new(&Source::new("stack.yaml", "stack"), 0, 5)
}

fn empty_stack(url: SystemUrl) -> Stack {
    let spec = "version: 1\nstack: test\nenvironment: dev\nsystem: { url: 'sqlite:///x.db', create_database: true }\n";
    let mut stack = stack::tests::stack_of(spec);
    stack.system.endpoint.to = Ok(url);
    stack
}

fn migration(stem: &str, sql: &str) -> Migration {
    let (version, name) = stem.split_once('_').unwrap();
    Migration {
        version: version.parse().unwrap(),
        stem: stem.into(),
        description: name.replace('_', " "),
        sql: sql.into(),
        checksum: sha2::Sha384::digest(sql).to_vec(),
        no_transaction: sql.starts_with("-- no-transaction"),
        tables: crate::sql::FileTables::default(),
        at: Location::new(&Source::new(format!("migrations/{stem}.sql"), sql), 0, 1),
    }
}

fn seed(table: &str, key: &str, mode: SeedMode, columns: &[&str], rows: &[&[&str]]) -> Seed {
    let cell = |text: &&str| if *text == "NULL" { None } else { some(text) };
    Seed {
        on: true,
        when: None,
        table: table.into(),
        key: vec![key.into()],
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: packed(
            columns.len(),
            &rows.iter().map(|row| row.iter().map(cell).collect()).collect::<Vec<_>>(),
        ),
        mode,
        lines: crate::stack::RowLines::default(),
        at: somewhere(),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn packed(width: usize, rows: &[Vec<Option<String>>]) -> Arc<Rows> {
    let mut packed = Rows::new(width);
    for row in rows {
        packed.push(row.iter().map(Option::as_deref));
    }
    Arc::new(packed)
}

fn edit(seed: &mut Seed, change: impl FnOnce(&mut Vec<Vec<Option<String>>>)) {
    let owned = |row: Vec<Option<&str>>| row.into_iter().map(|value| value.map(str::to_owned)).collect();
    let mut rows: Vec<_> = seed.rows.iter().map(owned).collect();
    change(&mut rows);
    seed.rows = packed(seed.columns.len(), &rows);
}

fn entry(row: &crate::sql::Row) -> Entry {
    let print = |column| Fingerprint::parse(row.text(column).unwrap()).unwrap();
    Entry {
        address: Address::from(row.text(0).unwrap()),
        place: row.text(1).unwrap().to_owned(),
        key: print(2),
        digest: print(3),
    }
}

fn secret(password: &str) -> Secret {
    Secret::new("${PASSWORD}", Ok(SecretString::from(password)), somewhere())
}

fn user(role: &str, hash: PasswordHash) -> User {
    User {
        email: Some("admin@example.com".into()),
        role: Some(role.into()),
        active: true,
        password: secret("correct horse battery"),
        hash,
        password_version: None,
        columns: BTreeMap::new(),
        at: somewhere(),
    }
}
