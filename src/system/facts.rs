//! Facts about a database that one round trip returns: its version, its extensions, and whether it has a history of
//! migrations.

use std::collections::BTreeMap;

use super::{Error, Result};
use crate::connection::history_exists;
use crate::sql::{Database, Dialect};

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) version: String,
    /// By name, with their versions.
    pub(super) extensions: BTreeMap<String, String>,
    /// Whether the history table exists.
    pub(super) has_history: bool,
}

/// Queries the version, the extensions, and whether there is a history.
pub(super) async fn observe(database: &Database) -> Result<Facts> {
    let (version, installed) = match database.dialect() {
        Dialect::Postgres => (
            "SELECT current_setting('server_version')",
            "SELECT extname::text, extversion FROM pg_extension ORDER BY 1",
        ),
        Dialect::Sqlite => ("SELECT sqlite_version()", "SELECT NULL, NULL WHERE false"),
    };
    let history = history_exists(database.dialect());
    let read = async || {
        let mut answers = database.query_each(&[version, installed, history]).await?.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let version = next().first().and_then(|row| row.get(0)).unwrap_or("").to_owned();
        let installed = next();
        let extensions = installed.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())));
        let extensions = extensions.collect::<crate::sql::Result<_>>()?;
        let has_history = next().first().map_or(Ok(false), |row| row.bool(0))?;
        Ok(Facts { version, extensions, has_history })
    };
    read().await.map_err(Error::doing("asking for the version"))
}
