//! The validated stack: everything that a spec and the files it names say, defaults filled in,
//! references resolved. It holds no mistakes: `spec::load` gives this or errors, never both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Location, RedactedUrl, Secret};
use crate::change::{Address, Risk};
use crate::digest::Digest;

/// One environment of one stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// `stack:`
    pub name: String,
    /// `environment:`
    pub environment: String,
    /// The file that was asked for, as the user wrote its path.
    pub file: PathBuf,
    /// `flags:`, with the defaults of the built-in three.
    pub flags: Flags,
    /// `system:`
    pub system: System,
    /// `targets:`, those that are off too (see [`Target::on`]).
    pub targets: BTreeMap<String, Target>,
    /// `vector:`
    pub vector: Option<Vector>,
    /// `cache:`
    pub cache: Option<Cache>,
    /// `policies:`
    pub policies: BTreeMap<String, Policy>,
    /// Everything that has a name of its own, whether it is on or off: what can be protected.
    pub declared: BTreeSet<Address>,
    /// Of these, what has `protect: true`.
    pub protected: BTreeSet<Address>,
    /// `moved:`, new addresses by old ones.
    pub moved: BTreeMap<Address, Address>,
    /// Digest of the merged spec, placeholders in place of secrets, and of every file it names.
    pub digest: Digest,
    /// Remarks: literal secrets, a URL of a target that is off, a dropped policy.
    pub warnings: Vec<Warning>,
}

impl Stack {
    /// Whether the environment is named as production.
    pub fn is_production(&self) -> bool {
        is_production(&self.environment)
    }

    /// Every secret of a managed object whose variable is unset: a note for `plan` and `validate`,
    /// an error for `apply`.
    pub fn unset_secrets(&self) -> Vec<&Secret> {
        let roles = self.system.roles.values().filter_map(|role| role.password.as_ref());
        let users = self.system.users.values().map(|user| &user.password);
        roles.chain(users).filter(|secret| secret.expose().is_err()).collect()
    }
}

/// Whether an environment of this name is production: `prod` or `production`.
pub fn is_production(environment: &str) -> bool {
    matches!(environment, "prod" | "production")
}

/// A remark on a spec that is valid.
#[derive(Debug, Clone)]
pub struct Warning {
    /// What is remarkable.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where.
    pub at: Option<Location>,
}

/// The flags of a stack: the three built-in ones and any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub BTreeMap<String, bool>);

impl Flags {
    /// The value of a flag; one that nobody declared is off.
    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// Whether the condition holds; no condition always does.
    pub fn allow(&self, when: Option<&When>) -> bool {
        match when {
            None => true,
            Some(When { flag, negated }) => self.is_on(flag) != *negated,
        }
    }

    /// Whether the vector store is to be trained.
    pub fn auto_train_vector(&self) -> bool {
        self.is_on("auto_train_vector")
    }
}

/// `when: flag` or `when: not flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The flag's name; it is declared.
    pub flag: String,
    /// `not`.
    pub negated: bool,
}

/// `system:` the application's own database.
#[derive(Debug, Clone)]
pub struct System {
    /// Where it is.
    pub endpoint: Endpoint<SystemUrl>,
    /// Where `system:` stands.
    pub at: Location,
    /// `create_database:`
    pub create_database: bool,
    /// `extensions:`, PostgreSQL only.
    pub extensions: Vec<String>,
    /// `migrations:`, read; empty without the key.
    pub migrations: MigrationSets,
    /// `order:`
    pub order: Order,
    /// `lock_timeout:`, per statement of a migration.
    pub lock_timeout: Duration,
    /// `statement_timeout:`, zero for none.
    pub statement_timeout: Duration,
    /// `schema_drift:`
    pub schema_drift: SchemaDrift,
    /// `roles:`, by name; PostgreSQL only.
    pub roles: BTreeMap<String, Role>,
    /// `accounts:`; `None` when `false`.
    pub accounts: Option<Accounts>,
    /// `users:`, by username.
    pub users: BTreeMap<String, User>,
    /// `terms:`
    pub terms: Terms,
    /// `ontologies:`, read.
    pub ontologies: BTreeMap<String, Ontology>,
    /// `seeds:`, read; those that are off too.
    pub seeds: BTreeMap<String, Seed>,
}

