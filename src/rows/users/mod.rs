//! Application accounts: rows of a table that the spec maps. Passwords are never read. They are set only
//! for new accounts, or when `password_version` is raised.

mod apply;
mod conflict;
mod diff;
mod observe;
mod password;
mod refusal;

use std::collections::BTreeMap;

use crate::address::{Address, Kind};
use crate::catalog::Column;
use crate::digest::Fingerprint;
use crate::location::Location;
use crate::rows::Spelling;
use crate::rows::fits::as_taken;
use crate::sql::Dialect;
use crate::stack::{self, Cell, User};

pub use apply::UserChange;
pub use observe::Accounts;

pub(super) use apply::apply;
pub(super) use diff::diff;
pub(crate) use observe::observe;

fn address(username: &str) -> Address {
    Kind::User.named(username)
}

/// A declared account.
#[derive(Debug, Clone)]
struct Declared {
    username: String,
    /// The columns except name and password.
    columns: Vec<(String, Cell)>,
    at: Location,
}

fn declared(accounts: &stack::Accounts, users: &BTreeMap<String, User>) -> Vec<Declared> {
    let users = users.iter().map(|(username, user)| Declared {
        username: username.clone(),
        columns: desired_columns(accounts, user),
        at: user.at.clone(),
    });
    users.collect()
}

/// The declared columns of an account except name and password.
fn desired_columns(accounts: &stack::Accounts, user: &User) -> Vec<(String, Cell)> {
    let text = |text: &String| Cell::Text(text.clone());
    let mut columns = Vec::new();
    columns.extend(user.email.iter().map(|email| (accounts.email.clone(), text(email))));
    columns.extend(accounts.role.iter().zip(&user.role).map(|(column, role)| (column.clone(), text(role))));
    columns
        .extend(accounts.active.iter().map(|column| (column.clone(), Cell::Text(user.active.to_string()))));
    columns.extend(user.columns.iter().map(|(column, cell)| (column.clone(), cell.clone())));
    columns
}

/// The fingerprint of a declared value, converted for the column.
fn declared_fingerprint(dialect: Dialect, column: &Column, text: Option<&str>) -> Fingerprint {
    value_fingerprint(dialect, column, text.map(|text| as_taken(dialect, column, text)))
}

/// Like [`declared_fingerprint`], in the spelling of the server.
fn stored_fingerprint(
    dialect: Dialect,
    column: &Column,
    text: Option<&str>,
    spelling: &Spelling,
) -> Fingerprint {
    let named = text.map(|text| named_fingerprint(dialect, column, as_taken(dialect, column, text)));
    let stored = named.and_then(|named| spelling.stored.get(&named).copied());
    stored.unwrap_or_else(|| declared_fingerprint(dialect, column, text))
}

/// The fingerprint of a declared value and of the name of its column.
fn named_fingerprint(dialect: Dialect, column: &Column, text: &str) -> Fingerprint {
    Fingerprint::of([Some(column.name.as_str()), Some(&column.canonical(dialect, text))])
}

/// The fingerprint of a value read from the column.
fn value_fingerprint(dialect: Dialect, column: &Column, text: Option<&str>) -> Fingerprint {
    Fingerprint::of([text.map(|text| column.canonical(dialect, text))])
}
