//! The client of a vector store: one enum over the backends.

use super::Error;
use super::chroma::Chroma;
use super::observed::Seen;
use super::sqlite::SqliteStore;
use crate::journal::lock::Fence;
use crate::stack::{self, VectorUrl};

/// Creating a client connects to nothing.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) backend: Backend,
    /// The check that precedes every write.
    pub(super) fence: Fence,
}

#[derive(Debug, Clone)]
pub(super) enum Backend {
    Chroma(Chroma),
    Sqlite(SqliteStore),
}

impl Client {
    pub fn new(vector: &stack::Vector) -> Result<Self, Error> {
        let url =
            vector.endpoint.to.as_ref().map_err(|unset| Error::Unset { names: unset.names.join(", ") })?;
        match url {
            VectorUrl::Chroma(url) => Chroma::new(url, vector).map(Backend::Chroma),
            VectorUrl::Sqlite(path) => Ok(Backend::Sqlite(SqliteStore::new(path.clone()))),
        }
        .map(|backend| Self { backend, fence: Fence::default() })
    }

    /// The client of a run, which writes only while the run holds its lock.
    #[must_use]
    pub fn behind(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Cancels the running statement of a store that is a file.
    pub fn interrupt(&self) {
        match &self.backend {
            Backend::Chroma(_) => {}
            Backend::Sqlite(store) => store.interrupt.ask(),
        }
    }

    pub(super) async fn observe(&self) -> Result<Seen, Error> {
        match &self.backend {
            Backend::Chroma(chroma) => chroma.observe().await,
            Backend::Sqlite(store) => store.observe().await,
        }
    }
}
