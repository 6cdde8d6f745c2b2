//! The spec as deserialized: every key with its type and its description. The JSON Schema is generated from these
//! structs, so that it describes exactly what is read. Rules across keys are in `rules/`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::typed::field::{
    Addresses, Field, Named, Opt, OrFalse, SecretText, Setting, TextOr, Value, Written,
};
use super::{Order, PasswordHash, Privilege, SchemaDrift, SeedMode, VectorAuth};

/// The data stack of one environment. Keys keep their meaning in overlays: maps merge key by key,
/// scalars and lists replace, `null` removes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    /// Version of this language: 1. Required.
    #[schemars(extend("enum" = [1, null]))]
    pub version: Opt<u32>,
    /// Name of the stack, `[a-z][a-z0-9-]*`: it names the lock and the bookkeeping. Required.
    #[schemars(extend("pattern" = r"^([a-z][a-z0-9-]*|.*\$\{.*)$"))]
    pub stack: Opt<String>,
    /// Name of the environment, such as `dev`; `prod` and `production` are guarded. Required.
    pub environment: Opt<String>,
    /// A file that this one extends; its path is relative to this file.
    #[expect(dead_code, reason = "Taken out of the tree by the layers; here for the schema")]
    pub extends: Opt<String>,
    /// Switches. Built in: `seed_demo_data` (default true), `enable_target_db` (default false) and
    /// `auto_train_vector` (default false). Any other name may be added.
    pub flags: Opt<Named<bool>>,
    /// The application's own database. Required.
    pub system: Opt<System>,
    /// Business databases, which are read and never written.
    pub targets: Opt<Named<Target>>,
    /// The vector store and the sources of its documents.
    pub vector: Opt<Vector>,
    /// The cache.
    pub cache: Opt<Cache>,
    /// Maps old addresses to new ones, so that a renamed object is not deleted and created again.
    pub moved: Opt<Named<String>>,
    /// Rules about what a plan must not contain.
    pub policies: Opt<Named<Policy>>,
}

/// The application's own database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct System {
    /// `postgres://…`, `sqlite:///absolute/path` or `sqlite://path/relative/to/this/file`. Required, or
    /// `connection`.
    pub url: Opt<Written>,
    /// The parts of the URL as keys instead of `url`: none of them needs an encoding.
    pub connection: Opt<Connection>,
    /// Create the database if it is missing. Default false.
    pub create_database: Opt<bool>,
    /// Extensions of PostgreSQL to create.
    pub extensions: Opt<Vec<Field<String>>>,
    /// Folder of migrations: `*.sql`, or `postgres/*.sql` and `sqlite/*.sql`.
    pub migrations: Opt<String>,
    /// Whether a migration older than the newest applied one is an error (`linear`, the default).
    pub order: Opt<Order>,
    /// How long a statement of a migration waits for a lock. Default `5s`.
    pub lock_timeout: Opt<String>,
    /// How long a statement of a migration may run. Default `0s`, for ever.
    pub statement_timeout: Opt<String>,
    /// What to do when the schema was changed by hand. Default `warn`.
    pub schema_drift: Opt<SchemaDrift>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
    /// Roles of PostgreSQL, by name.
    pub roles: Opt<Named<Role>>,
    /// The table of application accounts; `false` without one.
    pub accounts: Opt<OrFalse<Accounts>>,
    /// Application accounts, by username.
    pub users: Opt<Named<User>>,
    /// The table of the terms of ontologies.
    pub terms: Opt<Terms>,
    /// Files of business terms, by name: a path, or `{ file: path, protect: true }`.
    pub ontologies: Opt<Named<TextOr<OntologyFile>>>,
    /// Rows that must exist, by name.
    pub seeds: Opt<Named<Seed>>,
}

/// The parts of a server's URL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    /// Kind of the server. Required.
    pub kind: Opt<ServerKind>,
    /// Name or address of the host; for PostgreSQL also the folder of a socket. Required.
    pub host: Opt<String>,
    /// Port. Default: the usual one of this kind.
    pub port: Opt<u16>,
    /// Account.
    pub user: Opt<String>,
    /// Its password.
    pub password: Opt<SecretText>,
    /// Name of the database; for Redis the number of a db.
    pub database: Opt<String>,
    /// Encrypts the connection and verifies the server.
    pub tls: Opt<Tls>,
}

/// Kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ServerKind {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// Chroma.
    Chroma,
}

/// Files for TLS, in PEM.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Certificates of the trusted authorities. Default: the public ones.
    pub ca: Opt<String>,
    /// Client certificate.
    pub cert: Opt<String>,
    /// Private key of the client certificate.
    pub key: Opt<String>,
}

/// A role of PostgreSQL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    /// Whether it may log in. Default false.
    pub login: Opt<bool>,
    /// Its password, at least 12 characters.
    pub password: Opt<SecretText>,
    /// Increase it to set the password again.
    pub password_version: Opt<u32>,
    /// Whether it has the privileges of the roles that it is a member of without `SET ROLE`. Default true.
    pub inherit: Opt<bool>,
    /// Maximum number of simultaneous connections. Default: unlimited.
    pub connection_limit: Opt<u32>,
    /// Roles that it is a member of: of the spec, or of the server.
    pub member_of: Opt<Vec<Field<String>>>,
    /// Privileges by glob of tables: `*` for all, `report_*`, `schema.*`. They add up; an empty list
    /// takes all away.
    pub grants: Opt<Named<Vec<Field<Privilege>>>>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// The table of application accounts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Accounts {
    /// The table. Default `users`.
    pub table: Opt<String>,
    /// The names of its columns.
    pub columns: Opt<AccountColumns>,
}

/// The columns of the accounts' table.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountColumns {
    /// Column of the username. Default `username`.
    pub username: Opt<String>,
    /// Column of the email address. Default `email`.
    pub email: Opt<String>,
    /// Column of the password's hash. Default `password_hash`.
    pub password: Opt<String>,
    /// Column of the role. Default `role`; `false` when there is none.
    pub role: Opt<OrFalse<String>>,
    /// Column of whether the account is active. Default `is_active`; `false` when there is none.
    pub active: Opt<OrFalse<String>>,
}

/// An application account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// Its email address.
    pub email: Opt<String>,
    /// Its role.
    pub role: Opt<String>,
    /// Whether it may sign in. Default true.
    pub active: Opt<bool>,
    /// Its first password, at least 12 characters. Required.
    pub password: Opt<SecretText>,
    /// How the password is hashed. Default `argon2id`.
    pub hash: Opt<PasswordHash>,
    /// Increase it to set the password again.
    pub password_version: Opt<u32>,
    /// Values of further columns, by column name.
    pub columns: Opt<Cells>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// Values by column.
pub(super) type Cells = Named<Value>;

/// The table of the terms of ontologies, with one row per term.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Terms {
    /// The table. Default `business_ontologies`.
    pub table: Opt<String>,
    /// The names of its columns.
    pub columns: Opt<TermColumns>,
}

/// The columns of the terms' table.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TermColumns {
    /// Column of the ontology's name. Default `ontology`.
    pub ontology: Opt<String>,
    /// Column of the term. Default `term`.
    pub term: Opt<String>,
    /// Column of the definition. Default `definition`; `false` when there is none.
    pub definition: Opt<OrFalse<String>>,
    /// Column of the synonyms, a JSON list. Default `synonyms`; `false` when there is none.
    pub synonyms: Opt<OrFalse<String>>,
    /// Column of the metric's expression. Default `expression`; `false` when there is none.
    pub expression: Opt<OrFalse<String>>,
    /// Column of the tables, a JSON list. Default `source_tables`; `false` when there is none.
    pub tables: Opt<OrFalse<String>>,
}

