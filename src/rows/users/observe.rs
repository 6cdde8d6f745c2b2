//! Observes the declared accounts and those in the inventory with one query. Keeps one fingerprint per
//! column; the password column is not read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Declared, declared, desired_columns, named_fingerprint, value_fingerprint};
use crate::address::Kind;
use crate::catalog::{Column, Snapshot, TableName};
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::Inventory;
use crate::location::Location;
use crate::rows::clash::{self, Pair};
use crate::rows::fits::as_taken;
use crate::rows::spelling::{ServerTexts, server_texts};
use crate::rows::{Asked, BATCH, Desired, Error, Result, Shape, Source, Spelling, Values, equals, read_text};
use crate::sql::{self, Database, Dialect};
use crate::stack;

/// The accounts that were queried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    pub table: TableName,
    /// The column of the usernames.
    pub username: String,
    /// Column fingerprints by username; `None` for an account that does not exist.
    pub users: BTreeMap<String, Option<BTreeMap<String, Fingerprint>>>,
    /// How the server stores the declared values.
    #[serde(default, skip_serializing_if = "Spelling::is_empty")]
    pub spelling: Spelling,
    /// Declared accounts that are one row to the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clashes: Vec<AccountClash>,
    /// Declared accounts without a row, where a unique index makes the name equal to a stored one; with the
    /// reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<String, String>,
}

/// Two declared accounts that are one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClash {
    pub one: String,
    pub other: String,
    pub reason: String,
}

impl AccountClash {
    /// The message with the location of each account. `at` returns the location of a declared account.
    pub(super) fn message(&self, at: impl Fn(&str) -> Option<Location>) -> String {
        let Self { one, other, reason } = self;
        let [one, other] = [one, other].map(|name| match at(name) {
            Some(at) => format!("{name:?} ({at})"),
            None => format!("{name:?}"),
        });
        format!("the accounts {one} and {other} are one row in the database: {reason}")
    }
}

/// The first clashes among declared accounts.
pub(super) async fn clashes(
    accounts: &stack::Accounts,
    declared: &[Declared],
    schema: &Snapshot,
    database: &Database,
) -> sql::Result<Vec<AccountClash>> {
    let Some((shape, rows)) = fitting_rows(accounts, declared, schema, database.dialect()) else {
        return Ok(Vec::new());
    };
    let username = |at: usize| rows.get(at).map(|(username, _)| (*username).to_owned());
    let pairs = clash::pairs(&shape, rows.iter().map(|(_, row)| row.clone()), database).await?;
    let clash = |Pair { one, other, reason }| {
        Some(AccountClash { one: username(one)?, other: username(other)?, reason })
    };
    Ok(pairs.into_iter().filter_map(clash).collect())
}

/// Accounts without a row that a unique index makes equal to a stored one, with the reason.
async fn taken(
    accounts: &stack::Accounts,
    absent: &[Declared],
    schema: &Snapshot,
    database: &Database,
) -> sql::Result<BTreeMap<String, String>> {
    let Some((shape, rows)) = fitting_rows(accounts, absent, schema, database.dialect()) else {
        return Ok(BTreeMap::new());
    };
    let equal = clash::equal_to_stored(&shape, rows.iter().map(|(_, row)| row.clone()), database).await?;
    let taken = equal.into_iter().filter_map(|(at, reason)| Some((rows.get(at)?.0.to_owned(), reason)));
    Ok(taken.collect())
}

