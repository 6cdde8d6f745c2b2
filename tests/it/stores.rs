//! The two kinds of system database and of vector store, so that a test can run on both, and access
//! to their content through other clients.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::servers::{self, Chroma, Postgres, Wire};
use crate::world::World;

/// A system database for `${DATABASE_URL}`.
pub(crate) enum Database {
    Sqlite,
    Postgres(Postgres),
}

impl Database {
    pub(crate) fn both() -> [Self; 2] {
        [Self::Sqlite, Self::Postgres(Postgres::start())]
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite => "sqlite://system.db".to_owned(),
            Self::Postgres(postgres) => postgres.url(),
        }
    }

    /// Runs SQL with the database's own client; columns are separated by `|`.
    pub(crate) fn query(&self, world: &World, sql: &str) -> String {
        match self {
            Self::Sqlite => world.sqlite("system.db", sql),
            Self::Postgres(postgres) => postgres.psql(sql),
        }
    }
}

/// A vector store whose writes are recorded.
pub(crate) enum Vectors {
    Sqlite,
    Chroma { chroma: Chroma, wire: Wire },
}

/// A document as the store returns it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) text: String,
    pub(crate) metadata: Value,
}

impl Vectors {
    pub(crate) fn both() -> [Self; 2] {
        [Self::Sqlite, Self::chroma()]
    }

    pub(crate) fn chroma() -> Self {
        let chroma = Chroma::start();
        let port = url::Url::parse(&chroma.url()).unwrap().port().unwrap();
        Self::Chroma { chroma, wire: Wire::before(port) }
    }

    /// Returns the lines of `vector:` with its address.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite => "  url: sqlite://vector.db\n".to_owned(),
            Self::Chroma { chroma, wire } => format!(
                "  url: http://127.0.0.1:{}\n  tenant: {}\n  database: {}\n",
                wire.port(),
                chroma.tenant(),
                chroma.database()
            ),
        }
    }

    /// All documents of a collection by id; `None` when there is no such collection.
    pub(crate) fn read(&self, world: &World, collection: &str) -> Option<BTreeMap<String, Stored>> {
        match self {
            Self::Sqlite => {
                if !world.path("vector.db").exists() || self.number(world, collection).is_empty() {
                    return None;
                }
                let sql = format!(
                    "SELECT json_array(d.key, d.document, json(d.metadata)) FROM vector_documents d \
                     JOIN vector_collections c ON c.id = d.collection WHERE c.name = '{collection}'"
                );
                let rows = world.sqlite("vector.db", &sql);
                let rows =
                    rows.lines().map(|row| serde_json::from_str::<(String, String, Value)>(row).unwrap());
                Some(rows.map(|(id, text, metadata)| (id, Stored { text, metadata })).collect())
            }
            Self::Chroma { chroma, .. } => {
                let path = self.path(collection)?;
                let body = json!({ "limit": 1000, "include": ["documents", "metadatas"] }).to_string();
                let found = chroma.request("POST", &format!("{path}/get"), Some(&body));
                let list = |key: &str| found[key].as_array().unwrap().clone();
                let documents = list("ids").into_iter().zip(list("documents")).zip(list("metadatas"));
                let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
                Some(
                    documents
                        .map(|((id, document), metadata)| {
                            (text(id), Stored { text: text(document), metadata })
                        })
                        .collect(),
                )
            }
        }
    }

    /// Returns the sorted ids of a collection.
    pub(crate) fn ids(&self, world: &World, collection: &str) -> Vec<String> {
        self.read(world, collection).unwrap_or_default().into_keys().collect()
    }

    /// Deletes documents without trueup.
    pub(crate) fn delete(&self, world: &World, collection: &str, ids: &[&str]) {
        match self {
            Self::Sqlite => {
                let (number, ids) = (self.number(world, collection), ids.join("', '"));
                let sql =
                    format!("DELETE FROM vector_documents WHERE collection = {number} AND key IN ('{ids}')");
                world.sqlite("vector.db", &sql);
            }
            Self::Chroma { chroma, .. } => {
                let path = format!("{}/delete", self.path(collection).unwrap());
                chroma.request("POST", &path, Some(&json!({ "ids": ids }).to_string()));
            }
        }
    }

    /// Adds a document as another application would.
    pub(crate) fn add_foreign(&self, world: &World, collection: &str, id: &str) {
        match self {
            Self::Sqlite => {
                let number = self.number(world, collection);
                let sql = format!(
                    "INSERT INTO vector_documents (collection, key, document, metadata) \
                     VALUES ({number}, '{id}', 'written by hand', '{{\"author\": \"someone\"}}')"
                );
                world.sqlite("vector.db", &sql);
            }
            Self::Chroma { chroma, .. } => {
                let path = format!("{}/upsert", self.path(collection).unwrap());
                let body = json!({
                    "ids": [id], "documents": ["written by hand"],
                    "metadatas": [{ "author": "someone" }], "embeddings": [vec![0.5; 384]],
                });
                chroma.request("POST", &path, Some(&body.to_string()));
            }
        }
    }

    /// Starts to record writes.
    pub(crate) fn watch(&self, world: &World) {
        match self {
            Self::Sqlite => {
                world.sqlite(
                    "vector.db",
                    "CREATE TABLE IF NOT EXISTS watched (what TEXT, key TEXT);
                     DELETE FROM watched;
                     CREATE TRIGGER IF NOT EXISTS watch_insert AFTER INSERT ON vector_documents
                       BEGIN INSERT INTO watched VALUES ('write', NEW.key); END;
                     CREATE TRIGGER IF NOT EXISTS watch_update AFTER UPDATE ON vector_documents
                       BEGIN INSERT INTO watched VALUES ('write', NEW.key); END;
                     CREATE TRIGGER IF NOT EXISTS watch_delete AFTER DELETE ON vector_documents
                       BEGIN INSERT INTO watched VALUES ('delete', OLD.key); END;",
                );
            }
            Self::Chroma { wire, .. } => wire.forget(),
        }
    }

    /// Returns the ids written and deleted since the last [`Vectors::watch`], in order.
    pub(crate) fn watched(&self, world: &World) -> (Vec<String>, Vec<String>) {
        let both = |find: &dyn Fn(&str) -> Vec<String>| {
            let (mut written, mut deleted) = (find("write"), find("delete"));
            written.sort();
            deleted.sort();
            (written, deleted)
        };
        match self {
            Self::Sqlite => both(&|what| {
                let keys =
                    world.sqlite("vector.db", &format!("SELECT key FROM watched WHERE what = '{what}'"));
                keys.lines().map(str::to_owned).collect()
            }),
            Self::Chroma { wire, .. } => both(&|what| {
                let verbs: &[&str] = if what == "write" { &["upsert", "add", "update"] } else { &["delete"] };
                let requests = wire.requests().into_iter();
                let hits = requests
                    .filter(|(_, path, _)| verbs.iter().any(|verb| path.ends_with(&format!("/{verb}"))));
                let ids = hits.flat_map(|(_, _, body)| body["ids"].as_array().cloned().unwrap_or_default());
                ids.map(|id| id.as_str().unwrap().to_owned()).collect()
            }),
        }
    }

    fn number(&self, world: &World, collection: &str) -> String {
        world.sqlite("vector.db", &format!("SELECT id FROM vector_collections WHERE name = '{collection}'"))
    }

    /// Returns the path of a collection in Chroma's API.
    fn path(&self, collection: &str) -> Option<String> {
        let Self::Chroma { chroma, .. } = self else { return None };
        let collections = format!("{}/collections", chroma.database_path());
        let found = chroma.request("GET", &collections, None);
        let found = found.as_array().unwrap().iter().find(|found| found["name"] == collection)?;
        Some(format!("{collections}/{}", found["id"].as_str().unwrap()))
    }
}

