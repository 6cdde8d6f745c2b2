//! Executes one change. Each is idempotent and may be run again after a crash: documents are
//! written before any is deleted, in batches, and the next plan finds only what is missing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::{Backend, Client};
use super::owner::Owner;
use super::{Document, Error, key};
use crate::embed::Embedder;
use crate::journal::lock::Fence;
use crate::journal::{Identity, RunId};

/// One step on a collection, with all that executing it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The collection, as the store names it.
    pub collection: String,
    /// What makes vectors of texts.
    pub embedder: Embedder,
    /// In whose name; the identity is missing where the same run makes the bookkeeping.
    pub owner: Owner,
    /// Other marks that count as this owner's, because the plan said so.
    pub accepts: BTreeSet<Owner>,
    pub task: Task,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Make the collection.
    Create,
    /// Renew the collection's mark.
    Adopt,
    /// Delete the collection, if it is the owner's and nothing is in it any more.
    Drop,
    /// Write and delete documents.
    Documents {
        /// Documents that are missing or differ.
        write: Vec<Document>,
        /// Ids of documents that are as they should be, and whose mark is renewed.
        adopt: Vec<String>,
        /// Ids of documents that are no longer wanted.
        delete: Vec<String>,
    },
}

/// What the marks of a run say, and which marks are its own.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) stack: String,
    pub(super) environment: Option<String>,
    pub(super) identity: Identity,
    pub(super) run: RunId,
    /// What each batch must pass.
    pub(super) fence: Fence,
    accepts: BTreeSet<Owner>,
}

impl Writer {
    /// What stands in the metadata of all that it writes.
    pub(super) fn marks(&self) -> BTreeMap<String, Value> {
        let marks = [
            (key::STACK, Some(self.stack.as_str())),
            (key::ENVIRONMENT, self.environment.as_deref()),
            (key::OWNER, Some(self.identity.as_str())),
            (key::RUN, Some(self.run.as_str())),
        ];
        marks.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?)))).collect()
    }

    /// The metadata of a document as this run writes it.
    pub(super) fn metadata(&self, document: &Document) -> BTreeMap<String, Value> {
        let mut metadata = document.metadata.clone();
        metadata.extend(self.marks());
        metadata
    }

    /// Whether a mark is its own.
    pub(super) fn owns(&self, mark: Option<&Owner>) -> bool {
        mark.is_some_and(|mark| mark.identity.as_ref() == Some(&self.identity) || self.accepts.contains(mark))
    }
}

/// Documents to write, to mark anew and to delete in one collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Training<'a> {
    pub(super) collection: &'a str,
    pub(super) embedder: &'a Embedder,
    pub(super) writer: &'a Writer,
    pub(super) write: &'a [Document],
    pub(super) adopt: &'a [String],
    pub(super) delete: &'a [String],
}

/// Documents of one batch, at most.
const BATCH: usize = 1_000;
/// Numbers in one batch, at most: bounds the body of a request at about 15 MB.
const BATCH_NUMBERS: usize = 1_000_000;

impl Training<'_> {
    /// Documents of a batch, where the store takes `limit` at most.
    pub(super) fn batch(&self, limit: usize) -> usize {
        let by_size = BATCH_NUMBERS / self.embedder.dimensions().max(1);
        BATCH.min(limit).min(by_size).max(1)
    }

    /// The vectors of a batch, computed off the threads that watch over the lock.
    pub(super) async fn embed(&self, batch: &[Document]) -> Result<Vec<Vec<f32>>, Error> {
        let texts = batch.iter().map(|document| document.text.clone()).collect();
        Ok(self.embedder.embed_aside(texts).await?)
    }
}

/// Executes a change in the name of a bookkeeping and a run.
pub async fn apply(change: &Change, client: &Client, identity: Identity, run: &RunId) -> Result<(), Error> {
    let Change { collection, embedder, owner, accepts, task } = change;
    let writer = Writer {
        stack: owner.stack.clone(),
        environment: owner.environment.clone(),
        identity,
        run: run.clone(),
        fence: client.fence.clone(),
        accepts: accepts.clone(),
    };
    match (&client.backend, task) {
        (Backend::Chroma(chroma), Task::Create) => {
            chroma.create_collection(collection, embedder, &writer).await
        }
        (Backend::Sqlite(store), Task::Create) => {
            store.create_collection(collection, embedder, &writer).await
        }
        (Backend::Chroma(chroma), Task::Adopt) => chroma.adopt_collection(collection, &writer).await,
        (Backend::Sqlite(store), Task::Adopt) => store.adopt_collection(collection, &writer).await,
        (Backend::Chroma(chroma), Task::Drop) => chroma.drop_empty_collection(collection, &writer).await,
        (Backend::Sqlite(store), Task::Drop) => store.drop_empty_collection(collection, &writer).await,
        (backend, Task::Documents { write, adopt, delete }) => {
            let training = Training { collection, embedder, writer: &writer, write, adopt, delete };
            match backend {
                Backend::Chroma(chroma) => chroma.train(training).await,
                Backend::Sqlite(store) => store.train(training).await,
            }
        }
    }
}
