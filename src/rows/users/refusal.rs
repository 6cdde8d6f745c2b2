//! Why the accounts table cannot store an account.

use crate::catalog::{Column, Snapshot, TableName};
use crate::rows::fits::{Misfit, takes_truth};
use crate::rows::{Asked, Shape, Values};
use crate::sql::Dialect;
use crate::stack::{self, Cell};

/// The reason why a table cannot store an account. Only what the catalog contains is checked.
pub(super) struct Refusal<'a> {
    pub(super) column: &'a Column,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

pub(super) fn refusal<'a>(
    accounts: &stack::Accounts,
    shape: &Shape<'a>,
    row: &[Option<&str>],
) -> Option<Refusal<'a>> {
    if let Some(column) = accounts.active.as_ref().and_then(|active| shape.table.column(active))
        && !takes_truth(shape.dialect, column)
    {
        let data_type = if column.data_type.is_empty() { "without a type" } else { &column.data_type };
        return Some(Refusal {
            column,
            message: format!("column {} ({data_type}) takes no truth value", column.name),
            help: Some(
                "declare it BOOLEAN or INTEGER in a migration, or set `active: false` under \
                        `accounts.columns`"
                    .to_owned(),
            ),
        });
    }
    let Misfit { column, message } = shape.misfit(row)?;
    Some(Refusal { column: column?, message, help: None })
}

/// The columns of an account, and its values in their order.
pub(super) fn shape_and_row<'a, 'v>(
    accounts: &stack::Accounts,
    name: &'a TableName,
    username: &'v str,
    columns: &'v [(String, Cell)],
    (schema, dialect): (&'a Snapshot, Dialect),
) -> Option<(Shape<'a>, Values<'v>)> {
    let named = |name: &String| Asked { name: name.clone(), list: false };
    let asked: Vec<Asked> =
        std::iter::once(&accounts.username).chain(columns.iter().map(|(name, _)| name)).map(named).collect();
    let shape =
        Shape::resolve(name, std::slice::from_ref(&accounts.username), &asked, schema, dialect).ok()?;
    let row = std::iter::once(Some(username)).chain(columns.iter().map(|(_, cell)| cell.text())).collect();
    let row = shape.as_taken(row);
    Some((shape, row))
}
