//! The identity of a bookkeeping: a random value, created with its tables. It is part of the mark on
//! objects in stores that several environments share, because two environments may have the same name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Result, table};
use crate::sql::Database;

/// The key in the table `meta`.
pub(super) const KEY: &str = "identity";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// Wraps the text of the table `meta` or of a mark.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The first characters, enough to distinguish identities in messages.
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

/// Reads the identity; `None` where an older trueup created the bookkeeping.
pub async fn identity(database: &Database) -> Result<Option<Identity>> {
    let sql = format!("SELECT value FROM {} WHERE key = '{KEY}'", table(database.dialect(), "meta"));
    let rows = database.query(&sql, &[]).await?;
    Ok(rows.first().and_then(|row| row.get(0)).map(Identity::from_text))
}
