//! The observed system database: its schema, its migration history, and fingerprints of rows. The number of
//! queries does not depend on the number of rows. Reads only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{self, Facts};
use super::{Desired, Error, Result};
use crate::address::Address;
use crate::catalog::{self, Snapshot, TableName};
use crate::connection::{Client, Presence, database_name};
use crate::digest::Digest;
use crate::journal::{Inventory, Move, RowLocations};
use crate::lint::{Emptiness, Missing};
use crate::migrations::{self, Applied};
use crate::roles::{self, Roles};
use crate::rows::{self, Accounts, Answer, Owned};
use crate::sql::{Database, Dialect};
use crate::stack::SystemUrl;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub dialect: Dialect,
    /// The server's version; empty when the database does not exist.
    pub version: String,
    pub presence: Presence,
    /// By name, with their versions.
    pub extensions: BTreeMap<String, String>,
    /// The migration history; `None` where its table does not exist.
    pub migrations: Option<Vec<Applied>>,
    /// For each table that a pending migration asserts to be empty, whether it is.
    #[serde(default)]
    pub emptiness: BTreeMap<TableName, Emptiness>,
    /// Objects that pending migrations create or drop with `IF [NOT] EXISTS` and that do not exist.
    #[serde(default, skip_serializing_if = "Missing::is_empty")]
    pub missing: Missing,
    pub schema: Snapshot,
    /// The server's roles and their privileges. `None` on SQLite, and where neither the spec nor the
    /// inventory has any.
    #[serde(default)]
    pub roles: Option<Roles>,
    /// The accounts that were queried.
    pub accounts: Option<Accounts>,
    /// Answers of tables, by the digest of the question.
    pub rows: BTreeMap<Digest, Answer>,
    /// The existing rows that the inventory has.
    pub owned: BTreeMap<Address, Vec<Owned>>,
}

impl Observed {
    /// The value for a database that does not exist.
    fn missing(dialect: Dialect) -> Self {
        Self {
            dialect,
            version: String::new(),
            presence: Presence::Missing,
            extensions: BTreeMap::new(),
            migrations: None,
            emptiness: BTreeMap::new(),
            missing: Missing::default(),
            schema: Snapshot::default(),
            roles: None,
            accounts: None,
            rows: BTreeMap::new(),
            owned: BTreeMap::new(),
        }
    }

    pub(crate) fn for_migrations(&self) -> migrations::Observed<'_> {
        migrations::Observed {
            exists: self.presence == Presence::Present,
            schema: &self.schema,
            extensions: &self.extensions,
            history: self.migrations.as_deref(),
            emptiness: &self.emptiness,
            missing: &self.missing,
        }
    }

    pub(crate) fn for_rows(&self) -> rows::Observed<'_> {
        rows::Observed {
            dialect: self.dialect,
            schema: &self.schema,
            accounts: self.accounts.as_ref(),
            rows: &self.rows,
            owned: &self.owned,
        }
    }

    pub(crate) fn for_roles(&self) -> roles::Observed<'_> {
        roles::Observed {
            exists: self.presence == Presence::Present,
            is_migrated: self.migrations.is_some(),
            roles: self.roles.as_ref(),
        }
    }

    /// Applies the renames of the spec, so that old names in the inventory count as new ones.
    #[must_use]
    pub fn renamed(mut self, moves: &[Move]) -> Self {
        for Move { from, to } in moves {
            let Some(old) = self.owned.remove(from) else { continue };
            let new = self.owned.entry(to.clone()).or_default();
            for owned in old {
                let same = |there: &&mut Owned| there.table == owned.table && there.key == owned.key;
                match new.iter_mut().find(same) {
                    None => new.push(owned),
                    Some(there) => there.rows.extend_with(owned.rows),
                }
            }
        }
        self
    }
}

/// What a database can list independent of the spec and the bookkeeping.
#[derive(Debug)]
pub struct Listed {
    seen: Facts,
    migrations: Option<Vec<Applied>>,
    schema: Snapshot,
}

/// Lists the database. The schema takes longest, so it is read on a connection of its own where
/// possible.
pub async fn list(open: &Database) -> Result<Listed> {
    let schema = async { catalog::introspect(open).await.map_err(Error::doing("reading the schema")) };
    let history = async {
        let seen = facts::observe(open).await?;
        let migrations = if seen.has_history { Some(migrations::observe(open).await?) } else { None };
        Ok((seen, migrations))
    };
    let (schema, (seen, migrations)) = tokio::try_join!(schema, history)?;
    Ok(Listed { seen, migrations, schema })
}

/// Observes a database that does not exist. Only the server's roles can be read.
pub async fn observe_missing(desired: &Desired, inventory: &Inventory, client: &Client) -> Result<Observed> {
    let is_asked = client.is_surveying() || desired.roles.are_asked(inventory);
    let roles = if is_asked { roles_beside(desired, client).await? } else { None };
    Ok(Observed { roles, ..Observed::missing(client.dialect()) })
}

/// Completes a listing with the rows of the spec and the inventory.
pub async fn observe(
    desired: &Desired,
    listed: Listed,
    inventory: &Inventory,
    places: &RowLocations,
    client: &Client,
) -> Result<Observed> {
    let Listed { seen, migrations, schema } = listed;
    let Facts { version, extensions, has_history: _ } = seen;
    let open = client.database().await?;
    let emptiness = migrations::observe_assertions(&desired.migrations, migrations.as_deref(), &open).await?;
    let missing = migrations::observe_missing(&desired.migrations, migrations.as_deref(), &open).await?;
    let is_asked = client.is_surveying() || desired.roles.are_asked(inventory);
    let roles = async { if is_asked { Ok(roles::observe(&desired.roles, &open).await?) } else { Ok(None) } };
    let rows = async {
        let accounts = rows::observe_accounts(&desired.rows, inventory, &schema, &open).await?;
        let rows = rows::observe(&desired.rows, &schema, &open).await?;
        Ok::<_, Error>((accounts, rows, rows::observe_owned(places, &schema, &open).await?))
    };
    let (roles, (accounts, rows, owned)) = tokio::try_join!(roles, rows)?;
    Ok(Observed {
        dialect: open.dialect(),
        version,
        presence: Presence::Present,
        extensions,
        migrations,
        emptiness,
        missing,
        schema,
        roles,
        accounts,
        rows,
        owned,
    })
}

/// Reads the server's roles where the system database does not exist. `None` where the account can connect
/// to no other database.
async fn roles_beside(desired: &Desired, client: &Client) -> Result<Option<Roles>> {
    let SystemUrl::Postgres(url) = client.url() else { return Ok(None) };
    let Ok(maintenance) = client.maintenance(url).await else { return Ok(None) };
    let roles = roles::observe(&desired.roles, &maintenance).await;
    maintenance.close().await;
    Ok(roles?.map(|roles| roles.in_new_database(database_name(url))))
}
