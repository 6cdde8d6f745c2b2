//! One door to every store: an enum of backends, and what can go wrong with them.

use std::path::PathBuf;
use std::time::Duration;

use super::Document;
use super::apply::Writer;
use super::chroma::Chroma;
use super::observed::Seen;
use super::sqlite::SqliteStore;
use crate::embed::{self, Embedder};
use crate::journal::lock::{Fence, Lost};
use crate::sql;
use crate::stack::{self, VectorUrl};

/// A client of a vector store. Making one contacts nothing.
#[derive(Debug, Clone)]
pub struct Client {
    backend: Backend,
    /// What all that is written must pass.
    pub(super) fence: Fence,
}

#[derive(Debug, Clone)]
enum Backend {
    Chroma(Chroma),
    Sqlite(SqliteStore),
}

/// Documents to write, to mark anew and to delete in one collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Training<'a> {
    pub(super) collection: &'a str,
    pub(super) embedder: &'a Embedder,
    pub(super) writer: &'a Writer,
    pub(super) write: &'a [Document],
    pub(super) adopt: &'a [String],
    pub(super) delete: &'a [String],
}

/// Documents of one batch, at most.
const BATCH: usize = 1_000;
/// Numbers in one batch, at most: bounds the body of a request at about 15 MB.
const BATCH_NUMBERS: usize = 1_000_000;

impl Training<'_> {
    /// Documents of a batch, where the store takes `limit` at most.
    pub(super) fn batch(&self, limit: usize) -> usize {
        let by_size = BATCH_NUMBERS / self.embedder.dimensions().max(1);
        BATCH.min(limit).min(by_size).max(1)
    }

    /// The vectors of a batch, computed off the threads that watch over the lock.
    pub(super) async fn embed(&self, batch: &[Document]) -> Result<Vec<Vec<f32>>, Error> {
        let texts = batch.iter().map(|document| document.text.clone()).collect();
        Ok(self.embedder.embed_aside(texts).await?)
    }
}

impl Client {
    /// A client for the store of a spec.
    pub fn new(vector: &stack::Vector) -> Result<Self, Error> {
        let url =
            vector.endpoint.to.as_ref().map_err(|unset| Error::Unset { names: unset.names.join(", ") })?;
        match url {
            VectorUrl::Chroma(url) => Chroma::new(url, vector).map(Backend::Chroma),
            VectorUrl::Sqlite(path) => Ok(Backend::Sqlite(SqliteStore::new(path.clone()))),
        }
        .map(|backend| Self { backend, fence: Fence::default() })
    }

    /// The client of a run, which writes only while that holds its lock.
    #[must_use]
    pub fn behind(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Ends the statement that runs in this process, where the store is a file.
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

    pub(super) async fn create_collection(
        &self,
        name: &str,
        embedder: &Embedder,
        writer: &Writer,
    ) -> Result<(), Error> {
        match &self.backend {
            Backend::Chroma(chroma) => chroma.create_collection(name, embedder, writer).await,
            Backend::Sqlite(store) => store.create_collection(name, embedder, writer).await,
        }
    }

    pub(super) async fn adopt_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        match &self.backend {
            Backend::Chroma(chroma) => chroma.adopt_collection(name, writer).await,
            Backend::Sqlite(store) => store.adopt_collection(name, writer).await,
        }
    }

    pub(super) async fn drop_empty_collection(&self, name: &str, writer: &Writer) -> Result<(), Error> {
        match &self.backend {
            Backend::Chroma(chroma) => chroma.drop_empty_collection(name, writer).await,
            Backend::Sqlite(store) => store.drop_empty_collection(name, writer).await,
        }
    }

    pub(super) async fn train(&self, training: Training<'_>) -> Result<(), Error> {
        match &self.backend {
            Backend::Chroma(chroma) => chroma.train(training).await,
            Backend::Sqlite(store) => store.train(training).await,
        }
    }
}

