//! The embed room: texts to vectors. Pure and deterministic where the embedder is; it does not
//! know where texts come from or where vectors go.

mod hashing;

pub use hashing::Hashing;

use crate::spec;

/// Turns texts into vectors of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedder {
    /// Feature hashing of words and character n-grams.
    Hashing(Hashing),
}

impl From<&spec::Embedder> for Embedder {
    fn from(embedder: &spec::Embedder) -> Self {
        match embedder {
            spec::Embedder::Hashing { dimensions } => Self::Hashing(Hashing::new(*dimensions)),
        }
    }
}

impl Embedder {
    /// Kind, version and dimension: two embedders of one identity give one text one vector. It
    /// stands in fingerprints and in the metadata of collections and documents.
    pub fn identity(&self) -> String {
        match self {
            Self::Hashing(hashing) => hashing.identity(),
        }
    }

    /// Whether a vector store's client that embeds questions with its function of this name makes the
    /// vectors of this embedder. No client has feature hashing.
    pub fn is_asked_by(&self, _function: &str) -> bool {
        match self {
            Self::Hashing(_) => false,
        }
    }

    /// Length of a vector.
    pub fn dimensions(&self) -> usize {
        match self {
            Self::Hashing(hashing) => hashing.dimensions(),
        }
    }

    /// A vector for each text, in their order, of length one (or zero, for a text without words).
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        match self {
            Self::Hashing(hashing) => Ok(texts.iter().map(|text| hashing.embed(text)).collect()),
        }
    }
}

/// What went wrong while embedding. Hashing cannot fail.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {}
