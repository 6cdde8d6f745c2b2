//! Observes the declared accounts and those in the inventory with one query. Keeps one fingerprint per
//! column; the password column is not read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Declared, desired_columns, value_fingerprint};
use crate::address::Kind;
use crate::catalog::{Column, Snapshot, TableName};
use crate::digest::Fingerprint;
use crate::journal::Inventory;
use crate::rows::clash::{self, Pair};
use crate::rows::{Asked, BATCH, Desired, Error, Result, Shape, Source, equals, read_text};
use crate::sql::{self, Database};
use crate::stack;

/// The accounts that were queried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    pub table: TableName,
    /// The column of the usernames.
    pub username: String,
    /// Column fingerprints by username; `None` for an account that does not exist.
    pub users: BTreeMap<String, Option<BTreeMap<String, Fingerprint>>>,
    /// Declared accounts that are one row to the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clashes: Vec<AccountClash>,
}

/// Two declared accounts that are one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClash {
    pub one: String,
    pub other: String,
    pub reason: String,
}

impl std::fmt::Display for AccountClash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { one, other, reason } = self;
        write!(f, "the accounts {one:?} and {other:?} are one row in the database: {reason}")
    }
}

/// The first clashes among declared accounts.
pub(super) async fn clashes(
    accounts: &stack::Accounts,
    declared: &[Declared],
    schema: &Snapshot,
    database: &Database,
) -> sql::Result<Vec<AccountClash>> {
    let name = TableName::parse(&accounts.table);
    let dialect = database.dialect();
    let others: BTreeSet<&String> =
        declared.iter().flat_map(|(_, columns)| columns).map(|(column, _)| column).collect();
    let named = std::iter::once(&accounts.username).chain(others.iter().copied());
    let asked: Vec<Asked> = named.map(|name| Asked { name: name.clone(), list: false }).collect();
    let key = std::slice::from_ref(&accounts.username);
    let Ok(shape) = Shape::resolve(&name, key, &asked, schema, dialect) else { return Ok(Vec::new()) };
    let rows = declared.iter().map(|(username, columns)| {
        let cell = |name: &&String| {
            columns.iter().find(|(column, _)| column == *name).and_then(|(_, cell)| cell.text())
        };
        (
            username,
            shape.as_taken(std::iter::once(Some(username.as_str())).chain(others.iter().map(cell)).collect()),
        )
    });
    let rows: Vec<_> = rows.filter(|(_, row)| shape.misfit(row).is_none()).collect();
    let username = |at: usize| rows.get(at).map(|(username, _)| (*username).clone());
    let pairs = clash::pairs(&shape, rows.iter().map(|(_, row)| row.clone()), database).await?;
    let clash = |Pair { one, other, reason }| {
        Some(AccountClash { one: username(one)?, other: username(other)?, reason })
    };
    Ok(pairs.into_iter().filter_map(clash).collect())
}

/// Returns `None` where no account is queried or the table does not exist.
pub(crate) async fn observe(
    desired: &Desired,
    inventory: &Inventory,
    schema: &Snapshot,
    database: &Database,
) -> Result<Option<Accounts>> {
    let Some(accounts) = &desired.accounts else { return Ok(None) };
    let name = TableName::parse(&accounts.table);
    let Some(table) = schema.tables.get(&name) else { return Ok(None) };
    let Some(username) = table.column(&accounts.username) else { return Ok(None) };

    let known = inventory.0.keys().filter_map(|address| address.name_of(Kind::User));
    let names: BTreeSet<&str> = desired.users.keys().map(String::as_str).chain(known).collect();
    let mut asked: BTreeSet<String> =
        [Some(&accounts.email), accounts.role.as_ref(), accounts.active.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
    asked.extend(
        desired.users.values().flat_map(|user| desired_columns(accounts, user)).map(|(column, _)| column),
    );
    asked.remove(&accounts.password);
    let columns: Vec<&Column> = asked.iter().filter_map(|name| table.column(name)).collect();

    let mut users: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), None)).collect();
    let names: Vec<Vec<Option<String>>> = names.into_iter().map(|name| vec![Some(name.to_owned())]).collect();
    for names in names.chunks(BATCH) {
        let source = Source::new(database.dialect(), 1, names);
        let read = columns.iter().map(|column| format!(", {}", read_text(database.dialect(), column)));
        let sql = format!(
            "SELECT q.c0{} FROM {} AS t JOIN {} ON {}",
            read.collect::<String>(),
            name.located(database.dialect()),
            source.sql,
            equals(database.dialect(), username, 0),
        );
        let doing = || Error::doing(format!("reading the accounts in {name}"));
        for row in database.query(&sql, &source.values).await.map_err(doing())? {
            let prints = columns.iter().zip(row.values().iter().skip(1));
            let prints = prints.map(|(column, value)| {
                (column.name.clone(), value_fingerprint(database.dialect(), column, value.as_deref()))
            });
            users.insert(row.text(0).map_err(doing())?.to_owned(), Some(prints.collect()));
        }
    }
    let declared: Vec<_> =
        desired.users.iter().map(|(name, user)| (name.clone(), desired_columns(accounts, user))).collect();
    let clashes = clashes(accounts, &declared, schema, database).await;
    let clashes = clashes.map_err(Error::doing(format!("comparing the accounts in {name}")))?;
    Ok(Some(Accounts { table: name, username: username.name.clone(), users, clashes }))
}
