//! Which bookkeeping it is: a random value, made with it. It stands in the mark of whatever this
//! bookkeeping puts into a store that others share, because two environments may have one name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Result, table};
use crate::sql::Database;

/// The key in `meta`.
pub(super) const KEY: &str = "identity";

/// The identity of a bookkeeping, as its table or a mark in a store has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// As the bookkeeping or a mark has it.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The first letters, which tell it from others for people.
    pub fn shortened(&self) -> &str {
        const SHOWN: usize = 8;
        self.0.char_indices().nth(SHOWN).map_or(&self.0, |(end, _)| self.0.get(..end).unwrap_or_default())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a bookkeeping that exists; `None` for one that an older trueup made.
pub async fn identity(database: &Database) -> Result<Option<Identity>> {
    let sql = format!("SELECT value FROM {} WHERE key = '{KEY}'", table(database.dialect(), "meta"));
    let rows = database.query(&sql, &[]).await?;
    Ok(rows.first().and_then(|row| row.get(0)).map(Identity::from_text))
}