/// Creates a small business database with `sqlite3`: four tables, one of them named after a person.
pub(crate) fn make_business(world: &World, name: &str) {
    let sql = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
               CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id));
               CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price NUMERIC);
               CREATE TABLE payments (id INTEGER PRIMARY KEY, order_id INTEGER, amount NUMERIC);
               INSERT INTO customers VALUES (1, 'Ottoline Quandary');
               INSERT INTO orders VALUES (10, 1);";
    servers::sqlite(&world.path(name), sql);
}

/// SQL for one account and three rows, in either dialect.
const MIGRATION: &str = "\
CREATE TABLE users (
    id text NOT NULL PRIMARY KEY, username text NOT NULL UNIQUE, email text,
    password_hash text NOT NULL, role text, is_active boolean NOT NULL
);
CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, name text NOT NULL);
";

/// A stack named `shop`: its header, its system database with an account and rows, and sections of
/// the test. The database's address comes from `${DATABASE_URL}`.
pub(crate) struct Shop {
    pub(crate) environment: &'static str,
    pub(crate) targets: bool,
    pub(crate) training: bool,
    /// Further lines under `system:`.
    pub(crate) system: String,
    /// Further sections.
    pub(crate) more: String,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            environment: "dev",
            targets: false,
            training: false,
            system: String::new(),
            more: String::new(),
        }
    }
}

impl Shop {
    /// Writes the spec and the files that it names.
    pub(crate) fn write(&self, world: &World, database: &Database) {
        world.file("migrations/0001_init.sql", MIGRATION);
        world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n");
        world.env("DATABASE_URL", database.url()).env("ADMIN_PASSWORD", "a long enough password");
        self.write_spec(world);
    }

    /// Writes the spec alone.
    pub(crate) fn write_spec(&self, world: &World) {
        let Self { environment, targets, training, system, more } = self;
        world.spec(&format!(
            "version: 1
stack: shop
environment: {environment}
flags: {{ seed_demo_data: true, enable_target_db: {targets}, auto_train_vector: {training} }}
system:
  url: ${{DATABASE_URL}}
  create_database: true
  migrations: migrations
  users:
    admin: {{ email: admin@example.com, role: admin, password: '${{ADMIN_PASSWORD}}' }}
  seeds:
    items: {{ when: seed_demo_data, table: items, key: [id], rows: items.csv }}
{system}{more}"
        ));
    }
}

/// `targets:` with the database of [`make_business`].
pub(crate) const BUSINESS: &str = "targets:\n  business: { url: 'sqlite://business.db' }\n";

/// `vector:` with one collection from the schema of `business`.
pub(crate) fn trained(vectors: &Vectors) -> String {
    format!(
        "{BUSINESS}vector:\n{}  embedder: {{ kind: hashing }}\n  collections:\n    ddl: {{ from: {{ schema: [business] }} }}\n",
        vectors.place()
    )
}

/// Returns the addresses of a plan's changes.
pub(crate) fn addresses(plan: &Value) -> Vec<String> {
    let changes = plan["changes"].as_array().unwrap().iter();
    changes.map(|change| change["address"].as_str().unwrap().to_owned()).collect()
}

/// Returns the entry of a plan's list with an address.
#[track_caller]
pub(crate) fn entry<'a>(plan: &'a Value, list: &str, address: &str) -> &'a Value {
    let entries = plan[list].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["address"] == address);
    found.unwrap_or_else(|| panic!("{address} is not in {list}: {plan:#}"))
}
