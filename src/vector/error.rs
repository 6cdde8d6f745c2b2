//! What can go wrong with a vector store. No message has a password or token in it.

use std::path::PathBuf;
use std::time::Duration;

use crate::embed;
use crate::journal::lock::Lost;
use crate::sql;

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