/// A file of business terms, with further settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OntologyFile {
    /// The file. Required.
    pub file: Opt<String>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// Rows that must be in a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Seed {
    /// `flag` or `not flag`: the condition under which the rows are applied. Default: always.
    pub when: Opt<String>,
    /// The table. Required.
    pub table: Opt<String>,
    /// The columns that identify a row. Required.
    pub key: Opt<Vec<Field<String>>>,
    /// A file of rows: `.csv`, `.yaml` or `.json`. Required.
    pub rows: Opt<String>,
    /// `insert` (the default) adds what is missing, `upsert` also changes what differs, `mirror`
    /// also deletes what the file no longer has.
    pub mode: Opt<SeedMode>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// A business database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    /// `flag` or `not flag`: a condition in addition to `enable_target_db`.
    pub when: Opt<String>,
    /// `sqlite://…`, `postgres://…` or `mysql://…`. Required, or `connection`.
    pub url: Opt<Written>,
    /// The parts of the URL as keys instead of `url`: none of them needs an encoding.
    pub connection: Opt<Connection>,
    /// Globs of the tables that are read. Default `*`.
    pub include: Opt<Vec<Field<String>>>,
    /// Globs of the tables that are not read.
    pub exclude: Opt<Vec<Field<String>>>,
    /// Columns that must exist, by table.
    pub require: Opt<Named<Vec<Field<String>>>>,
    /// Fail if the credential has write access. Default: true for servers, false for files.
    pub require_read_only: Opt<bool>,
    /// Verified copies of it.
    pub backup: Opt<Backup>,
    /// A file that this one is a copy of.
    pub copy_of: Opt<String>,
    /// Maximum number of sample rows in documents, by table.
    pub samples: Opt<Named<u32>>,
    /// Globs of columns that are left out of documents, such as `*.ssn`.
    pub hide_columns: Opt<Vec<Field<String>>>,
    /// Many databases instead of one `url`.
    pub discover: Opt<Discover>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// Discovers databases, each of which becomes a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Described and refused: no backend yet")]
pub(super) struct Discover {
    /// Glob of SQLite files.
    pub glob: Opt<String>,
    /// A server.
    pub url: Opt<Written>,
    /// Glob of its databases.
    pub databases: Opt<String>,
}

/// Verified copies of a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Described and refused: no backend yet")]
pub(super) struct Backup {
    /// The folder of the copies.
    pub dir: Opt<String>,
    /// How many copies are kept.
    pub keep: Opt<u32>,
    /// Whether each copy is read back.
    pub verify: Opt<bool>,
}

/// The vector store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Vector {
    /// `http://…` of Chroma, `sqlite://…` of an embedded one, or `postgres://…`. Required, or `connection`.
    pub url: Opt<Written>,
    /// The parts of the URL as keys instead of `url`: none of them needs an encoding.
    pub connection: Opt<Connection>,
    /// Tenant of Chroma. Default `default_tenant`.
    pub tenant: Opt<String>,
    /// Database of Chroma. Default `default_database`.
    pub database: Opt<String>,
    /// Token of Chroma.
    pub token: Opt<SecretText>,
    /// How the token is sent to Chroma. Default `token` for Chroma Cloud, else `bearer`.
    pub auth: Opt<VectorAuth>,
    /// Prefix of the name of every collection in the store, so that environments can share one. Default none.
    pub prefix: Opt<String>,
    /// How texts become vectors.
    pub embedder: Opt<Embedder>,
    /// Format of ids and documents. Default `native`.
    pub layout: Opt<Layout>,
    /// Collections, by name.
    pub collections: Opt<Named<Collection>>,
    /// How many old generations are kept after a re-embedding. Default 2.
    pub keep_generations: Opt<u32>,
    /// Questions that retrieval must answer after training.
    pub checks: Opt<Named<RetrievalCheck>>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// How texts become vectors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Embedder {
    /// `static`, `minilm`, `bert`, `hashing` or `http`. Required where `embedder:` is given.
    pub kind: Opt<EmbedderKind>,
    /// Folder of the model, for `minilm`.
    pub path: Opt<String>,
    /// Address of the service, for `http`.
    pub url: Opt<Written>,
    /// Name of the model, for `http`.
    pub model: Opt<String>,
    /// Length of a vector, for `http` and `hashing`. Default 384 for `hashing`.
    pub dimensions: Opt<u32>,
    /// Token of the service, for `http`.
    pub token: Opt<SecretText>,
    /// Prefix of a question, for `bert`.
    pub query_prefix: Opt<String>,
    /// Prefix of a document, for `bert`.
    pub document_prefix: Opt<String>,
    /// Price of a million tokens, for `http`.
    pub price: Opt<Setting>,
    /// Where paid vectors are kept, for `http`: a folder, or `system`.
    pub cache: Opt<String>,
}

/// Kinds of embedders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EmbedderKind {
    /// Built-in word vectors.
    Static,
    /// all-MiniLM-L6-v2 on the CPU.
    Minilm,
    /// Another model of the BERT family on the CPU.
    Bert,
    /// Feature hashing of words and character n-grams; needs no model.
    Hashing,
    /// A service with an `OpenAI`-compatible API.
    Http,
}

