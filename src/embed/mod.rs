//! Converts texts to vectors. Pure and deterministic, as far as the embedder is.

mod hashing;

pub use hashing::Hashing;

use crate::stack;

/// Converts texts to vectors of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedder {
    Hashing(Hashing),
}

impl From<&stack::Embedder> for Embedder {
    fn from(embedder: &stack::Embedder) -> Self {
        match embedder {
            stack::Embedder::Hashing { dimensions } => Self::Hashing(Hashing::new(*dimensions)),
        }
    }
}

impl Embedder {
    /// Kind, version and dimension. Embedders with the same identity give equal vectors. It is part of
    /// fingerprints and of the metadata of collections and documents.
    pub fn identity(&self) -> String {
        match self {
            Self::Hashing(hashing) => hashing.identity(),
        }
    }

    /// Whether the embedding function of a store's client computes the vectors of this embedder. No client
    /// has feature hashing.
    pub fn is_asked_by(&self, _function: &str) -> bool {
        match self {
            Self::Hashing(_) => false,
        }
    }

    pub fn dimensions(&self) -> usize {
        match self {
            Self::Hashing(hashing) => hashing.dimensions(),
        }
    }

    /// Returns a vector for each text, in the same order, of length one (or zero for a text without words).
    /// Blocks the thread: async code uses [`Self::embed_aside`].
    pub fn embed(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        match self {
            Self::Hashing(hashing) => texts.iter().map(|text| hashing.embed(text)).collect(),
        }
    }

    /// Like [`Self::embed`], on a blocking thread.
    pub async fn embed_aside(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
        let embedder = self.clone();
        let computing = tokio::task::spawn_blocking(move || {
            embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        });
        computing.await.map_err(|error| Error::Lost(error.to_string()))
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The computing thread panicked.
    #[error("the embedder stopped without an answer: {0}")]
    #[diagnostic(code(trueup::embed::lost))]
    Lost(String),
}
