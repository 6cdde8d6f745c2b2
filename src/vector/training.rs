//! The documents that a run writes in one collection, and the marks that it writes with them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::owner::Owner;
use super::{Document, Error, key};
use crate::embed::{self, Embedder};
use crate::journal::lock::Fence;
use crate::journal::{Identity, RunId};

/// The marks that a run writes, and those that it may replace.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) stack: String,
    pub(super) environment: Option<String>,
    pub(super) identity: Identity,
    pub(super) run: RunId,
    /// The check that precedes each batch.
    pub(super) fence: Fence,
    /// Other marks that it may replace.
    pub(super) accepts: BTreeSet<Owner>,
}

impl Writer {
    /// The metadata of everything that it writes.
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

    /// Whether this run may change objects with the mark.
    pub(super) fn owns(&self, mark: Option<&Owner>) -> bool {
        mark.is_some_and(|mark| mark.identity.as_ref() == Some(&self.identity) || self.accepts.contains(mark))
    }
}

/// Documents to write, to mark again and to delete in one collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Training<'a> {
    pub(super) collection: &'a str,
    pub(super) embedder: &'a Embedder,
    pub(super) writer: &'a Writer,
    pub(super) write: &'a [Document],
    pub(super) adopt: &'a [String],
    pub(super) delete: &'a [String],
}

/// The maximum number of documents in a batch.
const BATCH: usize = 1_000;
/// The maximum number of floats in a batch; limits the body of a request to about 15 MB.
const BATCH_NUMBERS: usize = 1_000_000;

impl Training<'_> {
    /// The size of a batch for a store that accepts at most `limit` documents.
    pub(super) fn batch(&self, limit: usize) -> usize {
        let by_size = BATCH_NUMBERS / self.embedder.dimensions().max(1);
        BATCH.min(limit).min(by_size).max(1)
    }

    /// Computes the vectors of a batch on a blocking thread, because the async threads check the
    /// lock.
    pub(super) async fn embed(&self, batch: &[Document]) -> Result<Vec<Vec<f32>>, Error> {
        let texts = batch.iter().map(|document| document.text.clone()).collect();
        self.embedder.embed_aside(texts).await.map_err(|error| match error {
            embed::Error::Zero { number } => Error::NoWords {
                id: batch.get(number).map(|document| document.id.clone()).unwrap_or_default(),
            },
            error => error.into(),
        })
    }
}
