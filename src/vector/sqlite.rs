//! A vector store in one SQLite file. The vectors are in virtual tables of sqlite-vec, so that an
//! application can read it with any SQLite and that extension:
//!
//! - `vector_collections`: `id`, `name`, `dimension`, `metric`, `metadata` (a JSON object).
//! - `vector_documents`: `id`, `collection` (an id of the table above), `key` (the document's own
//!   id,
//!   unique in its collection), `document` (its text), `metadata` (a JSON object).
//! - `vector_embeddings_N` for the collection with the id N: `rowid` (an id of `vector_documents`)
//!   and `embedding`, little-endian 32-bit floats, compared by cosine distance.
//!
//! The nearest five: `SELECT d.key, d.document, e.distance FROM vector_embeddings_1 e JOIN
//! vector_documents d ON d.id = e.rowid WHERE e.embedding MATCH :vector AND k = 5 ORDER BY
//! e.distance`. Other programs may add rows: rows without this stack's mark are never changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;

use serde_json::json;

use super::observed::{Backend, BackendKind, Marks, ObservedCollection, Seen, owner};
use super::owner::Owner;
use super::training::{Training, Writer};
use super::{Document, Error, METRIC, key};
use crate::embed::Embedder;
use crate::progress;
use crate::sql::{
    self, Database, Interrupt, Row, SqliteMode, Transaction, Value, identifier, open_sqlite_to_read,
    open_sqlite_with,
};

/// The number of documents per query of an observation.
const PAGE: i64 = 5_000;

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS vector_collections (
         id INTEGER PRIMARY KEY,
         name TEXT NOT NULL UNIQUE,
         dimension INTEGER NOT NULL CHECK (dimension > 0),
         metric TEXT NOT NULL,
         metadata TEXT
     )",
    "CREATE TABLE IF NOT EXISTS vector_documents (
         id INTEGER PRIMARY KEY,
         collection INTEGER NOT NULL REFERENCES vector_collections (id),
         key TEXT NOT NULL,
         document TEXT,
         metadata TEXT,
         UNIQUE (collection, key)
     )",
];

/// Why a write failed.
enum Failure {
    Sql(sql::Error),
    Other(Error),
}

impl From<sql::Error> for Failure {
    fn from(error: sql::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

type Written<T> = Result<T, Failure>;

/// A store, which is one file.
#[derive(Debug, Clone)]
pub(super) struct SqliteStore {
    path: PathBuf,
    /// Cancels the running statement.
    pub(super) interrupt: Interrupt,
}

/// Registers sqlite-vec for every SQLite connection that this process opens from now on.
fn register_sqlite_vec() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        type Init = unsafe extern "C" fn(
            *mut libsqlite3_sys::sqlite3,
            *mut *mut std::ffi::c_char,
            *const libsqlite3_sys::sqlite3_api_routines,
        ) -> std::ffi::c_int;
        // SAFETY: `sqlite3_vec_init` is an entry point of an SQLite extension, which the crate
        // declares without its arguments; it has this signature in sqlite-vec.h, is linked
        // statically against the same SQLite (SQLITE_CORE), and lives as long as the process.
        #[allow(unsafe_code, reason = "SQLite takes an extension by the address of its entry point only")]
        unsafe {
            let init: Init = std::mem::transmute(sqlite_vec::sqlite3_vec_init as *const ());
            libsqlite3_sys::sqlite3_auto_extension(Some(init));
        }
    });
}

