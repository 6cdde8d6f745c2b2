//! One body of tests for every kind of store: embedded always, Chroma where the environment
//! variable `TRUEUP_TEST_CHROMA` has the URL of a server.

use std::collections::BTreeMap;

use super::worlds::{
    chroma_vector, desired, diff, identity, of_files, of_schema, schema, sqlite_vector, three_tables,
    with_collections,
};
use crate::journal::RunId;
use crate::sql::{SqliteMode, open_sqlite};
use crate::stack::{Collection, Stack, Vector};
use crate::vector::{Change, Client, Desired, Error, Observed, Seen, Task, observe};

/// Executes a change in the name of the bookkeeping and of a run.
async fn apply(change: &Change, client: &Client) -> Result<(), Error> {
    crate::vector::apply(change, client, identity(), &RunId::new()).await
}

/// A store to test, and a way to write into it behind the tool's back.
struct Store {
    vector: Vector,
    client: Client,
    /// Makes the names of collections unique on a server that tests share.
    prefix: String,
    foreign: Foreign,
}

enum Foreign {
    Sqlite(std::path::PathBuf, tempfile::TempDir),
    Chroma(reqwest::Client, String),
}

impl Store {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vector.db");
        Self::new(sqlite_vector(&path), Foreign::Sqlite(path, folder))
    }

    fn chroma() -> Option<Self> {
        let url = std::env::var("TRUEUP_TEST_CHROMA").ok()?;
        let vector = chroma_vector(&url);
        // As for the store's own client, which is made later.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database =
            format!("{}/api/v2/tenants/default_tenant/databases/default_database", url.trim_end_matches('/'));
        Some(Self::new(vector, Foreign::Chroma(reqwest::Client::new(), database)))
    }

    fn all() -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::chroma()).collect()
    }

    fn new(vector: Vector, foreign: Foreign) -> Self {
        let client = Client::new(&vector).unwrap();
        Self { vector, client, prefix: format!("t{}-", uuid::Uuid::now_v7().simple()), foreign }
    }

    fn name(&self, collection: &str) -> String {
        format!("{}{collection}", self.prefix)
    }

    /// A stack with one collection, named `ddl` here.
    fn stack(&self, collection: Collection) -> Stack {
        with_collections(self.vector.clone(), [(self.name("ddl").as_str(), collection)])
    }

    /// What is there, of this test's collections.
    async fn seen(&self) -> Seen {
        match observe(&self.client).await {
            Observed::Unreachable { message } => panic!("{message}"),
            Observed::Reachable(mut seen) => {
                seen.collections.retain(|name, _| name.starts_with(&self.prefix));
                seen
            }
        }
    }

    /// Plans and applies until nothing is left; gives the summaries of what was done.
    async fn converge(&self, desired: &Desired) -> Vec<String> {
        let planned = diff(desired, &self.seen().await);
        assert!(planned.faults.is_empty() && planned.blocked.is_empty(), "{planned:?}");
        for planned in &planned.changes {
            apply(&planned.change, &self.client).await.unwrap();
        }
        let again = diff(desired, &self.seen().await);
        assert!(again.changes.is_empty(), "{again:?}");
        planned.changes.into_iter().map(|planned| planned.summary).collect()
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let Foreign::Sqlite(path, _) = &self.foreign else { panic!("not SQLite") };
        let database = open_sqlite(path, SqliteMode::ReadWrite).await.unwrap();
        let rows = database.query(sql, &[]).await.unwrap();
        database.close().await;
        rows.into_iter().map(crate::sql::Row::into_values).collect()
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let Foreign::Chroma(http, database) = &self.foreign else { panic!("not Chroma") };
        let response = http.post(format!("{database}{path}")).json(body).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    async fn chroma_id(&self) -> String {
        let Foreign::Chroma(http, database) = &self.foreign else { panic!("not Chroma") };
        let url = format!("{database}/collections/{}", self.name("ddl"));
        let collection: serde_json::Value = http.get(url).send().await.unwrap().json().await.unwrap();
        collection["id"].as_str().unwrap().to_owned()
    }

    /// Writes a document by hand, with metadata of its own or none.
    async fn put_by_hand(&self, id: &str, metadata: Option<serde_json::Value>) {
        match &self.foreign {
            Foreign::Sqlite(..) => {
                let metadata = metadata.map_or("NULL".to_owned(), |metadata| format!("'{metadata}'"));
                self.sql(&format!(
                    "INSERT INTO vector_documents (collection, key, document, metadata) \
                     SELECT id, '{id}', 'by hand', {metadata} FROM vector_collections"
                ))
                .await;
            }
            Foreign::Chroma(..) => {
                let body = serde_json::json!({
                    "ids": [id], "documents": ["by hand"], "metadatas": [metadata], "embeddings": [vec![0.5; 64]],
                });
                let path = format!("/collections/{}/upsert", self.chroma_id().await);
                self.post(&path, &body).await;
            }
        }
    }

    /// Deletes a document by hand.
    async fn delete_by_hand(&self, id: &str) {
        match &self.foreign {
            Foreign::Sqlite(..) => {
                self.sql(&format!("DELETE FROM vector_documents WHERE key = '{id}'")).await;
            }
            Foreign::Chroma(..) => {
                let path = format!("/collections/{}/delete", self.chroma_id().await);
                self.post(&path, &serde_json::json!({ "ids": [id] })).await;
            }
        }
    }

    /// The metadata of a document.
    async fn metadata(&self, id: &str) -> serde_json::Value {
        match &self.foreign {
            Foreign::Sqlite(..) => {
                let rows =
                    self.sql(&format!("SELECT metadata FROM vector_documents WHERE key = '{id}'")).await;
                serde_json::from_str(rows[0][0].as_ref().unwrap()).unwrap()
            }
            Foreign::Chroma(..) => {
                let path = format!("/collections/{}/get", self.chroma_id().await);
                let body = serde_json::json!({ "ids": [id], "include": ["metadatas"] });
                self.post(&path, &body).await["metadatas"][0].clone()
            }
        }
    }
}

