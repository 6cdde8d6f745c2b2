//! The vector room: documents made from schemas, ontologies, files and examples, and the stores
//! that hold them: Chroma over HTTP, or one SQLite file with sqlite-vec. What this room did not
//! put into a store it never writes and never deletes; it does not know how a plan is run.

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
mod observed;
mod owner;
mod sqlite;
#[cfg(test)]
mod tests;

pub use apply::{Change, Task, apply};
pub use client::Client;
pub use desired::{Collection, Desired, Schema};
pub use diff::{diff, why_it_stays};
pub use documents::{Document, Source};
pub use error::Error;
pub use observed::{Backend, BackendKind, CollectionSeen, DocumentSeen, Observed, OwnedSeen, Seen, observe};
pub use owner::{Claimant, Owner};

/// How near two vectors are: part of every fingerprint, because another metric is another space.
const METRIC: &str = "cosine";

/// Keys of a document's metadata that this tool reads back.
mod key {
    /// The stack that put the document there: how our documents are recognised.
    pub(super) const STACK: &str = "trueup";
    pub(super) const ENVIRONMENT: &str = "trueup_environment";
    /// The bookkeeping in whose name it was written: whose it is.
    pub(super) const OWNER: &str = "trueup_owner";
    /// The run that wrote it. Like the two above it is in no fingerprint.
    pub(super) const RUN: &str = "trueup_run";
    /// What it was made from.
    pub(super) const SOURCE: &str = "source";
    /// Fingerprint of text, metadata, embedder and metric.
    pub(super) const FINGERPRINT: &str = "fingerprint";
    /// Identity of the embedder.
    pub(super) const EMBEDDER: &str = "embedder";
}
