//! `system:`: the application's own database, its roles and its accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cell, MigrationSets, Ontology, Order, Seed, Terms};
use crate::location::Location;
use crate::stack::{Endpoint, RedactedUrl, Secret};

/// `system:`: the application's own database.
#[derive(Debug, Clone)]
pub struct System {
    pub endpoint: Endpoint<SystemUrl>,
    pub at: Location,
    pub create_database: bool,
    /// `extensions:`, PostgreSQL only.
    pub extensions: Vec<String>,
    /// The migrations in the folder of `migrations:`; empty without the key.
    pub migrations: MigrationSets,
    pub order: Order,
    /// `lock_timeout:` for each statement of a migration.
    pub lock_timeout: Duration,
    /// `statement_timeout:`; zero means no timeout.
    pub statement_timeout: Duration,
    pub schema_drift: SchemaDrift,
    /// `roles:`, by name; PostgreSQL only.
    pub roles: BTreeMap<String, Role>,
    /// `accounts:`; `None` when `false`.
    pub accounts: Option<Accounts>,
    /// `users:`, by username.
    pub users: BTreeMap<String, User>,
    pub terms: Terms,
    /// `ontologies:`, with the content of their files.
    pub ontologies: BTreeMap<String, Ontology>,
    /// `seeds:`, with the content of their files, including disabled ones.
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
    /// The schema is not checked.
    Ignore,
    /// Drift is a warning.
    Warn,
    /// Drift is a failed check.
    Fail,
}

/// One of `roles:`, on the server of the system database.
#[derive(Debug, Clone)]
pub struct Role {
    pub login: bool,
    /// Its password, at least 12 characters. Without one the password is not managed.
    pub password: Option<Secret>,
    /// Increased to set the password again, because some servers do not allow comparing passwords.
    pub password_version: Option<u32>,
    /// Whether it inherits the privileges of the roles that it is a member of.
    pub inherit: bool,
    /// Maximum number of simultaneous connections.
    pub connection_limit: Option<u32>,
    /// The roles that it is a direct member of.
    pub member_of: BTreeSet<String>,
    /// Privileges by glob of table names; see `docs/reference/spec.md` for the meaning of a glob.
    pub grants: BTreeMap<String, BTreeSet<Privilege>>,
    pub at: Location,
}

/// A privilege of a role on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// Read rows.
    Select,
    /// Insert rows, and use the sequences of the table's columns.
    Insert,
    /// Update rows.
    Update,
    /// Delete rows.
    Delete,
    /// Truncate the table.
    Truncate,
    /// Reference the table in a foreign key.
    References,
    /// Create a trigger on the table.
    Trigger,
    /// Vacuum, analyze, cluster, reindex, refresh and lock the table. PostgreSQL 17 and later.
    Maintain,
}

impl Privilege {
    /// Returns the SQL keyword.
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

    /// Returns the first major version of PostgreSQL that has it, unless every supported version
    /// does.
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

/// `accounts:`: the table of the application's accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The table, optionally `schema.table`.
    pub table: String,
    /// Column of the username, which is the key.
    pub username: String,
    /// Column of the email address.
    pub email: String,
    /// Column of the password's hash.
    pub password: String,
    /// Column of the role; `None` when `false`.
    pub role: Option<String>,
    /// Column of whether the account is active; `None` when `false`.
    pub active: Option<String>,
    /// Location of the mapping, or of `users:` if all of it is defaults.
    pub at: Location,
}

/// One of `users:`.
#[derive(Debug, Clone)]
pub struct User {
    pub email: Option<String>,
    pub role: Option<String>,
    /// Whether the account may sign in; true by default.
    pub active: bool,
    /// Its password, at least 12 characters.
    pub password: Secret,
    pub hash: PasswordHash,
    /// Increased to set the password again.
    pub password_version: Option<u32>,
    /// Other columns by name.
    pub columns: BTreeMap<String, Cell>,
    pub at: Location,
}

/// `hash:` of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PasswordHash {
    /// argon2id, PHC string.
    Argon2id,
    /// bcrypt at cost 12, `$2b$`, which uses at most 72 bytes of the password.
    Bcrypt,
}