/// An address of the system database.
#[derive(Debug, Clone)]
pub enum SystemUrl {
    /// `postgres://…`
    Postgres(RedactedUrl),
    /// `sqlite://…`: an absolute path, or one relative to the current folder.
    Sqlite(PathBuf),
}

/// Migrations as they lie in the folder: one set for any dialect, or one a dialect.
#[derive(Debug, Clone, Default)]
pub struct MigrationSets {
    /// The folder, as its path counts from the current one; `None` without migrations.
    pub folder: Option<std::path::PathBuf>,
    /// `<dir>/*.sql`
    pub common: Vec<Migration>,
    /// `<dir>/postgres/*.sql`
    pub postgres: Vec<Migration>,
    /// `<dir>/sqlite/*.sql`
    pub sqlite: Vec<Migration>,
    /// `repeatable/` in any of these folders.
    pub repeatable: RepeatableSets,
}

/// Repeatable migrations as they lie in the folders: for any dialect, and for one.
#[derive(Debug, Clone, Default)]
pub struct RepeatableSets {
    /// `<dir>/repeatable/*.sql`
    pub common: Vec<Repeatable>,
    /// `<dir>/postgres/repeatable/*.sql`
    pub postgres: Vec<Repeatable>,
    /// `<dir>/sqlite/repeatable/*.sql`
    pub sqlite: Vec<Repeatable>,
}

/// A file that is run again whenever its text changes: views and functions.
#[derive(Debug, Clone)]
pub struct Repeatable {
    /// The file's stem: the last part of the address.
    pub name: String,
    /// The whole text.
    pub sql: String,
    /// The file.
    pub at: Location,
}

/// One migration file, named `VERSION_NAME.sql` as sqlx names them.
#[derive(Debug, Clone)]
pub struct Migration {
    /// The number before the first underscore.
    pub version: i64,
    /// The file's stem, such as `0001_init`: the last part of the address.
    pub stem: String,
    /// What follows the number, with spaces for underscores: sqlx's description.
    pub description: String,
    /// The whole text, byte for byte.
    pub sql: String,
    /// SHA-384 of the text, as sqlx computes it.
    pub checksum: Vec<u8>,
    /// Whether the file begins with `-- no-transaction`.
    pub no_transaction: bool,
    /// The file.
    pub at: Location,
}

/// `order:` of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// A migration older than the newest applied one is an error.
    Linear,
    /// It is applied, and the plan says so.
    Allow,
}

/// `schema_drift:`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchemaDrift {
    /// Not looked at.
    Ignore,
    /// Shown.
    Warn,
    /// Shown as a failed check.
    Fail,
}

/// One of `roles:`, on the server of the system database.
#[derive(Debug, Clone)]
pub struct Role {
    /// Whether it may log in.
    pub login: bool,
    /// Its password, at least 12 characters; without one it is not looked at.
    pub password: Option<Secret>,
    /// Raised to set the password again, where the server does not let it be compared.
    pub password_version: Option<u32>,
    /// Whether it has the privileges of the roles that it is a member of.
    pub inherit: bool,
    /// How many connections it may have at a time.
    pub connection_limit: Option<u32>,
    /// The roles that it is a member of, directly.
    pub member_of: BTreeSet<String>,
    /// Privileges by glob of tables; see `docs/reference/spec.md` for what a glob names.
    pub grants: BTreeMap<String, BTreeSet<Privilege>>,
    /// Where it stands.
    pub at: Location,
}

/// What a role may do with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// Read rows.
    Select,
    /// Add rows, and take values from the sequences of its columns.
    Insert,
    /// Change rows.
    Update,
    /// Remove rows.
    Delete,
    /// Empty it.
    Truncate,
    /// Refer to it by a foreign key.
    References,
    /// Put a trigger on it.
    Trigger,
    /// Vacuum, analyze, cluster, reindex, refresh and lock it. PostgreSQL 17 and later.
    Maintain,
}

