//! Chroma over its HTTP API, version 2. The server embeds nothing: vectors are sent. Every call
//! has a deadline, and as all are idempotent, those that fail to connect are tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::apply::Writer;
use super::client::{Error, Training};
use super::observed::{Backend, BackendKind, CollectionSeen, Marks, Seen, owner};
use super::owner::Owner;
use super::{METRIC, key};
use crate::embed::Embedder;
use crate::redact::redact;
use crate::spec::{self, RedactedUrl, TlsFiles};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);
/// Retries of a call that could not connect or that the server failed to answer.
const RETRIES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Documents or collections of one answer.
const PAGE: usize = 1_000;
/// Letters of a server's message that are shown.
const MESSAGE: usize = 300;

/// One database of a Chroma server.
#[derive(Debug, Clone)]
pub(super) struct Chroma {
    http: reqwest::Client,
    /// The URL up to `/api`.
    base: RedactedUrl,
    address: String,
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

/// What stands beside a document or a collection.
type Metadata = Option<BTreeMap<String, Value>>;

impl Collection {
    /// How it compares vectors.
    fn space(&self) -> Option<String> {
        let of = |index: &str| self.configuration_json.get(index)?.get("space")?.as_str().map(str::to_owned);
        of("hnsw").or_else(|| of("spann"))
    }

    /// The function with which a client of Chroma embeds what it writes and asks. Clients take vectors as
    /// they are where none is recorded, or one without a name.
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

/// What documents that are deleted together have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    owner: Owner,
    /// Whether they name the run that wrote them; an older trueup wrote none.
    has_run: bool,
}

/// Documents under one mark.
#[derive(Default)]
struct OwnDocuments {
    ids: Vec<String>,
    /// The runs that wrote them.
    runs: BTreeSet<String>,
}

/// What must still be so when a delete arrives: the mark that was just read. A document that another
/// run has written since stays, however long this request was on its way.
fn unchanged(mark: &Mark, runs: &BTreeSet<String>) -> Value {
    let Mark { owner, has_run } = mark;
    let owned = match &owner.identity {
        Some(identity) => json!({ key::OWNER: identity }),
        None => json!({ key::STACK: owner.stack }),
    };
    if *has_run { json!({ "$and": [owned, { key::RUN: { "$in": runs } }] }) } else { owned }
}

impl Chroma {
    pub(super) fn new(url: &RedactedUrl, spec: &spec::Vector) -> Result<Self, Error> {
        // reqwest is built without a provider of its own, so that sqlx, redis and it share one.
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error says that another room was first, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });

