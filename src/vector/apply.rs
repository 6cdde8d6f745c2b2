//! Executes one change. Each is idempotent and may be run again after a crash: documents are
//! written before any is deleted, in batches, and the next plan finds only what is missing.

use super::Document;
use super::client::{Client, Error, Mark, Training};
use crate::embed::Embedder;

/// One step on a vector store, with all that executing it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make a collection.
    CreateCollection {
        /// Its name.
        collection: String,
        /// The stack, written into its metadata.
        stack: String,
        /// The embedder, written into its metadata.
        embedder: Embedder,
    },
    /// Delete a collection that the stack made, if nothing is in it any more.
    DropCollection {
        /// Its name.
        collection: String,
        /// The stack that made it.
        stack: String,
    },
    /// Write and delete documents.
    Documents {
        /// The collection.
        collection: String,
        /// The stack, whose mark they carry.
        stack: String,
        /// What makes vectors of their texts.
        embedder: Embedder,
        /// Documents that are missing or differ.
        write: Vec<Document>,
        /// Ids of documents that are no longer wanted.
        delete: Vec<String>,
    },
}

/// Executes a change.
pub async fn apply(change: &Change, client: &Client) -> Result<(), Error> {
    match change {
        Change::CreateCollection { collection, stack, embedder } => {
            let mark = Mark { stack: stack.clone(), embedder: embedder.clone() };
            client.create_collection(collection, &mark).await
        }
        Change::DropCollection { collection, stack } => client.drop_empty_collection(collection, stack).await,
        Change::Documents { collection, stack, embedder, write, delete } => {
            let mark = Mark { stack: stack.clone(), embedder: embedder.clone() };
            client.train(Training { collection, mark: &mark, write, delete }).await
        }
    }
}
