//! The observed vector store, independent of the spec: collections, ids and fingerprints of documents with
//! an owner's mark, and digests of the ids of others. Contains no texts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::owner::Owner;
use crate::digest::Fingerprint;
use crate::journal::{Identity, RunId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    Unreachable {
        /// The error, naming host and port but no secret, and what to do.
        message: String,
    },
    Reachable(Seen),
}

/// The content of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub backend: Backend,
    /// By name.
    pub collections: BTreeMap<String, ObservedCollection>,
}

/// The software of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub kind: BackendKind,
    /// The reported version; `None` for a file that does not exist yet.
    pub version: Option<String>,
}

impl Backend {
    /// Name and version for display.
    pub fn name(&self) -> String {
        match (self.kind, &self.version) {
            (BackendKind::Chroma, Some(version)) => format!("Chroma {version}"),
            (BackendKind::Chroma, None) => "Chroma".to_owned(),
            // The version already contains the name sqlite-vec.
            (BackendKind::Sqlite, Some(version)) => version.clone(),
            (BackendKind::Sqlite, None) => "sqlite-vec, a new file".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// Chroma over HTTP.
    Chroma,
    /// One SQLite file with sqlite-vec.
    Sqlite,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedCollection {
    /// The owner in its mark; `None` without a mark of this tool.
    pub made_by: Option<Owner>,
    /// The embedder's identity in its metadata.
    pub embedder: Option<String>,
    /// The length of its vectors; `None` before the first one.
    pub dimension: Option<usize>,
    /// The distance metric, where the store reports one.
    pub space: Option<String>,
    /// The name of the embedding function that the store's own clients use for it.
    pub embedding_function: Option<String>,
    /// Documents with a mark, by owner.
    #[serde(with = "by_owner")]
    pub owned: BTreeMap<Owner, OwnedDocuments>,
    /// Digests of the ids of all other documents, so that none is overwritten.
    pub foreign: BTreeSet<Fingerprint>,
}

/// The documents of one owner in one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedDocuments {
    /// The embedders in their metadata. More than one is an error.
    pub embedders: BTreeSet<String>,
    /// By id.
    pub documents: BTreeMap<String, ObservedDocument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedDocument {
    /// From the metadata; `None` where it is not valid.
    pub fingerprint: Option<Fingerprint>,
    /// What the document was generated from.
    pub source: String,
    /// The run that wrote it, where the metadata has it.
    pub run: Option<RunId>,
}

/// The metadata of one document that this tool reads.
pub(super) struct Marks {
    pub(super) owner: Option<Owner>,
    pub(super) fingerprint: Option<String>,
    pub(super) source: Option<String>,
    pub(super) embedder: Option<String>,
    pub(super) run: Option<String>,
}

/// Builds the owner from three metadata values; `None` without a stack.
pub(super) fn owner(
    stack: Option<String>,
    environment: Option<String>,
    identity: Option<String>,
) -> Option<Owner> {
    Some(Owner { stack: stack?, environment, identity: identity.map(Identity::from_text) })
}

impl ObservedCollection {
    /// Adds one document: to `owned` when it has a mark, else to `foreign`.
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
                    .insert(id, ObservedDocument { fingerprint, source: source.unwrap_or_default(), run });
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.foreign.len() + self.owned.values().map(|owned| owned.documents.len()).sum::<usize>()
    }
}

/// Serialises a map whose keys are not strings as a list of pairs.
mod by_owner {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{OwnedDocuments, Owner};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Owner, OwnedDocuments>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Owner, OwnedDocuments>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
