//! `system:` the application's own database: where it is, who may log in, which accounts it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cell, MigrationSets, Ontology, Order, Seed, Terms};
use crate::location::Location;
use crate::stack::{Endpoint, RedactedUrl, Secret};

/// `system:` the application's own database.
#[derive(Debug, Clone)]
pub struct System {
    pub endpoint: Endpoint<SystemUrl>,
    pub at: Location,
    pub create_database: bool,
    /// `extensions:`, PostgreSQL only.
    pub extensions: Vec<String>,
    /// `migrations:`, read; empty without the key.
    pub migrations: MigrationSets,
    pub order: Order,
    /// `lock_timeout:`, per statement of a migration.
    pub lock_timeout: Duration,
    /// `statement_timeout:`, zero for none.
    pub statement_timeout: Duration,
    pub schema_drift: SchemaDrift,
    /// `roles:`, by name; PostgreSQL only.
    pub roles: BTreeMap<String, Role>,
    /// `accounts:`; `None` when `false`.
    pub accounts: Option<Accounts>,
    /// `users:`, by username.
    pub users: BTreeMap<String, User>,
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
    pub email: Option<String>,
    pub role: Option<String>,
    /// Whether it may sign in; true by default.
    pub active: bool,
    /// Its password, at least 12 characters.
    pub password: Secret,
    pub hash: PasswordHash,
    /// Raised to set the password again.
    pub password_version: Option<u32>,
    /// Further columns, by their own names.
    pub columns: BTreeMap<String, Cell>,
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
