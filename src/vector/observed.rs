//! What a vector store holds, whatever the spec names: collections, the ids and fingerprints of
//! documents that carry a stack's mark, and of others only digests of their ids. No texts.

use std::collections::{BTreeMap, BTreeSet};

use miette::Diagnostic as _;
use serde::{Deserialize, Serialize};

use super::{Client, Error};
use crate::digest::Fingerprint;

/// What was found of the vector store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// It could not be read.
    Unreachable {
        /// Why, naming host and port but no secret, and what to do.
        message: String,
    },
    /// It was read whole.
    Reachable(Seen),
}

/// The content of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The software.
    pub backend: Backend,
    /// By name.
    pub collections: BTreeMap<String, CollectionSeen>,
}

/// The software of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Which.
    pub kind: BackendKind,
    /// The version that it reports; unknown for a file that is not there yet.
    pub version: Option<String>,
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// Chroma over HTTP.
    Chroma,
    /// One SQLite file with sqlite-vec.
    Sqlite,
}

/// One collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionSeen {
    /// The stack that made it; `None` for one that this tool did not make.
    pub made_by: Option<String>,
    /// The embedder's identity in its metadata.
    pub embedder: Option<String>,
    /// Length of its vectors; unknown until the first one.
    pub dimension: Option<usize>,
    /// Documents that carry the mark of a stack, by stack.
    pub ours: BTreeMap<String, OursSeen>,
    /// Digests of the ids of all other documents, so that none is written over.
    pub foreign: BTreeSet<Fingerprint>,
}

/// The documents of one stack in one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OursSeen {
    /// Identities of the embedders that their metadata names: one, unless something went wrong.
    pub embedders: BTreeSet<String>,
    /// By id.
    pub documents: BTreeMap<String, DocumentSeen>,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentSeen {
    /// As its metadata says; `None` when what stands there is no fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// What it was made from.
    pub source: String,
}

/// What a store's metadata says of one document.
pub(super) struct Marks {
    pub(super) stack: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) source: Option<String>,
    pub(super) embedder: Option<String>,
}

impl CollectionSeen {
    /// Takes note of one document: ours when it carries a stack's mark.
    pub(super) fn note(&mut self, id: String, marks: Marks) {
        let Marks { stack, fingerprint, source, embedder } = marks;
        match stack {
            None => {
                self.foreign.insert(Fingerprint::of_text(&id));
            }
            Some(stack) => {
                let ours = self.ours.entry(stack).or_default();
                ours.embedders.extend(embedder);
                let fingerprint = fingerprint.as_deref().and_then(Fingerprint::parse);
                ours.documents.insert(id, DocumentSeen { fingerprint, source: source.unwrap_or_default() });
            }
        }
    }
}

/// An error as the message of a check, which also says what to do.
fn with_help(error: &Error) -> String {
    error.help().map_or_else(|| error.to_string(), |help| format!("{error}; {help}"))
}

/// Reads the whole store: all collections, all ids with their marks, page by page.
pub async fn observe(client: &Client) -> Observed {
    match client.observe().await {
        Ok(seen) => Observed::Reachable(seen),
        Err(error) => Observed::Unreachable { message: with_help(&error) },
    }
}