/// Format of ids and documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layout {
    /// The format of trueup.
    Native,
    /// The format of the vanna library.
    Vanna,
}

/// A collection of documents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Collection {
    /// Where its documents come from. Required.
    pub from: Opt<From>,
    /// Ontologies whose terms are added to the documents of the tables they refer to.
    pub terms: Opt<Vec<Field<String>>>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// Where documents come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// Targets: one document per table.
    pub schema: Opt<Vec<Field<String>>>,
    /// Ontologies: one document per term.
    pub ontologies: Opt<Vec<Field<String>>>,
    /// Globs of text files: one document per file.
    pub files: Opt<Vec<Field<String>>>,
    /// YAML files of questions and SQL: one document per question.
    pub examples: Opt<Vec<Field<String>>>,
}

/// A check of retrieval: a question and the expected results.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Described and refused: no backend yet")]
pub(super) struct RetrievalCheck {
    /// The question.
    pub question: Opt<String>,
    /// The collection to search.
    pub collection: Opt<String>,
    /// Number of results to consider.
    pub top: Opt<u32>,
    /// Tables that must be among the results.
    pub expect: Opt<Vec<Field<String>>>,
}

/// The cache.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    /// `redis://…`, `rediss://…`, a list of them for a cluster, or `sqlite://…`. Required, or `connection`.
    pub url: Opt<Addresses>,
    /// The parts of the URL as keys instead of `url`: none of them needs an encoding.
    pub connection: Opt<Connection>,
    /// Purpose of each db number of Redis.
    pub databases: Opt<Named<u32>>,
    /// Configuration of Redis; values as Redis writes them, such as `256mb`.
    pub config: Opt<Named<Setting>>,
    /// Users of Redis, by name.
    pub acl: Opt<Named<AclUser>>,
    /// Write changed configuration into the server's own file (`CONFIG REWRITE`). Default false.
    pub persist: Opt<bool>,
    /// Key prefixes and the time to live of their keys.
    pub namespaces: Opt<Named<Namespace>>,
    /// Streams and their consumer groups.
    pub streams: Opt<Named<Stream>>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// A user of Redis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Described and refused: no backend yet")]
pub(super) struct AclUser {
    /// Its password.
    pub password: Opt<SecretText>,
    /// Patterns of the keys that it may access.
    pub keys: Opt<Vec<Field<String>>>,
    /// Commands that it may use.
    pub commands: Opt<Vec<Field<String>>>,
    /// Passwords while they are rotated.
    pub passwords: Opt<Vec<Field<SecretText>>>,
    /// Patterns of the channels that it may use.
    pub channels: Opt<Vec<Field<String>>>,
    /// Further sets of keys and commands.
    pub selectors: Opt<Vec<Field<AclSelector>>>,
    /// Close its open connections when its permissions are reduced. Default false.
    pub revoke: Opt<bool>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// A further set of keys and commands of a user of Redis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Described and refused: no backend yet")]
pub(super) struct AclSelector {
    /// Patterns of the keys that it may access.
    pub keys: Opt<Vec<Field<String>>>,
    /// Commands that it may use.
    pub commands: Opt<Vec<Field<String>>>,
}

/// A key prefix.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Namespace {
    /// Prefix of its keys. Required.
    pub prefix: Opt<String>,
    /// Time to live of its keys, such as `24h`. Required.
    pub ttl: Opt<String>,
    /// Addresses whose change invalidates it.
    pub invalidate_with: Opt<Vec<Field<String>>>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// A stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stream {
    /// Its consumer groups, which start at the beginning of the stream.
    pub groups: Opt<Vec<Field<String>>>,
    /// Maximum number of entries.
    pub maxlen: Opt<u64>,
    /// Trim it to `maxlen`, except for unread entries. Default false.
    pub trim: Opt<bool>,
    /// Never delete or replace it.
    pub protect: Opt<bool>,
}

/// A rule about what a plan must not contain: a risk or a flag.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// A risk that no change may have.
    pub deny: Opt<DeniedRisk>,
    /// Denies this flag, and every change that it enables.
    pub deny_flag: Opt<String>,
}

/// A risk that a policy can deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeniedRisk {
    /// Loses data.
    Destructive,
    /// Blocks readers or writers of a table.
    Locking,
    /// Could not be checked before apply.
    Unvalidated,
}
