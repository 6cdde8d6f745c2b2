//! `system.migrations`: the migration files with their content.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::location::Location;
use crate::sql::FileTables;

/// Migrations for any dialect and for one dialect, as found in the folder.
#[derive(Debug, Clone, Default)]
pub struct MigrationSets {
    /// The folder, relative to the current one; `None` without migrations.
    pub folder: Option<PathBuf>,
    /// `<dir>/*.sql`
    pub common: Vec<Migration>,
    /// `<dir>/postgres/*.sql`
    pub postgres: Vec<Migration>,
    /// `<dir>/sqlite/*.sql`
    pub sqlite: Vec<Migration>,
    /// `repeatable/` in any of these folders.
    pub repeatable: RepeatableSets,
}

/// Repeatable migrations for any dialect and for one dialect.
#[derive(Debug, Clone, Default)]
pub struct RepeatableSets {
    /// `<dir>/repeatable/*.sql`
    pub common: Vec<Repeatable>,
    /// `<dir>/postgres/repeatable/*.sql`
    pub postgres: Vec<Repeatable>,
    /// `<dir>/sqlite/repeatable/*.sql`
    pub sqlite: Vec<Repeatable>,
}

/// A file that runs again whenever its text changes: for views and functions.
#[derive(Debug, Clone)]
pub struct Repeatable {
    /// The file's stem, which is the last part of the address.
    pub name: String,
    pub sql: String,
    /// The tables of the folder, for masking the text.
    pub tables: FileTables,
    pub at: Location,
}

/// One migration file, named `VERSION_NAME.sql` as sqlx names them.
#[derive(Debug, Clone)]
pub struct Migration {
    /// The number before the first underscore.
    pub version: i64,
    /// The file's stem, such as `0001_init`: the last part of the address.
    pub stem: String,
    /// The text after the number, with spaces for underscores: the description in sqlx.
    pub description: String,
    /// The text, byte for byte.
    pub sql: String,
    /// SHA-384 of the text, as sqlx computes it.
    pub checksum: Vec<u8>,
    /// Whether the file begins with `-- no-transaction`. Once the dialect is known, also whether
    /// the file has transactions of its own.
    pub no_transaction: bool,
    /// The tables of the folder, for masking the text.
    pub tables: FileTables,
    pub at: Location,
}

impl Migration {
    /// Whether a text starts with the marker for running outside a transaction.
    pub fn begins_outside(text: &str) -> bool {
        text.starts_with("-- no-transaction")
    }
}

/// `order:` of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// A migration older than the newest applied one is an error.
    Linear,
    /// An older migration is applied, with a note in the plan.
    Allow,
}
