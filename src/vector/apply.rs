//! Executes one change. Each is idempotent and can be repeated after a crash: documents are written in
//! batches before any is deleted, and the next plan contains only what is missing.

use std::collections::BTreeSet;

use super::client::{Backend, Client};
use super::owner::Owner;
use super::training::{Training, Writer};
use super::{Document, Error};
use crate::embed::Embedder;
use crate::journal::{Identity, RunId};

/// An action on a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name in the store.
    pub collection: String,
    pub embedder: Embedder,
    /// The mark to write. The identity is missing where the same run creates the bookkeeping.
    pub owner: Owner,
    /// Other marks that count as this owner's, according to the plan.
    pub accepts: BTreeSet<Owner>,
    pub task: Task,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Create the collection.
    Create,
    /// Renew the collection's mark.
    Adopt,
    /// Delete the collection, if it belongs to the owner and is empty.
    Drop,
    /// Write and delete documents.
    Documents {
        /// Documents that differ, then documents that are missing.
        write: Vec<Document>,
        /// Ids of equal documents whose mark is renewed.
        adopt: Vec<String>,
        /// Ids of documents that are no longer desired.
        delete: Vec<String>,
    },
}

/// Executes a change for a bookkeeping and a run.
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
