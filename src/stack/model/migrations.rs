//! `system.migrations`: the files as they lie in their folders, read.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::location::Location;

/// Migrations as they lie in the folder: one set for any dialect, or one a dialect.
#[derive(Debug, Clone, Default)]
pub struct MigrationSets {
    /// The folder, as its path counts from the current one; `None` without migrations.
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
    /// Whether the file begins with `-- no-transaction`. Where the dialect is known: or has transactions
    /// of its own.
    pub no_transaction: bool,
    /// The file.
    pub at: Location,
}

impl Migration {
    /// Whether a text asks to run outside a transaction.
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
    /// It is applied, and the plan says so.
    Allow,
}
