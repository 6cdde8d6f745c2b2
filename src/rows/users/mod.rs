//! Application accounts as rows of a table that the spec maps. Passwords are never read, and set
//! only for a new account or when `password_version` is raised.

mod apply;
mod conflict;
mod diff;
mod observe;
mod password;

use crate::address::{Address, Kind};
use crate::catalog::Column;
use crate::digest::Fingerprint;
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

/// A declared account: its name, and what the spec wants in its other columns but the password.
type Declared = (String, Vec<(String, Cell)>);

/// What the spec wants in the columns of an account, but for its name and password.
fn wanted(accounts: &stack::Accounts, user: &User) -> Vec<(String, Cell)> {
    let text = |text: &String| Cell::Text(text.clone());
    let mut columns = Vec::new();
    columns.extend(user.email.iter().map(|email| (accounts.email.clone(), text(email))));
    columns.extend(accounts.role.iter().zip(&user.role).map(|(column, role)| (column.clone(), text(role))));
    columns
        .extend(accounts.active.iter().map(|column| (column.clone(), Cell::Text(user.active.to_string()))));
    columns.extend(user.columns.iter().map(|(column, cell)| (column.clone(), cell.clone())));
    columns
}

/// The fingerprint of a wanted value of a column.
fn wanted_print(dialect: Dialect, column: &Column, text: Option<&str>) -> Fingerprint {
    value_print(dialect, column, text.map(|text| as_taken(dialect, column, text)))
}

/// The fingerprint of one value that a column has.
fn value_print(dialect: Dialect, column: &Column, text: Option<&str>) -> Fingerprint {
    Fingerprint::of([text.map(|text| column.canonical(dialect, text))])
}
