//! Chroma over version 2 of its HTTP API. Vectors are sent, the server embeds nothing. All calls are
//! idempotent and can be retried. Listings are limited, whatever the server returns.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth;
use super::budget::Budget;
use super::http::Http;
use super::observed::{Backend, BackendKind, Marks, ObservedCollection, Seen, owner};
use super::owner::Owner;
use super::training::{Training, Writer};
use super::{Error, METRIC, key};
use crate::embed::Embedder;
use crate::progress;
use crate::redact::redact;
use crate::stack::{self, RedactedUrl};

/// The number of documents or collections per response.
const PAGE: usize = 1_000;
/// The maximum number of collections in a database.
const MOST_COLLECTIONS: usize = 10_000;

#[derive(Debug, Clone)]
pub(super) struct Chroma {
    http: Http,
    tenant: String,
    database: String,
}

#[derive(Deserialize)]
struct Preflight {
    max_batch_size: usize,
}

#[derive(Deserialize)]
struct Collection {
    id: String,
    name: String,
    metadata: Metadata,
    dimension: Option<usize>,
    #[serde(default)]
    configuration_json: Value,
}

/// The metadata of a document or collection.
type Metadata = Option<BTreeMap<String, Value>>;

impl Collection {
    /// The distance metric.
    fn space(&self) -> Option<String> {
        let of = |index: &str| self.configuration_json.get(index)?.get("space")?.as_str().map(str::to_owned);
        of("hnsw").or_else(|| of("spann"))
    }

    /// The embedding function that Chroma's clients use for writes and queries. Without a recorded or named
    /// function, clients accept vectors as they are.
    fn embedding_function(&self) -> Option<String> {
        let function = self.configuration_json.get("embedding_function")?;
        function.get("name")?.as_str().map(str::to_owned)
    }
}

#[derive(Deserialize)]
struct Documents {
    ids: Vec<String>,
    metadatas: Option<Vec<Metadata>>,
}

#[derive(Deserialize)]
struct Texts {
    ids: Vec<String>,
    documents: Option<Vec<Option<String>>>,
}

/// What documents that are deleted in one request have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    owner: Owner,
    /// Whether they name the run that wrote them; marks of an older trueup do not.
    has_run: bool,
}

/// Documents with the same mark.
#[derive(Default)]
struct OwnDocuments {
    ids: Vec<String>,
    /// The runs that wrote them.
    runs: BTreeSet<String>,
}

/// The condition of a delete: the mark that was just read. A document that another run wrote since is kept,
/// even if the request was delayed.
fn unchanged(mark: &Mark, runs: &BTreeSet<String>) -> Value {
    let Mark { owner, has_run } = mark;
    let owned = match &owner.identity {
        Some(identity) => json!({ key::OWNER: identity }),
        None => json!({ key::STACK: owner.stack }),
    };
    if *has_run { json!({ "$and": [owned, { key::RUN: { "$in": runs } }] }) } else { owned }
}

impl Chroma {
    pub(super) fn new(url: &RedactedUrl, spec: &stack::Vector) -> Result<Self, Error> {
        let headers = auth::headers(url.expose().host_str(), spec)?;
        let http = Http::new(url, headers)?;
        let (tenant, database) = (spec.tenant.clone(), spec.database.clone());
        Ok(Self { http, tenant, database })
    }