#[tokio::test]
async fn a_store_is_trained_incrementally_and_restored_from_what_it_says() {
    for store in Store::all() {
        let stack = store.stack(of_schema());
        let first = desired(&stack, &three_tables());
        let made = store.converge(&first).await;
        assert_eq!(made[1], "3 documents to write");
        assert_eq!(store.metadata("business/orders").await["table"], "orders");

        let changed = schema(&[("accounts", &["id", "name"]), ("orders", &["id", "total", "currency"])]);
        let second = desired(&stack, &changed);
        assert_eq!(store.converge(&second).await, ["1 document to write, 1 to delete"]);

        store.delete_by_hand("business/accounts").await;
        assert_eq!(store.converge(&second).await, ["1 document to write"]);
        assert_eq!(store.converge(&second).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn c06_foreign_documents_survive_training_and_taking_back() {
    for store in Store::all() {
        let trained = desired(&store.stack(of_schema()), &three_tables());
        store.converge(&trained).await;
        store.put_by_hand("note", Some(serde_json::json!({ "author": "me" }))).await;
        store.put_by_hand("bare", None).await;

        assert_eq!(store.converge(&trained).await, Vec::<String>::new());
        let gone = desired(&with_collections(store.vector.clone(), []), &three_tables());
        assert_eq!(store.converge(&gone).await, ["3 documents to delete"]);

        let seen = &store.seen().await.collections[&store.name("ddl")];
        assert_eq!((seen.foreign.len(), seen.owned.len()), (2, 0));
        assert_eq!(store.metadata("note").await, serde_json::json!({ "author": "me" }));
    }
}

#[tokio::test]
async fn a_document_that_became_foreign_after_the_plan_is_neither_written_over_nor_deleted() {
    for store in Store::all() {
        let stack = store.stack(of_files(&[("a.md", "one"), ("b.md", "two")]));
        store.converge(&desired(&stack, &BTreeMap::new())).await;
        let wanted = desired(&store.stack(of_files(&[("a.md", "changed")])), &BTreeMap::new());
        let planned = diff(&wanted, &store.seen().await).changes.remove(0);
        for id in ["a.md", "b.md"] {
            store.delete_by_hand(id).await;
            store.put_by_hand(id, Some(serde_json::json!({ "mine": "yes" }))).await;
        }

        let refused = apply(&planned.change, &store.client).await.unwrap_err();
        let Task::Documents { adopt, delete, .. } = planned.change.task.clone() else { panic!() };
        let task = Task::Documents { write: Vec::new(), adopt, delete };
        let only_delete = Change { task, ..planned.change };
        apply(&only_delete, &store.client).await.unwrap();

        assert!(matches!(&refused, Error::ForeignDocument { id, .. } if id == "a.md"), "{refused}");
        for id in ["a.md", "b.md"] {
            assert_eq!(store.metadata(id).await["mine"], "yes");
        }
    }
}

#[tokio::test]
async fn metadata_that_is_no_longer_said_is_gone_from_the_store() {
    for store in Store::all() {
        let long = ["A paragraph of prose.\n\n"; 200].concat();
        let parted = desired(&store.stack(of_files(&[("a.md", &long)])), &BTreeMap::new());
        store.converge(&parted).await;
        assert_eq!(store.metadata("a.md").await["part"], 1);

        let short = desired(&store.stack(of_files(&[("a.md", "Short.")])), &BTreeMap::new());
        assert_eq!(store.converge(&short).await, ["1 document to write, 2 to delete"]);

        assert!(store.metadata("a.md").await.get("part").is_none());
    }
}

#[tokio::test]
async fn a_collection_that_is_only_ours_is_deleted_when_it_is_taken_back() {
    for store in Store::all() {
        store.converge(&desired(&store.stack(of_schema()), &three_tables())).await;

        store.converge(&desired(&with_collections(store.vector.clone(), []), &three_tables())).await;

        assert!(store.seen().await.collections.is_empty());
    }
}

#[tokio::test]
async fn c08_what_a_killed_run_wrote_is_not_written_again_and_each_step_may_run_twice() {
    for store in Store::all() {
        let tables: Vec<String> = (0..2_500).map(|number| format!("t{number:04}")).collect();
        let tables: Vec<(&str, &[&str])> =
            tables.iter().map(|name| (name.as_str(), ["id"].as_slice())).collect();
        let wanted = desired(&store.stack(of_schema()), &schema(&tables));
        let planned = diff(&wanted, &store.seen().await);
        let whole = planned.changes[1].change.clone();
        let Task::Documents { write, adopt, delete } = whole.task.clone() else { panic!() };
        let task = Task::Documents { write: write[..1_000].to_vec(), adopt, delete };
        let killed = Change { task, ..whole };

        for change in [&planned.changes[0].change, &planned.changes[0].change, &killed, &killed] {
            apply(change, &store.client).await.unwrap();
        }

        assert_eq!(store.converge(&wanted).await, ["1500 documents to write"]);
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_an_empty_store_and_is_not_made_by_looking() {
    let store = Store::sqlite();
    let Foreign::Sqlite(path, folder) = &store.foreign else { panic!() };

    assert_eq!(store.seen().await.collections, BTreeMap::new());
    assert!(!path.exists());
    store.converge(&desired(&store.stack(of_schema()), &three_tables())).await;
    assert!(path.exists());
    let seen = store.seen().await;
    assert!(seen.backend.version.unwrap().starts_with("sqlite-vec v0.1.9, SQLite 3."));

    let nowhere = sqlite_vector(&folder.path().join("nowhere/vector.db"));
    let Observed::Unreachable { message } = observe(&Client::new(&nowhere).unwrap()).await else { panic!() };
    assert!(message.contains("nowhere of the vector store does not exist"), "{message}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_a_failed_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vector.db");
    std::fs::write(&path, "not a database, but long enough to be read as a header".repeat(20)).unwrap();

    let seen = observe(&Client::new(&sqlite_vector(&path)).unwrap()).await;

    let Observed::Unreachable { message } = seen else { panic!("{seen:?}") };
    assert!(message.contains("not a database"), "{message}");
}

#[tokio::test]
async fn a_document_of_ours_without_its_vector_is_written_again() {
    let store = Store::sqlite();
    let wanted = desired(&store.stack(of_schema()), &three_tables());
    store.converge(&wanted).await;
    store.sql("DELETE FROM vector_embeddings_1 WHERE rowid = 2").await;

    assert_eq!(store.converge(&wanted).await, ["1 document to write"]);
    store.sql("DROP TABLE vector_embeddings_1").await;
    assert_eq!(store.converge(&wanted).await, ["3 documents to write"]);
}

#[tokio::test]
async fn foreign_rows_with_metadata_that_is_no_json_survive() {
    let store = Store::sqlite();
    let wanted = desired(&store.stack(of_schema()), &three_tables());
    store.converge(&wanted).await;
    store.sql("INSERT INTO vector_documents (collection, key, metadata) VALUES (1, 'odd', 'no json')").await;

    assert_eq!(store.converge(&wanted).await, Vec::<String>::new());
    assert_eq!(store.seen().await.collections[&store.name("ddl")].foreign.len(), 1);
}

#[tokio::test]
async fn an_application_finds_the_nearest_documents_with_plain_sql() {
    let store = Store::sqlite();
    let files = [("revenue.md", "Revenue is the total of amounts."), ("people.md", "Employees and offices.")];
    let wanted = desired(&store.stack(of_files(&files)), &BTreeMap::new());
    store.converge(&wanted).await;
    let question = wanted.embedder.embed(&["total revenue"]).unwrap().remove(0);
    let bytes: Vec<u8> = question.iter().flat_map(|number| number.to_le_bytes()).collect();

    let found = store
        .sql(&format!(
            "SELECT d.key FROM vector_embeddings_1 e JOIN vector_documents d ON d.id = e.rowid \
             WHERE e.embedding MATCH x'{}' AND k = 1 ORDER BY e.distance",
            crate::digest::hex(&bytes)
        ))
        .await;

    assert_eq!(found, [[Some("revenue.md".to_owned())]]);
}

#[tokio::test]
async fn a_batch_that_was_killed_in_the_middle_is_rolled_back_by_the_next_look() {
    let store = Store::sqlite();
    let wanted = desired(&store.stack(of_schema()), &three_tables());
    store.converge(&wanted).await;
    let Foreign::Sqlite(path, folder) = &store.foreign else { panic!() };
    let database = open_sqlite(path, SqliteMode::ReadWrite).await.unwrap();
    // A page cache of nothing makes the journal and half of the change reach the disk early.
    database.query("PRAGMA cache_size = 1", &[]).await.unwrap();
    let mut open = database.begin().await.unwrap();
    open.execute("UPDATE vector_documents SET document = hex(zeroblob(100000)), metadata = NULL", &[])
        .await
        .unwrap();
    let killed = folder.path().join("killed.db");
    std::fs::copy(path, &killed).unwrap();
    std::fs::copy(path.with_extension("db-journal"), killed.with_extension("db-journal")).unwrap();
    drop(open);
    database.close().await;

    let seen = observe(&Client::new(&sqlite_vector(&killed)).unwrap()).await;

    let Observed::Reachable(seen) = seen else { panic!("{seen:?}") };
    assert!(diff(&wanted, &seen).changes.is_empty());
}

#[tokio::test]
async fn a_missing_database_of_chroma_is_a_failed_check() {
    let Some(mut store) = Store::chroma() else { return };
    store.vector.database = "nowhere".to_owned();

    let seen = observe(&Client::new(&store.vector).unwrap()).await;

    let Observed::Unreachable { message } = seen else { panic!("{seen:?}") };
    assert!(message.contains("has no database `nowhere` of tenant `default_tenant`; make it"), "{message}");
}
