//! What was observed of the system database: its schema, its history of migrations and, of rows,
//! fingerprints. A constant number of queries a table, whatever the number of rows. Reads only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::roles::Roles;
use super::rows::{Answer, Owned};
use super::users::Accounts;
use super::{Applied, Client, Desired, Presence, Result, database, migrations, roles, rows, users};
use crate::catalog::Snapshot;
use crate::change::Address;
use crate::digest::Digest;
use crate::journal::Entry;
use crate::sql::Dialect;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What the database speaks.
    pub dialect: Dialect,
    /// The server's version; empty when the database does not exist.
    pub version: String,
    /// Whether the database exists.
    pub presence: Presence,
    /// Installed extensions and their versions.
    pub extensions: BTreeMap<String, String>,
    /// The history of migrations; `None` without its table.
    pub migrations: Option<Vec<Applied>>,
    /// The tables.
    pub schema: Snapshot,
    /// The roles of the server and what they hold; `None` on SQLite, and in a world of before they were
    /// looked at.
    #[serde(default)]
    pub roles: Option<Roles>,
    /// The accounts that were asked for.
    pub accounts: Option<Accounts>,
    /// What tables answered, by the digest of the question.
    pub rows: BTreeMap<Digest, Answer>,
    /// What is still there of what the inventory knows.
    pub owned: BTreeMap<Address, Vec<Owned>>,
}

impl Observed {
    /// A database that does not exist.
    fn missing(dialect: Dialect) -> Self {
        Self {
            dialect,
            version: String::new(),
            presence: Presence::Missing,
            extensions: BTreeMap::new(),
            migrations: None,
            schema: Snapshot::default(),
            roles: None,
            accounts: None,
            rows: BTreeMap::new(),
            owned: BTreeMap::new(),
        }
    }
}

/// Looks at the database: whole where it can be listed, and at the rows that the spec or the
/// inventory knows.
pub async fn observe(desired: &Desired, inventory: &[Entry], client: &Client) -> Result<Observed> {
    if client.presence().await? == Presence::Missing {
        return Ok(Observed::missing(client.dialect()));
    }
    let open = client.database().await?;
    let (version, extensions) = database::observe(&open).await?;
    let migrations = migrations::observe(&open).await?;
    let introspected = crate::catalog::introspect(&open).await;
    let schema = introspected.map_err(super::Error::doing("reading the schema"))?;
    let roles = roles::observe(desired, &open).await?;
    let accounts = users::observe(desired, inventory, &schema, &open).await?;
    let rows = rows::observe(desired, &schema, &open).await?;
    let owned = rows::observe_owned(inventory, &schema, &open).await?;
    Ok(Observed {
        dialect: open.dialect(),
        version,
        presence: Presence::Present,
        extensions,
        migrations,
        schema,
        roles,
        accounts,
        rows,
        owned,
    })
}