impl SqliteStore {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, interrupt: Interrupt::default() }
    }

    pub(super) async fn observe(&self) -> Result<Seen, Error> {
        self.folder_exists()?;
        let backend = |version| Backend { kind: BackendKind::Sqlite, version };
        if !self.path.exists() {
            return Ok(Seen { backend: backend(None), collections: BTreeMap::new() });
        }
        let database = self.open_to_read().await.map_err(|error| self.wrong(error))?;
        let seen = read(&database).await.map_err(|error| self.wrong(error));
        database.close().await;
        let (version, collections) = seen?;
        Ok(Seen { backend: backend(Some(version)), collections })
    }

    pub(super) async fn create_collection(
        &self,
        name: &str,
        embedder: &Embedder,
        writer: &Writer,
    ) -> Result<(), Error> {
        self.of_owner(name, writer, async |database| {
            create_collection(database, name, embedder, writer).await
        })
        .await
    }

    pub(super) async fn adopt_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        self.of_owner(name, writer, async |database| adopt_collection(database, name, writer).await).await
    }

    pub(super) async fn drop_empty_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        if !self.path.exists() {
            return Ok(());
        }
        self.write(async |database| drop_empty_collection(database, name, writer).await).await
    }

    /// Changes a collection that must have a mark of the writer's own.
    async fn of_owner(
        &self,
        name: &str,
        writer: &Writer,
        work: impl AsyncFnOnce(&Database) -> Written<Option<Owner>>,
    ) -> Result<(), Error> {
        let owner = self.write(work).await?;
        if writer.owns(owner.as_ref()) {
            Ok(())
        } else {
            Err(Error::ForeignCollection { collection: name.to_owned() })
        }
    }

    pub(super) async fn train(&self, training: Training<'_>) -> Result<(), Error> {
        let Training { collection: name, embedder: _, writer, write, adopt, delete } = training;
        self.write(async |database| {
            let sql = "SELECT id, dimension FROM vector_collections WHERE name = $1";
            let rows = database.query(sql, &[name.into()]).await?;
            let Some(row) = rows.first() else {
                return Err(Error::NoCollection { collection: name.to_owned() }.into());
            };
            let (id, dimension) = integers(row)?;
            let batch_size = training.batch(usize::MAX);
            let mut written = 0;
            for batch in write.chunks(batch_size) {
                let vectors = training.embed(batch).await?;
                let foreign = write_batch(database, id, dimension, writer, batch, &vectors).await?;
                if let Some(id) = foreign {
                    return Err(Error::ForeignDocument { collection: name.to_owned(), id }.into());
                }
                written += batch.len();
                progress::report(written, write.len(), "documents written");
            }
            for keys in adopt.chunks(batch_size) {
                adopt_batch(database, id, writer, keys).await?;
            }
            for keys in delete.chunks(batch_size) {
                delete_batch(database, id, writer, keys).await?;
            }
            Ok(())
        })
        .await
    }

    /// The texts of existing documents, by id.
    pub(super) async fn texts(&self, name: &str, ids: &[&String]) -> Result<BTreeMap<String, String>, Error> {
        let sql = "SELECT d.key, d.document FROM vector_documents d \
                   JOIN vector_collections c ON c.id = d.collection \
                   WHERE c.name = $1 AND d.key IN (SELECT value FROM json_each($2))";
        let reading = async {
            let database = self.open_to_read().await?;
            let keys = Value::Texts(ids.iter().map(|id| Some((*id).clone())).collect());
            let rows = database.query(sql, &[name.into(), keys]).await;
            database.close().await;
            rows?.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
        };
        let texts: sql::Result<_> = reading.await;
        texts.map_err(|error| self.wrong(error))
    }

    async fn write<T>(&self, work: impl AsyncFnOnce(&Database) -> Written<T>) -> Result<T, Error> {
        let database = self.open_to_write().await?;
        let result = work(&database).await;
        database.close().await;
        result.map_err(|error| self.wrong(error))
    }

    /// Opens the file, and creates it and its tables if they are missing.
    async fn open_to_write(&self) -> Result<Database, Error> {
        self.folder_exists()?;
        register_sqlite_vec();
        let open = async {
            let database = open_sqlite_with(&self.path, SqliteMode::Create, Some(&self.interrupt)).await?;
            for table in TABLES {
                database.execute(table, &[]).await?;
            }
            Ok(database)
        };
        open.await.map_err(|error: sql::Error| self.wrong(error))
    }

    async fn open_to_read(&self) -> sql::Result<Database> {
        register_sqlite_vec();
        open_sqlite_to_read(&self.path, SqliteMode::ReadOnly).await
    }

    fn folder_exists(&self) -> Result<(), Error> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if folder.is_dir() { Ok(()) } else { Err(Error::NoFolder { path: folder.to_owned() }) }
    }

    fn wrong(&self, failure: impl Into<Failure>) -> Error {
        match failure.into() {
            Failure::Sql(source) => Error::Sqlite { path: self.path.clone(), source },
            Failure::Other(error) => error,
        }
    }
}