    pub(super) async fn observe(&self) -> Result<Seen, Error> {
        self.greet().await?;
        let version: String = self.http.call(Method::GET, "/api/v2/version", None).await?;
        let version = redact(&version).into_owned();
        let mut collections = BTreeMap::new();
        let mut budget = Budget::default();
        for collection in self.collections().await? {
            let mut seen = ObservedCollection {
                made_by: owner_in(collection.metadata.as_ref()),
                embedder: text(collection.metadata.as_ref(), key::EMBEDDER),
                dimension: collection.dimension,
                space: collection.space(),
                embedding_function: collection.embedding_function(),
                ..ObservedCollection::default()
            };
            let Collection { id, name, .. } = collection;
            match self.note_documents(&id, &mut seen, &mut budget).await {
                Ok(()) => {
                    collections.insert(name, seen);
                }
                // Deleted by another client after the list was read.
                Err(Error::Server { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Seen { backend: Backend { kind: BackendKind::Chroma, version: Some(version) }, collections })
    }

    pub(super) async fn create_collection(
        &self,
        name: &str,
        embedder: &Embedder,
        writer: &Writer,
    ) -> Result<(), Error> {
        let mut metadata = writer.marks();
        metadata.insert(key::EMBEDDER.to_owned(), Value::from(embedder.identity()));
        // No embedding function: no client has one that generates these vectors. Without one, Chroma's
        // clients open the collection and accept vectors as they are.
        let body = json!({
            "name": name,
            "get_or_create": false,
            "metadata": metadata,
            "configuration": { "hnsw": { "space": METRIC } },
        });
        match self.http.write(&writer.fence, Method::POST, &self.path("/collections"), Some(&body)).await {
            Ok(()) => Ok(()),
            // Created by a killed run, by the first of two attempts, or by another client.
            Err(Error::Server { status: 409, .. }) => self.own_collection(name, writer).await.map(|_| ()),
            Err(error) => Err(error),
        }
    }

    /// Renews the mark of a collection. Chroma replaces all of its metadata.
    pub(super) async fn adopt_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        let collection = self.own_collection(name, writer).await?;
        let mut metadata = collection.metadata.unwrap_or_default();
        metadata.extend(writer.marks());
        let body = json!({ "new_metadata": metadata });
        let path = self.path(&format!("/collections/{}", encode(&collection.id)));
        self.http.write(&writer.fence, Method::PUT, &path, Some(&body)).await
    }

    /// Returns a collection, which must have a mark of the writer's own.
    async fn own_collection(&self, name: &str, writer: &Writer) -> Result<Collection, Error> {
        let collection = self.existing(name).await?;
        if writer.owns(owner_in(collection.metadata.as_ref()).as_ref()) {
            Ok(collection)
        } else {
            Err(Error::ForeignCollection { collection: name.to_owned() })
        }
    }

    pub(super) async fn drop_empty_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        let Some(collection) = self.collection(name).await? else { return Ok(()) };
        let is_own = writer.owns(owner_in(collection.metadata.as_ref()).as_ref());
        let count: u64 =
            self.http.call(Method::GET, &self.documents_path(&collection.id, "count"), None).await?;
        if !is_own || count > 0 {
            return Ok(());
        }
        match self.http.write(&writer.fence, Method::DELETE, &self.collection_path(name), None).await {
            Ok(()) | Err(Error::Server { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn train(&self, training: Training<'_>) -> Result<(), Error> {
        let Training { collection: name, embedder: _, writer, write, adopt, delete } = training;
        let collection = self.existing(name).await?;
        let limits: Preflight = self.http.call(Method::GET, "/api/v2/pre-flight-checks", None).await?;
        let batch_size = training.batch(limits.max_batch_size);
        let act = |verb| self.documents_path(&collection.id, verb);
        let mut written = 0;
        for batch in write.chunks(batch_size) {
            // First, because it takes longest: the marks read after it are still current at the
            // write.
            let embeddings = training.embed(batch).await?;
            let ids: Vec<&String> = batch.iter().map(|document| &document.id).collect();
            let there = self.metadata_of(&collection.id, &ids).await?;
            let mut metadatas = Vec::with_capacity(batch.len());
            for document in batch {
                let mut metadata = writer.metadata(document);
                if let Some(before) = there.get(&document.id) {
                    if !writer.owns(owner_in(before.as_ref()).as_ref()) {
                        let (collection, id) = (name.to_owned(), document.id.clone());
                        return Err(Error::ForeignDocument { collection, id });
                    }
                    // Chroma merges metadata, so removed keys have to be set to null.
                    for key in before.iter().flat_map(BTreeMap::keys) {
                        metadata.entry(key.clone()).or_insert(Value::Null);
                    }
                }
                metadatas.push(metadata);
            }
            let body = json!({
                "ids": ids,
                "documents": batch.iter().map(|document| &document.text).collect::<Vec<_>>(),
                "metadatas": metadatas,
                "embeddings": embeddings,
            });
            self.http.write(&writer.fence, Method::POST, &act("upsert"), Some(&body)).await?;
            written += batch.len();
            progress::report(written, write.len(), "documents written");
        }
        for ids in adopt.chunks(batch_size) {
            // Documents that were deleted or changed owner are skipped; the next observation shows
            // them.
            let own = self.own_documents(&collection.id, ids, writer).await?;
            let ids: Vec<String> = own.into_values().flat_map(|own| own.ids).collect();
            if !ids.is_empty() {
                let body = json!({ "ids": ids, "metadatas": vec![writer.marks(); ids.len()] });
                self.http.write(&writer.fence, Method::POST, &act("update"), Some(&body)).await?;
            }
        }
        for ids in delete.chunks(batch_size) {
            for (mark, OwnDocuments { ids, runs }) in self.own_documents(&collection.id, ids, writer).await? {
                let body = json!({ "ids": ids, "where": unchanged(&mark, &runs) });
                self.http.write(&writer.fence, Method::POST, &act("delete"), Some(&body)).await?;
            }
        }
        Ok(())
    }

    /// The metadata of existing documents, by id.
    async fn metadata_of(
        &self,
        collection: &str,
        ids: &[&String],
    ) -> Result<BTreeMap<String, Metadata>, Error> {
        let body = json!({ "ids": ids, "include": ["metadatas"] });
        let path = self.documents_path(collection, "get");
        let there: Documents = self.http.call(Method::POST, &path, Some(&body)).await?;
        Ok(pairs(there).collect())
    }

    /// The texts of existing documents, by id.
    pub(super) async fn texts(&self, name: &str, ids: &[&String]) -> Result<BTreeMap<String, String>, Error> {
        let Some(collection) = self.collection(name).await? else { return Ok(BTreeMap::new()) };
        let body = json!({ "ids": ids, "include": ["documents"] });
        let path = self.documents_path(&collection.id, "get");
        let Texts { ids, documents } = self.http.call(Method::POST, &path, Some(&body)).await?;
        let texts = ids.into_iter().zip(documents.unwrap_or_default());
        Ok(texts.filter_map(|(id, text)| Some((id, text?))).collect())
    }

    /// The documents that have a mark of the writer's own, by that mark.
    async fn own_documents(
        &self,
        collection: &str,
        ids: &[String],
        writer: &Writer,
    ) -> Result<BTreeMap<Mark, OwnDocuments>, Error> {
        let there = self.metadata_of(collection, &ids.iter().collect::<Vec<_>>()).await?;
        let mut own: BTreeMap<Mark, OwnDocuments> = BTreeMap::new();
        for (id, metadata) in there {
            let metadata = metadata.as_ref();
            if let Some(owner) = owner_in(metadata).filter(|owner| writer.owns(Some(owner))) {
                let run = text(metadata, key::RUN);
                let documents = own.entry(Mark { owner, has_run: run.is_some() }).or_default();
                documents.ids.push(id);
                documents.runs.extend(run);
            }
        }
        Ok(own)
    }

    /// Checks that the server is Chroma in a supported version, and that the database exists.
    async fn greet(&self) -> Result<(), Error> {
        match self.http.call::<Value>(Method::GET, "/api/v2/heartbeat", None).await {
            Ok(_) => {}
            Err(Error::Server { status: 404 | 405, message, .. }) => {
                let old = self.http.call::<Value>(Method::GET, "/api/v1/heartbeat", None).await;
                let address = self.http.address.clone();
                return Err(if old.is_ok() {
                    Error::TooOld { address }
                } else {
                    Error::NotChroma { address, reason: format!("no /api/v2/heartbeat there ({message})") }
                });
            }
            Err(error) => return Err(error),
        }
        match self.http.call::<Value>(Method::GET, &self.path(""), None).await {
            Ok(_) => Ok(()),
            // Listing collections of an unknown database would return an empty list.
            Err(Error::Server { status: 404, .. }) => Err(Error::NoDatabase {
                address: self.http.address.clone(),
                tenant: self.tenant.clone(),
                database: self.database.clone(),
            }),
            Err(error) => Err(error),
        }
    }

    async fn collections(&self) -> Result<Vec<Collection>, Error> {
        let mut all: BTreeMap<String, Collection> = BTreeMap::new();
        let mut offset = 0;
        loop {
            let path = format!("{}?limit={PAGE}&offset={offset}", self.path("/collections"));
            let page: Vec<Collection> = self.http.call(Method::GET, &path, None).await?;
            let (count, before) = (page.len(), all.len());
            all.extend(page.into_iter().map(|collection| (collection.id.clone(), collection)));
            if count < PAGE {
                return Ok(all.into_values().collect());
            }
            if all.len() == before {
                return Err(self.endless("gives the same collections again and again"));
            }
            if all.len() > MOST_COLLECTIONS {
                return Err(self.endless(&format!("has more than {MOST_COLLECTIONS} collections")));
            }
            offset += count;
        }
    }

    /// The error of a listing without end, or one that is too long to keep in memory.
    fn endless(&self, what: &str) -> Error {
        let (address, database) = (self.http.address.clone(), self.database.clone());
        Error::TooMuch { address, database, what: what.to_owned() }
    }

    async fn collection(&self, name: &str) -> Result<Option<Collection>, Error> {
        match self.http.call(Method::GET, &self.collection_path(name), None).await {
            Ok(collection) => Ok(Some(collection)),
            Err(Error::Server { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn existing(&self, name: &str) -> Result<Collection, Error> {
        self.collection(name).await?.ok_or_else(|| Error::NoCollection { collection: name.to_owned() })
    }

    async fn note_documents(
        &self,
        collection: &str,
        seen: &mut ObservedCollection,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let path = self.documents_path(collection, "get");
        let (mut offset, mut limit) = (0, PAGE);
        loop {
            let body = json!({ "limit": limit, "offset": offset, "include": ["metadatas"] });
            let page: Documents = match self.http.call(Method::POST, &path, Some(&body)).await {
                Ok(page) => page,
                // Others may keep whole texts in metadata, so this reads fewer documents at a time.
                Err(Error::LongAnswer { .. }) if limit > 1 => {
                    limit /= 4;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (count, before) = (page.ids.len(), seen.len());
            for (id, metadata) in pairs(page) {
                let mark = |key| text(metadata.as_ref(), key);
                let marks = Marks {
                    owner: owner_in(metadata.as_ref()),
                    fingerprint: mark(key::FINGERPRINT),
                    source: mark(key::SOURCE),
                    embedder: mark(key::EMBEDDER),
                    run: mark(key::RUN),
                };
                budget.take(&id, &marks).map_err(|what| self.endless(&what))?;
                seen.note(id, marks);
            }
            offset += count;
            if count < limit {
                return Ok(());
            }
            if seen.len() == before {
                return Err(self.endless("gives the same documents again and again"));
            }
        }
    }

    fn path(&self, below: &str) -> String {
        format!("/api/v2/tenants/{}/databases/{}{below}", encode(&self.tenant), encode(&self.database))
    }

    fn collection_path(&self, name: &str) -> String {
        self.path(&format!("/collections/{}", encode(name)))
    }

    fn documents_path(&self, collection: &str, verb: &str) -> String {
        self.path(&format!("/collections/{}/{verb}", encode(collection)))
    }
}

fn encode(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn pairs(documents: Documents) -> impl Iterator<Item = (String, Metadata)> {
    let Documents { ids, metadatas } = documents;
    let metadatas = metadatas.unwrap_or_default().into_iter().chain(std::iter::repeat_with(|| None));
    ids.into_iter().zip(metadatas)
}

fn text(metadata: Option<&BTreeMap<String, Value>>, key: &str) -> Option<String> {
    metadata?.get(key)?.as_str().map(str::to_owned)
}

fn owner_in(metadata: Option<&BTreeMap<String, Value>>) -> Option<Owner> {
    let mark = |key| text(metadata, key);
    owner(mark(key::STACK), mark(key::ENVIRONMENT), mark(key::OWNER))
}