        let mut headers = HeaderMap::new();
        if let Some(token) = &spec.token {
            let token = token.expose().map_err(|unset| Error::Unset { names: unset.names.join(", ") })?;
            for (name, value) in
                [("x-chroma-token", token), (AUTHORIZATION.as_str(), &format!("Bearer {token}"))]
            {
                let mut value = HeaderValue::from_str(value).map_err(|_| Error::Token)?;
                value.set_sensitive(true);
                headers.insert(reqwest::header::HeaderName::from_static(name), value);
            }
        }
        let address = url.address();
        let failed = |reason| Error::Unreachable { address: address.clone(), reason, transient: false };
        let http = with_tls(reqwest::Client::builder(), url.tls())
            .map_err(failed)?
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(REQUEST_DEADLINE)
            // A redirect would carry the token to another host.
            .redirect(redirect::Policy::none())
            .default_headers(headers)
            .build()
            .map_err(|error| failed(reason(&error)))?;
        let mut base = url.expose().clone();
        base.set_query(None);
        base.set_fragment(None);
        let base = RedactedUrl::new(base);
        let (tenant, database) = (spec.tenant.clone(), spec.database.clone());
        Ok(Self { http, base, address, tenant, database })
    }

    pub(super) async fn observe(&self) -> Result<Seen, Error> {
        self.greet().await?;
        let version: String = self.call(Method::GET, "/api/v2/version", None).await?;
        let version = redact(&version).into_owned();
        let mut collections = BTreeMap::new();
        for collection in self.collections().await? {
            let mut seen = CollectionSeen {
                made_by: owner_in(collection.metadata.as_ref()),
                embedder: text(collection.metadata.as_ref(), key::EMBEDDER),
                dimension: collection.dimension,
                space: collection.space(),
                embedding_function: collection.embedding_function(),
                ..CollectionSeen::default()
            };
            let Collection { id, name, .. } = collection;
            match self.note_documents(&id, &mut seen).await {
                Ok(()) => {
                    collections.insert(name, seen);
                }
                // Deleted by someone since the list was made.
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
        // No embedding function: none that a client knows makes these vectors, and with none set
        // Chroma's clients open the collection and take vectors as they are.
        let body = json!({
            "name": name,
            "get_or_create": false,
            "metadata": metadata,
            "configuration": { "hnsw": { "space": METRIC } },
        });
        match self.write(writer, Method::POST, &self.path("/collections"), Some(&body)).await {
            Ok(()) => Ok(()),
            // Made by a run that was killed before it could say so, by the first of two tries, or by
            // somebody else.
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
        self.write(writer, Method::PUT, &path, Some(&body)).await
    }

    /// A collection that must carry a mark of the writer's own.
    async fn own_collection(&self, name: &str, writer: &Writer) -> Result<Collection, Error> {
        let collection = self
            .collection(name)
            .await?
            .ok_or_else(|| Error::NoCollection { collection: name.to_owned() })?;
        if writer.owns(owner_in(collection.metadata.as_ref()).as_ref()) {
            Ok(collection)
        } else {
            Err(Error::ForeignCollection { collection: name.to_owned() })
        }
    }

    pub(super) async fn drop_empty_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        let Some(collection) = self.collection(name).await? else { return Ok(()) };
        let is_own = writer.owns(owner_in(collection.metadata.as_ref()).as_ref());
        let count: u64 = self.call(Method::GET, &self.documents_path(&collection.id, "count"), None).await?;
        if !is_own || count > 0 {
            return Ok(());
        }
        match self.write(writer, Method::DELETE, &self.collection_path(name), None).await {
            Ok(()) | Err(Error::Server { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn train(&self, training: Training<'_>) -> Result<(), Error> {
        let Training { collection: name, embedder: _, writer, write, adopt, delete } = training;
        let collection = self
            .collection(name)
            .await?
            .ok_or_else(|| Error::NoCollection { collection: name.to_owned() })?;
        let limits: Preflight = self.call(Method::GET, "/api/v2/pre-flight-checks", None).await?;
        let batch_size = training.batch(limits.max_batch_size);
        let act = |verb| self.documents_path(&collection.id, verb);
        for batch in write.chunks(batch_size) {
            // First, because it takes longest: what is read after it is still so when it is written.
            let embeddings = training.embed(batch)?;
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
                    // Chroma merges metadata; what is no longer said has to be taken away.
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
            self.write(writer, Method::POST, &act("upsert"), Some(&body)).await?;
        }
        for ids in adopt.chunks(batch_size) {
            // What is gone or somebody else's by now is left alone; the next look says so.
            let own = self.own_documents(&collection.id, ids, writer).await?;
            let ids: Vec<String> = own.into_values().flat_map(|own| own.ids).collect();
            if !ids.is_empty() {
                let body = json!({ "ids": ids, "metadatas": vec![writer.marks(); ids.len()] });
                self.write(writer, Method::POST, &act("update"), Some(&body)).await?;
            }
        }
        for ids in delete.chunks(batch_size) {
            for (mark, OwnDocuments { ids, runs }) in self.own_documents(&collection.id, ids, writer).await? {
                let body = json!({ "ids": ids, "where": unchanged(&mark, &runs) });
                self.write(writer, Method::POST, &act("delete"), Some(&body)).await?;
            }
        }
        Ok(())
    }

    /// The metadata of those documents that are there, by id.
    async fn metadata_of(
        &self,
        collection: &str,
        ids: &[&String],
    ) -> Result<BTreeMap<String, Metadata>, Error> {
        let body = json!({ "ids": ids, "include": ["metadatas"] });
        let path = self.documents_path(collection, "get");
        let there: Documents = self.call(Method::POST, &path, Some(&body)).await?;
        Ok(pairs(there).collect())
    }

    /// Those of the documents that carry a mark of the writer's own, by that mark.
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

    /// Whether it is Chroma, a version that can be spoken to, and has the database.
    async fn greet(&self) -> Result<(), Error> {
        match self.call::<Value>(Method::GET, "/api/v2/heartbeat", None).await {
            Ok(_) => {}
            Err(Error::Server { status: 404 | 405, message, .. }) => {
                let old = self.call::<Value>(Method::GET, "/api/v1/heartbeat", None).await;
                let address = self.address.clone();
                return Err(if old.is_ok() {
                    Error::TooOld { address }
                } else {
                    Error::NotChroma { address, reason: format!("no /api/v2/heartbeat there ({message})") }
                });
            }
            Err(error) => return Err(error),
        }
        match self.call::<Value>(Method::GET, &self.path(""), None).await {
            Ok(_) => Ok(()),
            // A list of collections would answer an unknown database with an empty list.
            Err(Error::Server { status: 404, .. }) => Err(Error::NoDatabase {
                address: self.address.clone(),
                tenant: self.tenant.clone(),
                database: self.database.clone(),
            }),
            Err(error) => Err(error),
        }
    }

    async fn collections(&self) -> Result<Vec<Collection>, Error> {
        let mut all = Vec::new();
        loop {
            let path = format!("{}?limit={PAGE}&offset={}", self.path("/collections"), all.len());
            let page: Vec<Collection> = self.call(Method::GET, &path, None).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    async fn collection(&self, name: &str) -> Result<Option<Collection>, Error> {
        match self.call(Method::GET, &self.collection_path(name), None).await {
            Ok(collection) => Ok(Some(collection)),
            Err(Error::Server { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn note_documents(&self, collection: &str, seen: &mut CollectionSeen) -> Result<(), Error> {
        let path = self.documents_path(collection, "get");
        let mut offset = 0;
        loop {
            let body = json!({ "limit": PAGE, "offset": offset, "include": ["metadatas"] });
            let page: Documents = self.call(Method::POST, &path, Some(&body)).await?;
            let count = page.ids.len();
            for (id, metadata) in pairs(page) {
                let mark = |key| text(metadata.as_ref(), key);
                seen.note(
                    id,
                    Marks {
                        owner: owner_in(metadata.as_ref()),
                        fingerprint: mark(key::FINGERPRINT),
                        source: mark(key::SOURCE),
                        embedder: mark(key::EMBEDDER),
                        run: mark(key::RUN),
                    },
                );
            }
            offset += count;
            if count < PAGE {
                return Ok(());
            }
        }
    }

    /// The URL of a path, with the user information that belongs to it.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.expose().as_str().trim_end_matches('/'))
    }

    /// A path below the database.
    fn path(&self, below: &str) -> String {
        format!("/api/v2/tenants/{}/databases/{}{below}", encode(&self.tenant), encode(&self.database))
    }

    fn collection_path(&self, name: &str) -> String {
        self.path(&format!("/collections/{}", encode(name)))
    }

    fn documents_path(&self, collection: &str, verb: &str) -> String {
        self.path(&format!("/collections/{}/{verb}", encode(collection)))
    }

    /// One call, tried again while the server cannot be reached or fails.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        self.again(async || self.call_once(method.clone(), path, body).await).await
    }

    /// Tries again while the server cannot be reached or fails.
    async fn again<T>(&self, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        let pauses = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_times(RETRIES);
        let again = |error: &Error| match error {
            Error::Unreachable { transient, .. } => *transient,
            Error::Server { status, .. } => *status >= 500,
            _ => false,
        };
        attempt.retry(pauses).when(again).await
    }

    /// One call that writes. Each attempt is preceded by the question whether the run still holds its
    /// lock: after the time that the attempt before took, another run may hold it.
    async fn write(
        &self,
        writer: &Writer,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(), Error> {
        self.again(async || {
            writer.fence.check().await?;
            self.call_once::<Value>(method.clone(), path, body).await.map(|_| ())
        })
        .await
    }

    async fn call_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let unreachable = |error: reqwest::Error| Error::Unreachable {
            address: self.address.clone(),
            reason: reason(&error),
            // All calls are idempotent. One that took its whole time is not tried again.
            transient: !error.is_timeout(),
        };
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        let address = self.address.clone();
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(Error::Refused { address, status: status.as_u16() });
        }
        if !status.is_success() {
            return Err(Error::Server { address, status: status.as_u16(), message: message(&bytes) });
        }
        serde_json::from_slice(&bytes).map_err(|error| Error::NotChroma {
            address,
            reason: format!("an answer that is not understood: {}", redact(&error.to_string())),
        })
    }
}

/// Adds the files of `connection.tls`.
fn with_tls(
    mut builder: reqwest::ClientBuilder,
    files: Option<&TlsFiles>,
) -> Result<reqwest::ClientBuilder, String> {
    let Some(files) = files else { return Ok(builder) };
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    if let Some(ca) = &files.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(&read(ca)?)
            .map_err(|_| format!("{} holds no certificates in PEM", ca.display()))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
        let both = [read(cert)?, read(key)?].join(&b'\n');
        let identity = reqwest::Identity::from_pem(&both).map_err(|_| {
            format!("{} and {} are no certificate and key in PEM", cert.display(), key.display())
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn encode(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Ids with their metadata.
fn pairs(documents: Documents) -> impl Iterator<Item = (String, Metadata)> {
    let Documents { ids, metadatas } = documents;
    let metadatas = metadatas.unwrap_or_default().into_iter().chain(std::iter::repeat_with(|| None));
    ids.into_iter().zip(metadatas)
}

fn text(metadata: Option<&BTreeMap<String, Value>>, key: &str) -> Option<String> {
    metadata?.get(key)?.as_str().map(str::to_owned)
}

/// The owner that metadata names.
fn owner_in(metadata: Option<&BTreeMap<String, Value>>) -> Option<Owner> {
    let mark = |key| text(metadata, key);
    owner(mark(key::STACK), mark(key::ENVIRONMENT), mark(key::OWNER))
}

/// What a server says is wrong, shortened; its errors are `{"error": …, "message": …}`.
fn message(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|body| body.get("message").or_else(|| body.get("error"))?.as_str());
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    // Before it is cut: half a secret would not be found.
    redact(&text).chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The innermost cause: "connection refused" says more than "error sending request". Never the
/// URL, which may hold a password.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if !error.is_connect() && (error.is_request() || error.is_body()) {
        return "the connection was lost".to_owned();
    }
    let mut cause = error.source();
    while let Some(next) = cause.and_then(std::error::Error::source) {
        cause = Some(next);
    }
    cause.map_or_else(|| "the request failed".to_owned(), |cause| redact(&cause.to_string()).into_owned())
}
