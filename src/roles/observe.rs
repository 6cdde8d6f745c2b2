//! Looks at all roles of the server and at what they hold in this database: one query, whatever
//! the number of tables. Passwords are compared here and leave one word behind.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Desired, Error, Result, scram};
use crate::address::{Address, Kind};
use crate::sql::{Database, OF_CATALOGS, Row, Transaction, Value};
use crate::stack;

/// What the catalogs say, as JSON of [`Roles`].
const CATALOG: &str = include_str!("catalog.sql");
/// The stored password of each of these roles.
const STORED: &str =
    "SELECT rolname::text, COALESCE(rolpassword, '') FROM pg_catalog.pg_authid WHERE rolname = ANY($1)";

/// What each role holds: privileges as SQL names them, `*` behind one that may be passed on; `OWNER`
/// for the owner, who may do anything and holds nothing by grant.
pub(super) type Rights = BTreeMap<String, BTreeSet<String>>;

/// Schema and name of a table.
pub(super) type Name = (String, String);

/// The roles of the server, and what they hold in this database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// The account that asks, which is the one that migrates.
    pub account: String,
    pub database: String,
    /// The server's version as a number: 150004.
    pub server: u32,
    /// How often the server has passwords hashed, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u32>,
    /// Whether the stored passwords may be read.
    #[serde(default)]
    pub reads_passwords: bool,
    /// On the database itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
    /// Whether anybody may connect to the database.
    #[serde(default)]
    pub open: bool,
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// By name; `""` has what holds for all schemas.
    pub schemas: BTreeMap<String, Schema>,
    /// Whether the passwords of the spec are those of the server.
    #[serde(default)]
    pub passwords: BTreeMap<String, Verdict>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub login: bool,
    /// Whether it has the privileges of the roles that it is a member of.
    pub inherit: bool,
    /// Connections at a time; -1 for any number.
    pub connection_limit: i32,
    /// Since when its password is refused (`VALID UNTIL`), in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<String>,
    /// Whether it may connect to this database, by itself or as anybody.
    pub connects: bool,
    /// What it may do whatever is granted: `SUPERUSER`, `CREATEROLE`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub powers: Vec<String>,
    /// The roles that it is a member of, directly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub member_of: BTreeMap<String, Membership>,
}

/// How a role is a member of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    #[serde(default)]
    pub grantors: Vec<String>,
    /// Whether it has the other's privileges, since PostgreSQL 16 a matter of each membership.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherits: Option<bool>,
    /// Whether it may make others members.
    #[serde(default)]
    pub admin: bool,
}

/// A schema, and what is in it.
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
    /// On tables that the account is going to make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub future_tables: Rights,
    /// On sequences that the account is going to make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub future_sequences: Rights,
    /// On schemas that the account is going to make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub future_schemas: Rights,
    /// Whether anybody may make tables in it.
    #[serde(default)]
    pub open: bool,
    /// Whether anybody may use it and the account cannot say who: `public` before PostgreSQL 15,
    /// which the owner of the database does not own.
    #[serde(default)]
    pub given: bool,
}

/// A table or view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Of a partition, the table that it is a part of, and that one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Name>,
    /// On the whole table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
    /// On some of its columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: Rights,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The tables whose columns take their values from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<Name>,
    /// Who may use it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: Rights,
}

/// Whether a password is the one that the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Same,
    /// It is not, or the server has none, or none by SCRAM.
    Differs,
    /// It cannot be told: no variable, or the catalog may not be read.
    Unknown,
}

/// Whether a plan needs to know of roles: the stack has some, or had, by the addresses of its inventory.
pub fn are_asked<'a>(
    wanted: &BTreeMap<String, stack::Role>,
    mut known: impl Iterator<Item = &'a Address>,
) -> bool {
    !wanted.is_empty() || known.any(|address| address.kind() == Kind::Role)
}

/// All roles; `None` where there are none to speak of.
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
    let mut verdicts: BTreeMap<String, Verdict> =
        asked.keys().map(|name| (name.clone(), Verdict::Unknown)).collect();
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
    /// What holds in a database of the same server that is going to be made: anybody may connect to it,
    /// and nothing is granted in it.
    pub(crate) fn in_new_database(mut self, name: String) -> Self {
        self.database = name;
        self.open = true;
        self.rights.clear();
        self.schemas.clear();
        self.roles.values_mut().for_each(|role| role.connects = true);
        self
    }
}

/// All roles as a transaction sees them, without their passwords.
pub(super) async fn observe_in(transaction: &mut Transaction) -> crate::sql::Result<Roles> {
    read(&transaction.query(CATALOG, &[]).await?)
}

fn read(rows: &[Row]) -> crate::sql::Result<Roles> {
    let text = rows.first().map_or(Err(crate::sql::Error::Empty(0)), |row| row.text(0))?;
    serde_json::from_str(text)
        .map_err(|error| crate::sql::Error::Decode { column: 0, kind: format!("json ({error})") })
}
