//! Documents generated from schemas, ontologies, files and examples, and the stores that hold them: Chroma
//! over HTTP, or one SQLite file with sqlite-vec. Documents without this stack's mark are never changed or
//! deleted.

mod apply;
mod auth;
mod budget;
mod chroma;
mod client;
mod desired;
mod diff;
mod difference;
mod documents;
mod error;
mod holding;
mod http;
mod observe;
mod observed;
mod owner;
mod sqlite;
#[cfg(test)]
mod tests;
mod texts;
mod training;

pub use apply::{Change, Task, apply};
pub use client::Client;
pub use desired::{Collection, Desired, Schema};
pub use diff::{diff, why_it_stays};
pub use documents::{Document, Source};
pub use error::Error;
pub use observe::observe;
pub use observed::{
    Backend, BackendKind, Observed, ObservedCollection, ObservedDocument, OwnedDocuments, Seen,
};
pub use owner::{Claimant, Owner};
pub use texts::text_changes;

/// The distance metric. It is part of every fingerprint, because vectors of another metric are not
/// comparable.
const METRIC: &str = "cosine";

/// Keys of a document's metadata that this tool reads back.
mod key {
    /// The stack that wrote the document: the mark of this tool.
    pub(super) const STACK: &str = "trueup";
    pub(super) const ENVIRONMENT: &str = "trueup_environment";
    /// The bookkeeping that owns the document.
    pub(super) const OWNER: &str = "trueup_owner";
    /// The run that wrote it. Like the two above, it is not part of the fingerprint.
    pub(super) const RUN: &str = "trueup_run";
    /// What the document was generated from.
    pub(super) const SOURCE: &str = "source";
    /// The fingerprint of text, metadata, embedder and metric.
    pub(super) const FINGERPRINT: &str = "fingerprint";
    pub(super) const EMBEDDER: &str = "embedder";
}