/// The names and rows of the accounts that fit their columns; `None` where a column does not exist.
fn fitting_rows<'s>(
    accounts: &stack::Accounts,
    declared: &'s [Declared],
    schema: &'s Snapshot,
    dialect: Dialect,
) -> Option<(Shape<'s>, Vec<(&'s str, Values<'s>)>)> {
    let others: BTreeSet<&String> =
        declared.iter().flat_map(|account| &account.columns).map(|(column, _)| column).collect();
    let named = std::iter::once(&accounts.username).chain(others.iter().copied());
    let asked: Vec<Asked> = named.map(|name| Asked { name: name.clone(), list: false }).collect();
    let key = std::slice::from_ref(&accounts.username);
    let (name, _) = schema.tables.get_key_value(&TableName::parse(&accounts.table))?;
    let shape = Shape::resolve(name, key, &asked, schema, dialect).ok()?;
    let rows = declared.iter().map(|Declared { username, columns, .. }| {
        let cell = |name: &&String| {
            columns.iter().find(|(column, _)| column == *name).and_then(|(_, cell)| cell.text())
        };
        let row = std::iter::once(Some(username.as_str())).chain(others.iter().map(cell)).collect();
        (username.as_str(), shape.as_taken(row))
    });
    let rows = rows.filter(|(_, row)| shape.misfit(row).is_none()).collect();
    Some((shape, rows))
}

/// How the server stores the values of the accounts.
async fn spelling(
    declared: &[Declared],
    columns: impl Iterator<Item = &Column>,
    username: &Column,
    database: &Database,
) -> sql::Result<Spelling> {
    let dialect = database.dialect();
    let (mut spelling, mut prints) = (Spelling::default(), Vec::new());
    for column in columns {
        let texts = declared.iter().filter_map(|account| {
            if column.name == username.name {
                return Some(account.username.as_str());
            }
            let (_, cell) = account.columns.iter().find(|(name, _)| *name == column.name)?;
            cell.text().map(|text| as_taken(dialect, column, text))
        });
        let ServerTexts { stored, rejected, rounded } = server_texts(column, texts, database).await?;
        spelling.add(&column.name, rejected.as_deref(), rounded.as_deref());
        let both = stored.iter().map(|(declared, stored)| {
            (named_fingerprint(dialect, column, declared), value_fingerprint(dialect, column, Some(stored)))
        });
        prints.extend(both);
    }
    spelling.stored = FingerprintMap::new(prints);
    Ok(spelling)
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
    let can_ask = |spelling: &Spelling| !spelling.rejected.contains_key(&username.name);
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
    let mut declared = declared(accounts, &desired.users);
    let asked = columns.iter().copied().chain([username]);
    let doing = || Error::doing(format!("reading the accounts in {name}"));
    let spelling = spelling(&declared, asked, username, database).await.map_err(doing())?;

    let mut users: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), None)).collect();
    let names: Vec<Vec<Option<String>>> = names.into_iter().map(|name| vec![Some(name.to_owned())]).collect();
    // Names that their type rejects cannot be asked for.
    for names in names.chunks(BATCH).filter(|_| can_ask(&spelling)) {
        let source = Source::new(database.dialect(), 1, names);
        let read = columns.iter().map(|column| format!(", {}", read_text(database.dialect(), column)));
        let sql = format!(
            "SELECT q.c0{} FROM {} AS t JOIN {} ON {}",
            read.collect::<String>(),
            name.located(database.dialect()),
            source.sql,
            equals(database.dialect(), username, 0),
        );
        for row in database.query(&sql, &source.values).await.map_err(doing())? {
            let prints = columns.iter().zip(row.values().iter().skip(1));
            let prints = prints.map(|(column, value)| {
                (column.name.clone(), value_fingerprint(database.dialect(), column, value.as_deref()))
            });
            users.insert(row.text(0).map_err(doing())?.to_owned(), Some(prints.collect()));
        }
    }
    let doing = || Error::doing(format!("comparing the accounts in {name}"));
    let clashes = clashes(accounts, &declared, schema, database).await.map_err(doing())?;
    declared.retain(|account| users.get(&account.username).is_some_and(Option::is_none));
    let taken = taken(accounts, &declared, schema, database).await.map_err(doing())?;
    Ok(Some(Accounts { table: name, username: username.name.clone(), users, spelling, clashes, taken }))
}