impl Privilege {
    /// As SQL writes it.
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Maintain => "MAINTAIN",
        }
    }

    /// The major version of PostgreSQL that brought it, where not all that are supported have it.
    pub fn since(self) -> Option<u32> {
        match self {
            Self::Select
            | Self::Insert
            | Self::Update
            | Self::Delete
            | Self::Truncate
            | Self::References
            | Self::Trigger => None,
            Self::Maintain => Some(17),
        }
    }
}

/// `accounts:` where application accounts are rows.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The table, optionally `schema.table`.
    pub table: String,
    /// Column of the username, the key.
    pub username: String,
    /// Column of the address.
    pub email: String,
    /// Column of the password's hash.
    pub password: String,
    /// Column of the role; `None` when `false`.
    pub role: Option<String>,
    /// Column of whether the account is active; `None` when `false`.
    pub active: Option<String>,
    /// Where it stands; for defaults, where `users:` stands.
    pub at: Location,
}

/// One of `users:`.
#[derive(Debug, Clone)]
pub struct User {
    /// Its address.
    pub email: Option<String>,
    /// Its role.
    pub role: Option<String>,
    /// Whether it may sign in; true by default.
    pub active: bool,
    /// Its password, at least 12 characters.
    pub password: Secret,
    /// How the password is hashed.
    pub hash: PasswordHash,
    /// Raised to set the password again.
    pub password_version: Option<u32>,
    /// Further columns, by their own names.
    pub columns: BTreeMap<String, Cell>,
    /// Where it stands.
    pub at: Location,
}

/// `hash:` of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PasswordHash {
    /// argon2id, PHC string.
    Argon2id,
    /// bcrypt at cost 12, `$2b$`; at most 72 bytes of password.
    Bcrypt,
}

/// One value of a row, as written; what it means depends on the column's type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// `null`, or an empty field of a CSV file.
    Null,
    /// The text as it stands in the file: `0123` stays `0123`.
    Text(String),
    /// A list or map, as compact JSON with sorted keys.
    Json(String),
}

/// `terms:` where the terms of ontologies are rows.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The table, optionally `schema.table`.
    pub table: String,
    /// Column of the ontology's name, part of the key.
    pub ontology: String,
    /// Column of the term, part of the key.
    pub term: String,
    /// Column of the definition.
    pub definition: Option<String>,
    /// Column of the synonyms, a JSON list.
    pub synonyms: Option<String>,
    /// Column of the metric's expression.
    pub expression: Option<String>,
    /// Column of the tables and columns that the term speaks of, a JSON list.
    pub tables: Option<String>,
    /// Where it stands; for defaults, where `ontologies:` or `system:` stands.
    pub at: Location,
}

/// One ontology file, read. Terms keep the order of the file.
#[derive(Debug, Clone)]
pub struct Ontology {
    /// Its terms; no two have one name.
    pub terms: Vec<Term>,
    /// Where the spec names the file.
    pub at: Location,
}

/// One term of a business vocabulary.
#[derive(Debug, Clone)]
pub struct Term {
    /// Its name.
    pub term: String,
    /// What it means.
    pub definition: String,
    /// Other names; their order means nothing.
    pub synonyms: Vec<String>,
    /// How it is computed, in SQL.
    pub expression: Option<String>,
    /// `table` or `table.column` that it speaks of; their order means nothing.
    pub tables: Vec<String>,
    /// Where it stands in its file.
    pub at: Location,
}

/// One of `seeds:`, with its rows read.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Whether its `when` holds.
    pub on: bool,
    /// `when:`
    pub when: Option<When>,
    /// The table, optionally `schema.table`.
    pub table: String,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// The columns that the rows have, the key's among them.
    pub columns: Vec<String>,
    /// The rows, a cell for each of `columns`. No two have one key.
    pub rows: Vec<Vec<Cell>>,
    /// `mode:`
    pub mode: SeedMode,
    /// Where it stands.
    pub at: Location,
}

/// `mode:` of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeedMode {
    /// Adds what is missing.
    Insert,
    /// Also changes what differs.
    Upsert,
    /// Also deletes what this tool inserted and the spec no longer has.
    Mirror,
}

