//! Errors of a vector store. No message contains a password or token.

use std::path::PathBuf;
use std::time::Duration;

use crate::embed;
use crate::journal::lock::Lost;
use crate::sql;

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The run has lost its lock.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockLost(#[from] Lost),
    /// The URL or the token refers to variables that are not set.
    #[error("the vector store's URL or token needs {names}, which is not set")]
    #[diagnostic(code(trueup::vector::unset), help("set the variable, or plan against a file with --world"))]
    Unset { names: String },
    #[error("the token of the vector store has characters that no HTTP header can carry")]
    #[diagnostic(code(trueup::vector::token), help("look for a line break or a space at its end"))]
    Token,
    #[error("cannot reach Chroma at {address}: {reason}")]
    #[diagnostic(
        code(trueup::vector::unreachable),
        help("is the server running, and is `vector.url` its address?")
    )]
    Unreachable {
        address: String,
        /// The network error.
        reason: String,
        /// Whether a retry may help.
        transient: bool,
    },
    /// The server rejected the token.
    #[error("Chroma at {address} refuses the credential (HTTP {status})")]
    #[diagnostic(
        code(trueup::vector::refused),
        help("set `vector.token` to a token that the server accepts")
    )]
    Refused { address: String, status: u16 },
    #[error("Chroma at {address} answers HTTP {status}: {message}")]
    #[diagnostic(
        code(trueup::vector::server),
        help("see the server's log; run the same command again to go on")
    )]
    Server {
        address: String,
        status: u16,
        message: String,
        /// The value of its Retry-After header.
        retry_after: Option<Duration>,
    },
    /// The response exceeds the limit.
    #[error("an answer of Chroma at {address} is longer than {megabytes} MB")]
    #[diagnostic(
        code(trueup::vector::long_answer),
        help("is `vector.url` the address of a Chroma server, and not of something that sends without end?")
    )]
    LongAnswer { address: String, megabytes: usize },
    /// The list of documents has no end, or is too long to keep in memory.
    #[error("the database `{database}` of Chroma at {address} {what}")]
    #[diagnostic(
        code(trueup::vector::too_much),
        help("a database is read as a whole: give this stack one of its own with `vector.database`")
    )]
    TooMuch {
        address: String,
        database: String,
        /// Which limit was exceeded.
        what: String,
    },
    /// The server supports only the first version of the API.
    #[error("Chroma at {address} speaks only the old API (/api/v1), and version 0.6 or later is needed")]
    #[diagnostic(code(trueup::vector::too_old), help("upgrade the server: `pip install 'chromadb>=1.0'`"))]
    TooOld { address: String },
    /// The server is not Chroma.
    #[error("what answers at {address} is not Chroma: {reason}")]
    #[diagnostic(code(trueup::vector::not_chroma), help("is `vector.url` the address of a Chroma server?"))]
    NotChroma {
        address: String,
        /// Why the response is not valid.
        reason: String,
    },
    /// The tenant or the database does not exist.
    #[error("Chroma at {address} has no database `{database}` of tenant `{tenant}`")]
    #[diagnostic(
        code(trueup::vector::no_database),
        help("make it with Chroma's AdminClient, or correct `vector.tenant` and `vector.database`")
    )]
    NoDatabase { address: String, tenant: String, database: String },
    #[error("the folder {} of the vector store does not exist", path.display())]
    #[diagnostic(code(trueup::vector::no_folder), help("make the folder, or correct `vector.url`"))]
    NoFolder { path: PathBuf },
    /// The collection was deleted after it was observed.
    #[error("there is no collection `{collection}`")]
    #[diagnostic(code(trueup::vector::no_collection), help("plan again: it was deleted in the meantime"))]
    NoCollection { collection: String },
    /// Another bookkeeping created the collection after it was observed.
    #[error("collection `{collection}` was made by somebody else in the meantime")]
    #[diagnostic(code(trueup::vector::foreign_collection), help("plan again, which says whose it is"))]
    ForeignCollection { collection: String },
    /// A document of another owner has the id of a desired one.
    #[error("collection `{collection}` holds a document `{id}` that this stack did not put there")]
    #[diagnostic(
        code(trueup::vector::foreign_document),
        help("delete or rename that document by hand, or use a collection of another name")
    )]
    ForeignDocument { collection: String, id: String },
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
    /// Its vector would be zero, and so equally far from every question.
    #[error("document `{id}` has no word that the embedder knows")]
    #[diagnostic(
        code(trueup::vector::no_words),
        help("write its text in words, or leave it out; the embedder `static` knows English words best")
    )]
    NoWords { id: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Embed(#[from] embed::Error),
}