/// What went wrong with a vector store. No message has a password or token in it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The run holds its lock no more.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] Lost),
    /// The URL or the token has variables that are not set.
    #[error("the vector store's URL or token needs {names}, which is not set")]
    #[diagnostic(code(trueup::vector::unset), help("set the variable, or plan against a file with --world"))]
    Unset { names: String },
    /// A token that cannot stand in an HTTP header.
    #[error("the token of the vector store has characters that no HTTP header can carry")]
    #[diagnostic(code(trueup::vector::token), help("look for a line break or a space at its end"))]
    Token,
    #[error("cannot reach Chroma at {address}: {reason}")]
    #[diagnostic(
        code(trueup::vector::unreachable),
        help("is the server running, and is `vector.url` its address?")
    )]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the network says.
        reason: String,
        /// Whether trying again may help.
        transient: bool,
    },
    /// The token was not accepted.
    #[error("Chroma at {address} refuses the credential (HTTP {status})")]
    #[diagnostic(
        code(trueup::vector::refused),
        help("set `vector.token` to a token that the server accepts")
    )]
    Refused {
        address: String,
        /// 401 or 403.
        status: u16,
    },
    /// The server answered with an error.
    #[error("Chroma at {address} answers HTTP {status}: {message}")]
    #[diagnostic(
        code(trueup::vector::server),
        help("see the server's log; run the same command again to go on")
    )]
    Server {
        address: String,
        status: u16,
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// An answer that is not read to its end.
    #[error("an answer of Chroma at {address} is longer than {megabytes} MB")]
    #[diagnostic(
        code(trueup::vector::long_answer),
        help("is `vector.url` the address of a Chroma server, and not of something that sends without end?")
    )]
    LongAnswer {
        address: String,
        /// What is read at most.
        megabytes: usize,
    },
    /// A listing without end, or one that is too long to be kept in memory.
    #[error("the database `{database}` of Chroma at {address} {what}")]
    #[diagnostic(
        code(trueup::vector::too_much),
        help("a database is read as a whole: give this stack one of its own with `vector.database`")
    )]
    TooMuch {
        address: String,
        database: String,
        /// What there is too much of.
        what: String,
    },
    /// A Chroma that speaks only its first API.
    #[error("Chroma at {address} speaks only the old API (/api/v1), and version 0.6 or later is needed")]
    #[diagnostic(code(trueup::vector::too_old), help("upgrade the server: `pip install 'chromadb>=1.0'`"))]
    TooOld { address: String },
    /// Something else answers there.
    #[error("what answers at {address} is not Chroma: {reason}")]
    #[diagnostic(code(trueup::vector::not_chroma), help("is `vector.url` the address of a Chroma server?"))]
    NotChroma {
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The tenant or the database is not there.
    #[error("Chroma at {address} has no database `{database}` of tenant `{tenant}`")]
    #[diagnostic(
        code(trueup::vector::no_database),
        help("make it with Chroma's AdminClient, or correct `vector.tenant` and `vector.database`")
    )]
    NoDatabase { address: String, tenant: String, database: String },
    /// The folder of an embedded store is not there.
    #[error("the folder {} of the vector store does not exist", path.display())]
    #[diagnostic(code(trueup::vector::no_folder), help("make the folder, or correct `vector.url`"))]
    NoFolder { path: PathBuf },
    /// The collection is not there: it was deleted since it was observed.
    #[error("there is no collection `{collection}`")]
    #[diagnostic(code(trueup::vector::no_collection), help("plan again: it was deleted in the meantime"))]
    NoCollection { collection: String },
    /// Another bookkeeping made the collection since it was observed.
    #[error("collection `{collection}` was made by somebody else in the meantime")]
    #[diagnostic(code(trueup::vector::foreign_collection), help("plan again, which says whose it is"))]
    ForeignCollection { collection: String },
    /// A document that this stack did not put there has the id of one that is wanted.
    #[error("collection `{collection}` holds a document `{id}` that this stack did not put there")]
    #[diagnostic(
        code(trueup::vector::foreign_document),
        help("delete or rename that document by hand, or use a collection of another name")
    )]
    ForeignDocument { collection: String, id: String },
    /// The store's file.
    #[error("vector store {}: {source}", path.display())]
    #[diagnostic(
        code(trueup::vector::sqlite),
        help(
            "{}",
            source.help().unwrap_or("is the file an SQLite database that this user may read and write?")
        )
    )]
    Sqlite {
        path: PathBuf,
        #[source]
        source: sql::Error,
    },
    /// A text could not be embedded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Embed(#[from] embed::Error),
}
