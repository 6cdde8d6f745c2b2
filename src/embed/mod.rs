//! The embed room: texts to vectors. Pure and deterministic where the embedder is; it does not
//! know where texts come from or where vectors go.

mod hashing;

pub use hashing::Hashing;

use crate::stack;

/// Turns texts into vectors of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedder {
    /// Feature hashing of words and character n-grams.
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

    /// A vector for each text, in their order, of length one (or zero, for a text without words). Computes
    /// for as long as it takes: see [`Self::embed_aside`].
    pub fn embed(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        match self {
            Self::Hashing(hashing) => texts.iter().map(|text| hashing.embed(text)).collect(),
        }
    }

    /// The same on a thread of its own, so that nothing else has to wait for it.
    pub async fn embed_aside(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
        let embedder = self.clone();
        let computing = tokio::task::spawn_blocking(move || {
            embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        });
        computing.await.map_err(|error| Error::Lost(error.to_string()))
    }
}

/// What went wrong while embedding.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The thread that computed ended without an answer: a defect of this tool.
    #[error("the embedder stopped without an answer: {0}")]
    #[diagnostic(code(trueup::embed::lost))]
    Lost(String),
}
