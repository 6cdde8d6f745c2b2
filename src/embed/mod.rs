//! Converts texts to vectors. Pure and deterministic, as far as the embedder is.

mod hashing;
mod model2vec;

pub use hashing::Hashing;

use crate::stack;
use model2vec::TokenVectors;

/// Converts texts to vectors of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedder {
    /// The built-in table of token vectors.
    Static,
    Hashing(Hashing),
}

impl From<&stack::Embedder> for Embedder {
    fn from(embedder: &stack::Embedder) -> Self {
        match embedder {
            stack::Embedder::Static => Self::Static,
            stack::Embedder::Hashing { dimensions } => Self::Hashing(Hashing::new(*dimensions)),
        }
    }
}

impl Embedder {
    /// Kind, version and dimension. Embedders with the same identity give equal vectors. It is part of
    /// fingerprints and of the metadata of collections and documents.
    pub fn identity(&self) -> String {
        match self {
            Self::Static => model2vec::IDENTITY.to_owned(),
            Self::Hashing(hashing) => hashing.identity(),
        }
    }

    /// Whether the embedding function of a store's client computes the vectors of this embedder. No client has one of
    /// these.
    pub fn is_asked_by(&self, _function: &str) -> bool {
        match self {
            Self::Static | Self::Hashing(_) => false,
        }
    }

    pub fn dimensions(&self) -> usize {
        match self {
            Self::Static => model2vec::DIMENSIONS,
            Self::Hashing(hashing) => hashing.dimensions(),
        }
    }

    /// Returns a vector of length one for each text, in the same order. Blocks the thread: async code uses
    /// [`Self::embed_aside`].
    ///
    /// # Errors
    /// A text has nothing that the embedder knows, so that its vector would be zero and equally far from everything.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        let embed = |text: &&str| match self {
            Self::Static => TokenVectors::built_in()?.embed(text),
            Self::Hashing(hashing) => Ok(hashing.embed(text)),
        };
        let vectors = texts.iter().map(embed).collect::<Result<Vec<_>, _>>()?;
        match vectors.iter().position(|vector| vector.iter().all(|number| *number == 0.0)) {
            Some(number) => Err(Error::Zero { number }),
            None => Ok(vectors),
        }
    }

    /// Like [`Self::embed`], on a blocking thread.
    pub async fn embed_aside(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
        let embedder = self.clone();
        let computing = tokio::task::spawn_blocking(move || {
            embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        });
        computing.await.map_err(|error| Error::Lost(error.to_string()))?
    }
}

/// Scales a vector to length one. Zero stays zero.
fn normalise(mut vector: Vec<f32>) -> Vec<f32> {
    // Sums, products and square roots are exactly rounded (IEEE 754), so the result is the same on
    // every platform.
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in &mut vector {
            *value /= length;
        }
    }
    vector
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The computing thread panicked.
    #[error("the embedder stopped without an answer: {0}")]
    #[diagnostic(code(trueup::embed::lost))]
    Lost(String),
    #[error("the built-in table of token vectors cannot be read: {0}")]
    #[diagnostic(code(trueup::embed::table), help("this program is damaged: install it again"))]
    Table(String),
    /// The index of the text among those that were to be embedded.
    #[error("text {number} has no word that the embedder knows")]
    #[diagnostic(code(trueup::embed::zero))]
    Zero { number: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_known_word_is_refused() {
        for embedder in [Embedder::Static, Embedder::Hashing(Hashing::new(16))] {
            let zero = embedder.embed(&["orders", "\u{1f600}\u{200b}"]);
            assert!(matches!(zero, Err(Error::Zero { number: 1 })), "{embedder:?}: {zero:?}");
            let vectors = embedder.embed(&["orders", "customers"]).unwrap();
            assert!(vectors.iter().all(|vector| vector.len() == embedder.dimensions()));
        }
    }
}