/// One of `targets:`: a business database, read and never written.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whether `enable_target_db` is on and its `when` holds.
    pub on: bool,
    /// Where it is.
    pub endpoint: Endpoint<TargetUrl>,
    /// `include:`, globs of table names; `*` by default.
    pub include: Vec<String>,
    /// `exclude:`
    pub exclude: Vec<String>,
    /// `require:`, columns by table.
    pub require: BTreeMap<String, Vec<String>>,
    /// `require_read_only:`, its default filled in by the kind of the endpoint.
    pub require_read_only: bool,
    /// Where it stands.
    pub at: Location,
}

/// An address of a target database.
#[derive(Debug, Clone)]
pub enum TargetUrl {
    /// `sqlite://…`: an absolute path, or one relative to the current folder.
    Sqlite(PathBuf),
}

/// `vector:` the vector store and what it is trained from.
#[derive(Debug, Clone)]
pub struct Vector {
    /// Where it is.
    pub endpoint: Endpoint<VectorUrl>,
    /// `tenant:` of Chroma.
    pub tenant: String,
    /// `database:` of Chroma.
    pub database: String,
    /// `token:` of Chroma.
    pub token: Option<Secret>,
    /// `embedder:`
    pub embedder: Embedder,
    /// `collections:`
    pub collections: BTreeMap<String, Collection>,
    /// `keep_generations:`
    pub keep_generations: u32,
    /// Where it stands.
    pub at: Location,
}

/// An address of a vector store.
#[derive(Debug, Clone)]
pub enum VectorUrl {
    /// `http://…`, `https://…`
    Chroma(RedactedUrl),
    /// `sqlite://…`: an absolute path, or one relative to the current folder.
    Sqlite(PathBuf),
}

/// `embedder:` how texts become vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedder {
    /// Feature hashing of words and character n-grams.
    Hashing {
        /// Length of a vector; 384 by default.
        dimensions: usize,
    },
}

/// One of `collections:` and where its documents come from.
#[derive(Debug, Clone)]
pub struct Collection {
    /// `from.schema`: names of targets, one document a table.
    pub schema: Vec<String>,
    /// `terms`: names of ontologies whose terms join the documents of the tables they speak of.
    pub terms: Vec<String>,
    /// `from.ontologies`: names of ontologies, one document a term.
    pub ontologies: Vec<String>,
    /// `from.files`, read: one document each.
    pub files: Vec<SourceFile>,
    /// Whether the spec has `from.files`: one that matches nothing is no reason to delete.
    pub names_files: bool,
    /// `from.examples`, read: one document a question.
    pub examples: Vec<Example>,
    /// Whether the spec has `from.examples`: one that is empty is no reason to delete.
    pub names_examples: bool,
    /// Where it stands.
    pub at: Location,
}

/// A file of prose, read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path relative to the spec file that names it, with `/`: part of the document's id.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A question and the SQL that answers it.
#[derive(Debug, Clone)]
pub struct Example {
    /// The question.
    pub question: String,
    /// The statement that answers it.
    pub sql: String,
    /// The target that it runs on.
    pub target: Option<String>,
    /// Where it stands in its file.
    pub at: Location,
}

/// `cache:`
#[derive(Debug, Clone)]
pub struct Cache {
    /// Where it is.
    pub endpoint: Endpoint<CacheUrl>,
    /// `databases:`, what lives on which db number.
    pub databases: BTreeMap<String, u32>,
    /// `config:`, Redis only; values as written, such as `256mb`.
    pub config: BTreeMap<String, String>,
    /// `namespaces:`
    pub namespaces: BTreeMap<String, Namespace>,
    /// `streams:`
    pub streams: BTreeMap<String, Stream>,
    /// Where it stands.
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
    /// What its keys begin with.
    pub prefix: String,
    /// How long its keys live, in whole seconds.
    pub ttl: Duration,
    /// Where it stands.
    pub at: Location,
}

/// One of `streams:`.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Consumer groups, each from the stream's beginning.
    pub groups: Vec<String>,
    /// Entries that it keeps.
    pub maxlen: Option<u64>,
    /// Where it stands.
    pub at: Location,
}

/// One of `policies:`: what a plan may not contain.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What it denies.
    pub denies: Denies,
    /// Where it stands.
    pub at: Location,
}

/// What a policy denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denies {
    /// `deny:` every change at this risk.
    Risk(Risk),
    /// `deny_flag:` the flag, and every change that it switches on.
    Flag(String),
}