/// Begins a transaction, then checks the lock of the run: another run may have taken it while this one
/// waited for the database.
async fn begin(database: &Database, writer: &Writer) -> Written<Transaction> {
    let transaction = database.begin().await?;
    writer.fence.check().await.map_err(Error::from)?;
    Ok(transaction)
}

/// The table with the vectors of a collection.
fn embeddings(collection: i64) -> String {
    format!("vector_embeddings_{collection}")
}

fn integers(row: &Row) -> sql::Result<(i64, i64)> {
    Ok((row.integer(0)?, row.integer(1)?))
}

async fn read(database: &Database) -> sql::Result<(String, BTreeMap<String, ObservedCollection>)> {
    let versions = database.query("SELECT vec_version() || ', SQLite ' || sqlite_version()", &[]).await?;
    let version = versions.first().and_then(|row| row.get(0)).unwrap_or_default();
    let version = format!("sqlite-vec {version}");
    let tables = database.query("SELECT name FROM sqlite_master WHERE type = 'table'", &[]).await?;
    let has = |name: &str| tables.iter().any(|row| row.get(0) == Some(name));
    if !(has("vector_collections") && has("vector_documents")) {
        return Ok((version, BTreeMap::new()));
    }

    let collections = format!(
        "SELECT c.id, c.dimension, c.name, {}, {}, {}, {}, c.metric FROM vector_collections c ORDER BY c.name",
        mark("c", key::STACK),
        mark("c", key::ENVIRONMENT),
        mark("c", key::OWNER),
        mark("c", key::EMBEDDER),
    );
    let mut seen = BTreeMap::new();
    for row in database.query(&collections, &[]).await? {
        let (id, dimension) = integers(&row)?;
        let mut collection = ObservedCollection {
            made_by: owner_of(&row, 3),
            embedder: row.get(6).map(str::to_owned),
            dimension: usize::try_from(dimension).ok(),
            space: row.get(7).map(str::to_owned),
            ..ObservedCollection::default()
        };
        // A document without a vector cannot be found by a search, so it counts as missing if it is
        // ours.
        let name = embeddings(id);
        let has_vector = if has(&name) {
            format!("d.id IN (SELECT rowid FROM {})", identifier(&name))
        } else {
            "false".to_owned()
        };
        let documents = format!(
            "SELECT d.id, {has_vector}, d.key, {}, {}, {}, {}, {}, {}, {} FROM vector_documents d \
             WHERE d.collection = $1 AND d.id > $2 ORDER BY d.id LIMIT {PAGE}",
            mark("d", key::STACK),
            mark("d", key::ENVIRONMENT),
            mark("d", key::OWNER),
            mark("d", key::FINGERPRINT),
            mark("d", key::SOURCE),
            mark("d", key::EMBEDDER),
            mark("d", key::RUN),
        );
        let mut after = i64::MIN;
        loop {
            let page = database.query(&documents, &[id.into(), after.into()]).await?;
            for row in &page {
                after = row.integer(0)?;
                let has_vector = row.bool(1)?;
                let text = |column| row.get(column).map(str::to_owned);
                let marks = Marks {
                    owner: owner_of(row, 3),
                    fingerprint: text(6),
                    source: text(7),
                    embedder: text(8),
                    run: text(9),
                };
                // Listed without a fingerprint, so that it is written again or deleted.
                let fingerprint = marks.fingerprint.filter(|_| has_vector);
                collection.note(row.text(2)?.to_owned(), Marks { fingerprint, ..marks });
            }
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        seen.insert(row.text(2)?.to_owned(), collection);
    }
    Ok((version, seen))
}

/// Extracts a key of the metadata, which another application may have filled with invalid JSON.
fn mark(of: &str, key: &str) -> String {
    format!("CASE WHEN json_valid({of}.metadata) THEN json_extract({of}.metadata, '$.{key}') END")
}

/// Parses the owner from three columns: stack, environment and bookkeeping.
fn owner_of(row: &Row, first: usize) -> Option<Owner> {
    let text = |column| row.get(column).map(str::to_owned);
    owner(text(first), text(first + 1), text(first + 2))
}

/// Selects these three columns of a table.
fn owner_columns(of: &str) -> String {
    [key::STACK, key::ENVIRONMENT, key::OWNER].map(|key| mark(of, key)).join(", ")
}

/// Creates a collection unless it exists, and returns the owner of the existing one.
async fn create_collection(
    database: &Database,
    name: &str,
    embedder: &Embedder,
    writer: &Writer,
) -> Written<Option<Owner>> {
    let mut transaction = begin(database, writer).await?;
    let dimension = i64::try_from(embedder.dimensions()).unwrap_or(i64::MAX);
    let mut metadata = writer.marks();
    metadata.insert(key::EMBEDDER.to_owned(), embedder.identity().into());
    transaction
        .execute(
            "INSERT INTO vector_collections (name, dimension, metric, metadata) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO NOTHING",
            &[name.into(), dimension.into(), METRIC.into(), json!(metadata).to_string().into()],
        )
        .await?;
    let (found, owner) = collection_of(&mut transaction, name).await?;
    if let Some((id, dimension)) = found.filter(|_| writer.owns(owner.as_ref())) {
        ensure_embeddings(&mut transaction, id, dimension).await?;
    }
    transaction.commit().await?;
    Ok(owner)
}

/// Renews the mark of a collection if it is the writer's own, and returns the previous owner.
async fn adopt_collection(database: &Database, name: &str, writer: &Writer) -> Written<Option<Owner>> {
    let mut transaction = begin(database, writer).await?;
    let (found, owner) = collection_of(&mut transaction, name).await?;
    if let Some((id, _)) = found.filter(|_| writer.owns(owner.as_ref())) {
        let sql = "UPDATE vector_collections SET metadata = json_patch(metadata, $2) WHERE id = $1";
        transaction.execute(sql, &[id.into(), json!(writer.marks()).to_string().into()]).await?;
    }
    transaction.commit().await?;
    Ok(owner)
}

/// The id, vector length and owner of a collection.
async fn collection_of(
    transaction: &mut Transaction,
    name: &str,
) -> sql::Result<(Option<(i64, i64)>, Option<Owner>)> {
    let sql = format!(
        "SELECT c.id, c.dimension, {} FROM vector_collections c WHERE c.name = $1",
        owner_columns("c")
    );
    let rows = transaction.query(&sql, &[name.into()]).await?;
    let Some(row) = rows.first() else { return Ok((None, None)) };
    Ok((Some(integers(row)?), owner_of(row, 2)))
}

async fn ensure_embeddings(
    transaction: &mut Transaction,
    collection: i64,
    dimension: i64,
) -> sql::Result<()> {
    let table = identifier(&embeddings(collection));
    let sql = format!(
        "CREATE VIRTUAL TABLE IF NOT EXISTS {table} USING vec0(embedding float[{dimension}] distance_metric={METRIC})"
    );
    transaction.execute(&sql, &[]).await.map(|_| ())
}

async fn drop_empty_collection(database: &Database, name: &str, writer: &Writer) -> Written<()> {
    let mut transaction = begin(database, writer).await?;
    let (found, owner) = collection_of(&mut transaction, name).await?;
    let Some((id, _)) = found.filter(|_| writer.owns(owner.as_ref())) else { return Ok(()) };
    let sql = "DELETE FROM vector_collections WHERE id = $1 \
               AND NOT EXISTS (SELECT 1 FROM vector_documents d WHERE d.collection = $1) RETURNING id";
    if !transaction.query(sql, &[id.into()]).await?.is_empty() {
        let table = identifier(&embeddings(id));
        transaction.execute(&format!("DROP TABLE IF EXISTS {table}"), &[]).await?;
    }
    Ok(transaction.commit().await?)
}

/// The id, key and owner of each existing document with one of these keys.
async fn documents_of(
    transaction: &mut Transaction,
    collection: i64,
    keys: impl Iterator<Item = &String>,
) -> sql::Result<Vec<(i64, String, Option<Owner>)>> {
    let sql = format!(
        "SELECT d.id, d.key, {} FROM vector_documents d WHERE d.collection = $1 \
         AND d.key IN (SELECT value FROM json_each($2))",
        owner_columns("d")
    );
    let keys = Value::Texts(keys.cloned().map(Some).collect());
    let rows = transaction.query(&sql, &[collection.into(), keys]).await?;
    rows.iter().map(|row| Ok((row.integer(0)?, row.text(1)?.to_owned(), owner_of(row, 2)))).collect()
}

/// Writes documents in one transaction. Writes none and returns the id where one belongs to another
/// owner.
async fn write_batch(
    database: &Database,
    collection: i64,
    dimension: i64,
    writer: &Writer,
    batch: &[Document],
    vectors: &[Vec<f32>],
) -> Written<Option<String>> {
    let mut transaction = begin(database, writer).await?;
    ensure_embeddings(&mut transaction, collection, dimension).await?;
    let ids = batch.iter().map(|document| &document.id);
    let there = documents_of(&mut transaction, collection, ids).await?;
    if let Some((_, id, _)) = there.into_iter().find(|(_, _, owner)| !writer.owns(owner.as_ref())) {
        return Ok(Some(id));
    }
    let table = identifier(&embeddings(collection));
    let forget = format!("DELETE FROM {table} WHERE rowid = $1");
    let embed = format!("INSERT INTO {table} (rowid, embedding) VALUES ($1, $2)");
    for (document, vector) in batch.iter().zip(vectors) {
        let rows = transaction
            .query(
                "INSERT INTO vector_documents (collection, key, document, metadata) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (collection, key) DO UPDATE \
                 SET document = excluded.document, metadata = excluded.metadata RETURNING id",
                &[
                    collection.into(),
                    document.id.as_str().into(),
                    document.text.as_str().into(),
                    json!(writer.metadata(document)).to_string().into(),
                ],
            )
            .await?;
        let Some(row) = rows.first() else { continue };
        let id = row.integer(0)?;
        let bytes = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        // Virtual tables of sqlite-vec have no upsert.
        transaction.execute(&forget, &[id.into()]).await?;
        transaction.execute(&embed, &[id.into(), Value::Bytes(bytes)]).await?;
    }
    transaction.commit().await?;
    Ok(None)
}

/// Renews the marks of documents that have a mark of the writer's own, in one transaction.
async fn adopt_batch(database: &Database, collection: i64, writer: &Writer, keys: &[String]) -> Written<()> {
    let mut transaction = begin(database, writer).await?;
    let marks = json!(writer.marks()).to_string();
    for (id, _, owner) in documents_of(&mut transaction, collection, keys.iter()).await? {
        if writer.owns(owner.as_ref()) {
            let sql = "UPDATE vector_documents SET metadata = json_patch(metadata, $2) WHERE id = $1";
            transaction.execute(sql, &[id.into(), marks.as_str().into()]).await?;
        }
    }
    Ok(transaction.commit().await?)
}

/// Deletes the documents that have a mark of the writer's own, in one transaction.
async fn delete_batch(database: &Database, collection: i64, writer: &Writer, keys: &[String]) -> Written<()> {
    let mut transaction = begin(database, writer).await?;
    let there = documents_of(&mut transaction, collection, keys.iter()).await?;
    let table = embeddings(collection);
    let has_vectors = !transaction
        .query("SELECT 1 FROM sqlite_master WHERE name = $1", &[table.as_str().into()])
        .await?
        .is_empty();
    let forget = format!("DELETE FROM {} WHERE rowid = $1", identifier(&table));
    for (id, _, owner) in there {
        if writer.owns(owner.as_ref()) {
            transaction.execute("DELETE FROM vector_documents WHERE id = $1", &[id.into()]).await?;
            if has_vectors {
                transaction.execute(&forget, &[id.into()]).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}
