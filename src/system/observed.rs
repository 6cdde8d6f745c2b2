//! What was observed of the system database: its schema, its history of migrations and, of rows,
//! fingerprints. A constant number of queries a table, whatever the number of rows. Reads only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Desired, Error, Result, database};
use crate::address::Address;
use crate::catalog::{self, Snapshot, TableName};
use crate::connection::{Client, Presence, database_name};
use crate::digest::Digest;
use crate::journal::{Inventory, Move, Places};
use crate::lint::{Emptiness, Missing};
use crate::migrations::{self, Applied};
use crate::roles::{self, Roles};
use crate::rows::{self, Accounts, Answer, Owned};
use crate::sql::{Database, Dialect};
use crate::stack::SystemUrl;

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
    /// Whether the tables that pending migrations assert to be empty are.
    #[serde(default)]
    pub emptiness: BTreeMap<TableName, Emptiness>,
    /// What pending migrations make or drop by `IF [NOT] EXISTS`, and is not there.
    #[serde(default, skip_serializing_if = "Missing::is_empty")]
    pub missing: Missing,
    pub schema: Snapshot,
    /// The roles of the server and what they hold; `None` on SQLite, and where the stack neither has
    /// nor had any.
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
            emptiness: BTreeMap::new(),
            missing: Missing::default(),
            schema: Snapshot::default(),
            roles: None,
            accounts: None,
            rows: BTreeMap::new(),
            owned: BTreeMap::new(),
        }
    }

    /// What of it concerns migrations.
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

    /// What of it concerns rows.
    pub(crate) fn for_rows(&self) -> rows::Seen<'_> {
        rows::Seen {
            dialect: self.dialect,
            schema: &self.schema,
            accounts: self.accounts.as_ref(),
            rows: &self.rows,
            owned: &self.owned,
        }
    }

    /// What of it concerns roles.
    pub(crate) fn for_roles(&self) -> roles::Seen<'_> {
        roles::Seen {
            exists: self.presence == Presence::Present,
            is_migrated: self.migrations.is_some(),
            roles: self.roles.as_ref(),
        }
    }

    /// The same with the new names of what the spec calls otherwise than before.
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

/// What a database can list, whatever the spec and the bookkeeping ask for.
#[derive(Debug)]
pub struct Listed {
    seen: database::Seen,
    migrations: Option<Vec<Applied>>,
    schema: Snapshot,
}

/// Lists what the database has. The schema takes longest, and has a connection of its own where there is one.
pub async fn list(open: &Database) -> Result<Listed> {
    let schema = async { catalog::introspect(open).await.map_err(Error::doing("reading the schema")) };
    let history = async {
        let seen = database::observe(open).await?;
        let migrations = if seen.has_history { Some(migrations::observe(open).await?) } else { None };
        Ok((seen, migrations))
    };
    let (schema, (seen, migrations)) = tokio::try_join!(schema, history)?;
    Ok(Listed { seen, migrations, schema })
}

/// What there is where the database is not: roles are the server's.
pub async fn observe_missing(desired: &Desired, inventory: &Inventory, client: &Client) -> Result<Observed> {
    let is_asked = client.is_surveying() || desired.roles.are_asked(inventory);
    let roles = if is_asked { roles_beside(desired, client).await? } else { None };
    Ok(Observed { roles, ..Observed::missing(client.dialect()) })
}

/// Looks at the database: what was listed, and the rows that the spec or the inventory knows.
pub async fn observe(
    desired: &Desired,
    listed: Listed,
    inventory: &Inventory,
    places: &Places,
    client: &Client,
) -> Result<Observed> {
    let Listed { seen, migrations, schema } = listed;
    let database::Seen { version, extensions, has_history: _ } = seen;
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

/// The roles of the server, as they will be in the database that is missing. Nothing is known of them
/// where the account may use no other database.
async fn roles_beside(desired: &Desired, client: &Client) -> Result<Option<Roles>> {
    let SystemUrl::Postgres(url) = client.url() else { return Ok(None) };
    let Ok(maintenance) = client.maintenance(url).await else { return Ok(None) };
    let roles = roles::observe(&desired.roles, &maintenance).await;
    maintenance.close().await;
    Ok(roles?.map(|roles| roles.in_new_database(database_name(url))))
}
