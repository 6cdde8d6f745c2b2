//! What a vector store holds, whatever the spec names: collections, the ids and fingerprints of
//! documents that carry a mark with their owner, and of others only digests of their ids. No texts.

use std::collections::{BTreeMap, BTreeSet};

use miette::Diagnostic as _;
use serde::{Deserialize, Serialize};

use super::owner::Owner;
use super::{Client, Error};
use crate::digest::Fingerprint;
use crate::journal::{Identity, RunId};

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
    pub kind: BackendKind,
    /// The version that it reports; unknown for a file that is not there yet.
    pub version: Option<String>,
}

impl Backend {
    /// Its name and version, for people.
    pub fn name(&self) -> String {
        match (self.kind, &self.version) {
            (BackendKind::Chroma, Some(version)) => format!("Chroma {version}"),
            (BackendKind::Chroma, None) => "Chroma".to_owned(),
            // It names sqlite-vec itself.
            (BackendKind::Sqlite, Some(version)) => version.clone(),
            (BackendKind::Sqlite, None) => "sqlite-vec, a new file".to_owned(),
        }
    }
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

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionSeen {
    /// Who made it; `None` for one that this tool did not make.
    pub made_by: Option<Owner>,
    /// The embedder's identity in its metadata.
    pub embedder: Option<String>,
    /// Length of its vectors; unknown until the first one.
    pub dimension: Option<usize>,
    /// How the store compares vectors, where it says so.
    pub space: Option<String>,
    /// The embedding function that the store's own clients use for it, by name.
    pub embedding_function: Option<String>,
    /// Documents that carry a mark, by their owner.
    #[serde(with = "by_owner")]
    pub owned: BTreeMap<Owner, OwnedSeen>,
    /// Digests of the ids of all other documents, so that none is written over.
    pub foreign: BTreeSet<Fingerprint>,
}

/// The documents of one owner in one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedSeen {
    /// Identities of the embedders that their metadata names: one, unless something went wrong.
    pub embedders: BTreeSet<String>,
    /// By id.
    pub documents: BTreeMap<String, DocumentSeen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentSeen {
    /// As its metadata says; `None` when what stands there is no fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// What it was made from.
    pub source: String,
    /// The run that wrote it, where its metadata says so.
    pub run: Option<RunId>,
}

/// What a store's metadata says of one document.
pub(super) struct Marks {
    pub(super) owner: Option<Owner>,
    pub(super) fingerprint: Option<String>,
    pub(super) source: Option<String>,
    pub(super) embedder: Option<String>,
    pub(super) run: Option<String>,
}

/// The owner that metadata names, given its three values; nobody without a stack.
pub(super) fn owner(
    stack: Option<String>,
    environment: Option<String>,
    identity: Option<String>,
) -> Option<Owner> {
    Some(Owner { stack: stack?, environment, identity: identity.map(Identity::from_text) })
}

impl CollectionSeen {
    /// Takes note of one document: owned when it carries a mark.
    pub(super) fn note(&mut self, id: String, marks: Marks) {
        let Marks { owner, fingerprint, source, embedder, run } = marks;
        match owner {
            None => {
                self.foreign.insert(Fingerprint::of_text(&id));
            }
            Some(owner) => {
                let owned = self.owned.entry(owner).or_default();
                owned.embedders.extend(embedder);
                let fingerprint = fingerprint.as_deref().and_then(Fingerprint::parse);
                let run = run.filter(|run| uuid::Uuid::parse_str(run).is_ok()).map(RunId::from_text);
                owned
                    .documents
                    .insert(id, DocumentSeen { fingerprint, source: source.unwrap_or_default(), run });
            }
        }
    }

    /// How many documents it holds.
    pub(super) fn len(&self) -> usize {
        self.foreign.len() + self.owned.values().map(|owned| owned.documents.len()).sum::<usize>()
    }
}

/// A map whose keys are no texts, as a list of pairs.
mod by_owner {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{OwnedSeen, Owner};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Owner, OwnedSeen>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Owner, OwnedSeen>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
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
