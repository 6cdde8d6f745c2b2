//! Observes all roles of the server and their privileges in this database with one query, whatever the
//! number of tables. Passwords are compared here and reduced to the result.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::scram::{self, PasswordState};
use super::{Desired, Error, Result};
use crate::address::{Address, Kind};
use crate::sql::{Database, OF_CATALOGS, Row, Transaction, Value};
use crate::stack;

/// The query that returns [`Roles`] as JSON.
const CATALOG: &str = include_str!("catalog.sql");
/// Returns the stored passwords of the given roles.
const STORED: &str =
    "SELECT rolname::text, COALESCE(rolpassword, '') FROM pg_catalog.pg_authid WHERE rolname = ANY($1)";

/// Privileges by role, as SQL names them, with `*` behind those with grant option. `OWNER` for the owner,
/// who has all privileges without a grant.
pub(super) type Rights = BTreeMap<String, BTreeSet<String>>;

/// Schema and name of a table.
pub(super) type Name = (String, String);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// The account of this tool, which runs the migrations.
    pub account: String,
    pub database: String,
    /// The server's version as a number: 150004.
    pub server: u32,
    /// The server's setting for the iterations of password hashes, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u32>,
    /// Whether the account may read the stored passwords.
    #[serde(default)]
    pub reads_passwords: bool,
    /// On the database itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
    /// Whether PUBLIC may connect to the database.
    #[serde(default)]
    pub open: bool,
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// By name; `""` has the default privileges for all schemas.
    pub schemas: BTreeMap<String, Schema>,
    /// The results of comparing the passwords of the spec with those of the server.
    #[serde(default)]
    pub passwords: BTreeMap<String, PasswordState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub login: bool,
    /// Whether it inherits the privileges of the roles that it is a member of.
    pub inherit: bool,
    /// The maximum number of connections; -1 for no limit.
    pub connection_limit: i32,
    /// The time since which its password is expired (`VALID UNTIL`), in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<String>,
    /// Whether it may connect to this database, by its own privilege or that of PUBLIC.
    pub connects: bool,
    /// Attributes that give access without grants: `SUPERUSER`, `CREATEROLE`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub powers: Vec<String>,
    /// The roles that it is a direct member of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub member_of: BTreeMap<String, Membership>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    #[serde(default)]
    pub grantors: Vec<String>,
    /// Whether it inherits the other role's privileges. Since PostgreSQL 16, each membership has
    /// this option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherits: Option<bool>,
    /// Whether it may grant the membership to others.
    #[serde(default)]
    pub admin: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// On the schema itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
    /// Tables and views, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Table>,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequences: BTreeMap<String, Sequence>,
    /// On tables that the account will create.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub future_tables: Rights,
    /// On sequences that the account will create.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub future_sequences: Rights,
    /// On schemas that the account will create.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub future_schemas: Rights,
    /// Whether PUBLIC may create tables in it.
    #[serde(default)]
    pub open: bool,
    /// Whether PUBLIC has USAGE that the account cannot revoke: schema `public` before PostgreSQL 15, which
    /// the owner of the database does not own.
    #[serde(default)]
    pub given: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// For a partition, the table that it is a part of, followed by that one's parents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Name>,
    /// On the whole table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
    /// On single columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: Rights,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The tables with columns that take their values from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<Name>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
}

/// Whether a plan needs to observe roles: the spec or the inventory has some.
pub fn are_asked<'a>(
    wanted: &BTreeMap<String, stack::Role>,
    mut known: impl Iterator<Item = &'a Address>,
) -> bool {
    !wanted.is_empty() || known.any(|address| address.kind() == Kind::Role)
}

/// Returns `None` where neither the spec nor the inventory has roles.
pub(crate) async fn observe(desired: &Desired, database: &Database) -> Result<Option<Roles>> {
    if database.dialect() != crate::sql::Dialect::Postgres {
        return Ok(None);
    }
    let failed = || Error::doing("reading the roles");
    let answers = database.query_each(&[OF_CATALOGS, CATALOG]).await.map_err(failed())?;
    let rows = answers.into_iter().nth(1).unwrap_or_default();
    let mut roles = read(&rows).map_err(failed())?;

    let known = |name: &String| roles.roles.contains_key(name);
    let with_password = |(name, role): (&String, &stack::Role)| Some((name.clone(), role.password.clone()?));
    let asked: BTreeMap<_, _> =
        desired.roles.iter().filter(|(name, _)| known(name)).filter_map(with_password).collect();
    let mut verdicts: BTreeMap<String, PasswordState> =
        asked.keys().map(|name| (name.clone(), PasswordState::Unknown)).collect();
    if roles.reads_passwords && asked.values().any(|secret| secret.expose().is_ok()) {
        let names = asked.keys().map(|name| Some(name.clone())).collect();
        for row in database.query(STORED, &[Value::Texts(names)]).await.map_err(failed())? {
            let (name, stored) = (row.text(0).map_err(failed())?, row.text(1).map_err(failed())?);
            if let Some(secret) = asked.get(name) {
                verdicts.insert(name.to_owned(), scram::compare(secret, stored).await);
            }
        }
    }
    roles.passwords = verdicts;
    Ok(Some(roles))
}

impl Roles {
    /// The state in a database of the same server that is about to be created: PUBLIC may connect, and
    /// there are no grants.
    pub(crate) fn in_new_database(mut self, name: String) -> Self {
        self.database = name;
        self.open = true;
        self.rights.clear();
        self.schemas.clear();
        self.roles.values_mut().for_each(|role| role.connects = true);
        self
    }
}

/// Reads the roles in a transaction, without comparing passwords.
pub(super) async fn observe_in(transaction: &mut Transaction) -> crate::sql::Result<Roles> {
    read(&transaction.query(CATALOG, &[]).await?)
}

fn read(rows: &[Row]) -> crate::sql::Result<Roles> {
    let text = rows.first().map_or(Err(crate::sql::Error::Empty(0)), |row| row.text(0))?;
    serde_json::from_str(text)
        .map_err(|error| crate::sql::Error::Decode { column: 0, kind: format!("json ({error})") })
}
