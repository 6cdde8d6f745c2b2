//! `targets:`, `vector:` and `cache:`: the stores beside the system database.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::location::Location;
use crate::stack::{Endpoint, RedactedUrl, Secret, When};

/// One of `targets:`: a business database, opened read-only.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whether `enable_target_db` is on and its `when` holds.
    pub on: bool,
    pub when: Option<When>,
    pub endpoint: Endpoint<TargetUrl>,
    /// `include:`, globs of table names; `*` by default.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// `require:`: columns by table.
    pub require: BTreeMap<String, Vec<String>>,
    /// `require_read_only:`, with the default for the kind of endpoint filled in.
    pub require_read_only: bool,
    pub at: Location,
}

/// An address of a target database.
#[derive(Debug, Clone)]
pub enum TargetUrl {
    /// `sqlite://…`: an absolute path, or one relative to the current folder.
    Sqlite(PathBuf),
}

/// `vector:`: the vector store and the sources of its documents.
#[derive(Debug, Clone)]
pub struct Vector {
    pub endpoint: Endpoint<VectorUrl>,
    /// `tenant:` of Chroma.
    pub tenant: String,
    /// `database:` of Chroma.
    pub database: String,
    /// `token:` of Chroma.
    pub token: Option<Secret>,
    /// `auth:` of Chroma; `None` for the default of its host.
    pub auth: Option<VectorAuth>,
    /// `prefix:` of the name of every collection in the store; empty by default.
    pub prefix: String,
    pub embedder: Embedder,
    pub collections: BTreeMap<String, Collection>,
}

/// How the token is sent to Chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VectorAuth {
    /// `x-chroma-token: TOKEN`
    Token,
    /// `Authorization: Bearer TOKEN`
    Bearer,
    /// `Authorization: Basic …` of `user:password`
    Basic,
}

/// An address of a vector store.
#[derive(Debug, Clone)]
pub enum VectorUrl {
    /// `http://…`, `https://…`
    Chroma(RedactedUrl),
    /// `sqlite://…`: an absolute path, or one relative to the current folder.
    Sqlite(PathBuf),
}

/// `embedder:`: how texts become vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedder {
    /// The built-in table of token vectors.
    Static,
    /// Feature hashing of words and character n-grams.
    Hashing {
        /// Length of a vector; 384 by default.
        dimensions: usize,
    },
}

/// One of `collections:`, with the sources of its documents.
#[derive(Debug, Clone)]
pub struct Collection {
    /// `from.schema`: names of targets, one document a table.
    pub schema: Vec<String>,
    /// `terms`: names of ontologies whose terms are added to the documents of the tables they refer
    /// to.
    pub terms: Vec<String>,
    /// `from.ontologies`: names of ontologies, one document a term.
    pub ontologies: Vec<String>,
    /// The files of `from.files`: one document each.
    pub files: Vec<SourceFile>,
    /// Whether the spec has `from.files`. If it has, globs without a match do not delete documents.
    pub names_files: bool,
    /// The examples of `from.examples`: one document per question.
    pub examples: Vec<Example>,
    /// Whether the spec has `from.examples`. If it has, an empty file does not delete documents.
    pub names_examples: bool,
    pub at: Location,
}

/// A file of prose with its content.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path relative to the spec file that names it, with `/` as separator. It is part of the
    /// document's id.
    pub name: String,
    pub text: String,
}

/// A question and the SQL that answers it.
#[derive(Debug, Clone)]
pub struct Example {
    pub question: String,
    pub sql: String,
    /// The target that the statement runs on.
    pub target: Option<String>,
    pub at: Location,
}

/// `cache:`
#[derive(Debug, Clone)]
pub struct Cache {
    pub endpoint: Endpoint<CacheUrl>,
    /// `databases:`: the purpose of each db number.
    pub databases: BTreeMap<String, u32>,
    /// `config:`, Redis only; values as written, such as `256mb`.
    pub config: BTreeMap<String, String>,
    pub namespaces: BTreeMap<String, Namespace>,
    pub streams: BTreeMap<String, Stream>,
    pub at: Location,
}

/// An address of a cache.
#[derive(Debug, Clone)]
pub enum CacheUrl {
    /// `redis://…`, `rediss://…`
    Redis(RedactedUrl),
    /// `sqlite://…`: an absolute path, or one relative to the current folder.
    Sqlite(PathBuf),
}

/// One of `namespaces:`.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// The prefix of its keys.
    pub prefix: String,
    /// Time to live of its keys, in whole seconds.
    pub ttl: Duration,
    pub at: Location,
}

/// One of `streams:`.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Consumer groups, which read from the beginning of the stream.
    pub groups: Vec<String>,
    /// The number of entries that it keeps.
    pub maxlen: Option<u64>,
    pub at: Location,
}
