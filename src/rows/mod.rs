//! Rows that the spec wants in a table: one mechanism for seeds and for the terms of ontologies, and accounts
//! with their passwords. Keys and contents are observed as fingerprints; values are read only to be
//! fingerprinted.

mod apply;
mod claims;
mod clash;
mod desired;
mod diff;
mod error;
mod fits;
mod locate;
mod observe;
mod order;
mod own;
mod remove;
mod sample;
mod sequence;
mod statement;
mod takeback;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::address::Address;
use crate::catalog::{Array, Column, Snapshot, Table, TableName, canonical};
use crate::change::Diff;
use crate::connection::Client;
use crate::digest::{Digest, Fingerprint};
use crate::journal::password_version::Passwords;
use crate::journal::{Inventory, RunId};
use crate::location::Location;
use crate::migrations::Upcoming;
use crate::packed::Rows;
use crate::sql::Dialect;
use crate::stack::{RowLines, SeedMode, When};

pub use apply::RowsChange;
pub use clash::Clash;
pub use desired::Desired;
use diff::lacking_message;
pub use error::{Error, Result};
use fits::as_taken;
pub use observe::Answer;
pub(crate) use observe::observe;
use order::TableOrder;
pub(crate) use own::observe as observe_owned;
pub use own::{Owned, OwnedRow, Ties};
use statement::{
    BATCH, Source, equals, fill_id, in_batches, locking, not_given, parameters, read_text, read_texts,
    write_expression, write_expressions,
};
pub(crate) use users::observe as observe_accounts;
pub use users::{Accounts, UserChange};

/// One step on rows.
#[derive(Debug, Clone)]
pub enum Change {
    /// Makes or mends an account.
    User(Box<UserChange>),
    /// Writes rows and takes rows back.
    Set(Arc<RowsChange>),
}

impl Change {
    /// The table that the change writes rows to.
    fn writes(&self) -> Option<TableName> {
        match self {
            Self::User(change) => Some(change.table()),
            Self::Set(change) => change.writes().cloned(),
        }
    }
}

/// What of an observed database concerns rows.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What the database speaks.
    pub dialect: Dialect,
    pub schema: &'a Snapshot,
    /// The accounts that were asked for.
    pub accounts: Option<&'a Accounts>,
    /// What tables answered, by the digest of the question.
    pub rows: &'a BTreeMap<Digest, Answer>,
    /// What is still there of what the inventory knows.
    pub owned: &'a BTreeMap<Address, Vec<Owned>>,
}

/// Accounts and rows against those that are there; those that others refer to come first. `references` has
/// tables and those that they refer to in the migrations.
pub(crate) fn diff(
    desired: &Desired,
    seen: Seen<'_>,
    (inventory, passwords): (&Inventory, &Passwords),
    references: &BTreeSet<(TableName, TableName)>,
    upcoming: &Upcoming<'_>,
) -> Diff<Change> {
    let order = TableOrder::of(seen.schema, references);
    let mut diff = users::diff(desired, seen, inventory, passwords, upcoming);
    diff.merge(diff::diff(desired, seen, inventory, &order, upcoming));
    order.connect(&mut diff.changes);
    diff
}

/// Executes one change in the name of a run.
pub(crate) async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<()> {
    match change {
        Change::User(change) => users::apply(change, client, run).await,
        Change::Set(change) => apply::apply(change, client, run).await,
    }
}

/// The rows that one seed or ontology wants.
#[derive(Debug, Clone)]
pub(crate) struct RowSet {
    /// `system.seed.NAME` or `system.ontology.NAME`.
    pub(crate) address: Address,
    /// Where the rows live.
    pub(crate) table: TableName,
    /// The columns that identify a row, sorted.
    pub(crate) key: Vec<String>,
    /// The columns that the rows have, sorted by name.
    pub(crate) columns: Vec<Asked>,
    /// As the spec has them; see [`Self::row`].
    pub(crate) rows: Arc<Rows>,
    /// Where each of `columns` is in them.
    order: Vec<usize>,
    /// What happens to rows that differ or are no longer wanted.
    pub(crate) mode: SeedMode,
    /// Whether its `when` holds.
    pub(crate) on: bool,
    /// `when:`
    pub(crate) when: Option<When>,
    /// For an ontology the column and value that all of its rows share: it is observed whole.
    pub(crate) scope: Option<Scope>,
    /// Where its rows stand.
    pub(crate) lines: RowLines,
    pub(crate) at: Location,
}

/// A column that rows have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Asked {
    pub(crate) name: String,
    /// Whether it holds a JSON list whose order means nothing.
    pub(crate) list: bool,
}

/// What all rows of an ontology have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Scope {
    pub(crate) column: String,
    pub(crate) value: String,
}

/// What is asked of a table; its digest names the answer in a world.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Question {
    pub(crate) table: TableName,
    pub(crate) key: Vec<String>,
    pub(crate) columns: Vec<Asked>,
    pub(crate) scope: Option<Scope>,
}

impl RowSet {
    /// A set with its columns sorted, so that the order of a file means nothing.
    #[expect(clippy::too_many_arguments, reason = "the fields of the set, each of its own type")]
    pub(crate) fn new(
        address: Address,
        table: &str,
        key: &[String],
        columns: &[Asked],
        rows: Arc<Rows>,
        mode: SeedMode,
        (on, when): (bool, Option<When>),
        scope: Option<Scope>,
        at: Location,
    ) -> Self {
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by(|a, b| columns.get(*a).cmp(&columns.get(*b)));
        let columns = permuted(columns, &order);
        let mut key = key.to_vec();
        key.sort();
        let (table, lines) = (TableName::parse(table), RowLines::default());
        Self { address, table, key, columns, rows, order, mode, on, when, scope, lines, at }
    }

    pub(crate) fn question(&self) -> Question {
        let Self { table, key, columns, scope, .. } = self;
        Question { table: table.clone(), key: key.clone(), columns: columns.clone(), scope: scope.clone() }
    }

    /// The values of a row in the order of `columns`.
    pub(crate) fn row(&self, at: usize) -> Option<Values<'_>> {
        self.rows.get(at).map(|row| permuted(&row, &self.order))
    }

    /// All rows, in the order of the file.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Values<'_>> + Clone {
        self.rows.iter().map(|row| permuted(&row, &self.order))
    }

    /// A message about a row, with its file and line where they are known.
    pub(crate) fn placed(&self, row: usize, message: &str) -> String {
        match self.lines.location_text(row) {
            Some(place) => format!("{place}: {message}"),
            None => message.to_owned(),
        }
    }
}

fn permuted<T: Clone>(items: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|at| items.get(*at).cloned()).collect()
}

impl Question {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// What the table lacks of what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lacking {
    Table,
    Column(String),
}

/// The values of one row; `None` is NULL.
pub(crate) type Values<'r> = Vec<Option<&'r str>>;

/// Asked columns found in a table.
#[derive(Debug, Clone)]
pub(crate) struct Shape<'a> {
    pub(crate) name: &'a TableName,
    pub(crate) table: &'a Table,
    pub(crate) key: Vec<&'a Column>,
    pub(crate) columns: Vec<(&'a Column, bool)>,
    dialect: Dialect,
    /// Where the key's columns are among `columns`.
    key_at: Vec<usize>,
}

impl<'a> Shape<'a> {
    pub(crate) fn of(
        name: &'a TableName,
        key: &[String],
        columns: &[Asked],
        schema: &'a Snapshot,
        dialect: Dialect,
    ) -> std::result::Result<Self, Lacking> {
        let table = schema.tables.get(name).ok_or(Lacking::Table)?;
        let column = |name: &String| table.column(name).ok_or_else(|| Lacking::Column(name.clone()));
        let key_at =
            key.iter().filter_map(|key| columns.iter().position(|asked| asked.name == *key)).collect();
        let key = key.iter().map(column).collect::<std::result::Result<_, _>>()?;
        let columns = columns
            .iter()
            .map(|asked| Ok((column(&asked.name)?, asked.list)))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { name, table, key, columns, dialect, key_at })
    }

    /// The key's values in a row of `columns`.
    pub(crate) fn key_of<T: Copy>(&self, row: &[T]) -> Vec<T> {
        self.key_at.iter().filter_map(|at| row.get(*at).copied()).collect()
    }

    /// A row of a set, its values as the columns take them.
    pub(crate) fn row_of<'s>(&self, set: &'s RowSet, at: usize) -> Option<Values<'s>> {
        set.row(at).map(|row| self.as_taken(row))
    }

    /// All rows of a set, their values as the columns take them.
    pub(crate) fn rows_of<'s>(&self, set: &'s RowSet) -> impl Iterator<Item = Values<'s>> + Clone {
        set.rows().map(|row| self.as_taken(row))
    }

    /// The values of a wanted row as the columns take them.
    pub(crate) fn as_taken<'s>(&self, mut row: Values<'s>) -> Values<'s> {
        for (value, (column, _)) in row.iter_mut().zip(&self.columns) {
            *value = value.map(|text| as_taken(self.dialect, column, text));
        }
        row
    }

    /// The fingerprint of a key, its values in the order of the key.
    pub(crate) fn key_print<'t>(&self, values: impl IntoIterator<Item = Option<&'t str>>) -> Fingerprint {
        let values = values.into_iter().zip(&self.key);
        Fingerprint::of(values.map(|(value, column)| value.map(|text| column.canonical(self.dialect, text))))
    }

    /// The fingerprint of the asked columns.
    pub(crate) fn content_print<'t>(&self, values: impl IntoIterator<Item = Option<&'t str>>) -> Fingerprint {
        let values = values.into_iter().zip(&self.columns);
        Fingerprint::of(
            values
                .map(|(value, (column, list))| value.map(|text| spelled(self.dialect, column, *list, text))),
        )
    }

    /// The asked columns whose values differ between two rows.
    pub(crate) fn differing(&self, one: &[Option<&str>], other: &[Option<&str>]) -> Vec<String> {
        let both = self.columns.iter().zip(one.iter().zip(other));
        let differs = both.filter(|((column, list), (one, other))| {
            one.map(|text| spelled(self.dialect, column, *list, text))
                != other.map(|text| spelled(self.dialect, column, *list, text))
        });
        differs.map(|((column, _), _)| column.name.clone()).collect()
    }
}

/// The fingerprint of a whole row: names and values of what is not NULL, sorted by name, so that
/// neither a new nullable column nor another order of columns looks like a changed row.
pub(crate) fn row_print(table: &Table, values: &[Option<String>]) -> Fingerprint {
    let mut fields: Vec<(&str, String)> = table
        .columns
        .iter()
        .zip(values)
        .filter_map(|(column, value)| {
            value.as_deref().map(|text| (column.name.as_str(), canonical(column.kind, text)))
        })
        .collect();
    fields.sort_unstable();
    Fingerprint::of(fields.iter().flat_map(|(name, value)| [Some(*name), Some(value.as_str())]))
}

/// The canonical spelling of a value; of a list, its items sorted.
pub(crate) fn spelled(dialect: Dialect, column: &Column, list: bool, text: &str) -> String {
    let element = column.element().filter(|_| list && dialect == Dialect::Postgres);
    if let Some(array) = element.and_then(|element| Array::read(text, &element)) {
        return array.sorted().literal(&str::to_owned);
    }
    let items = list.then(|| serde_json::from_str::<Vec<serde_json::Value>>(text).ok()).flatten();
    match items {
        Some(items) => {
            let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
            items.sort_unstable();
            format!("[{}]", items.join(","))
        }
        None => column.canonical(dialect, text),
    }
}

/// The columns of each key that no two rows of a table share.
pub(crate) fn unique_keys(table: &Table) -> impl Iterator<Item = &[String]> {
    let unique =
        table.indexes.values().filter(|index| index.unique && index.valid && index.predicate.is_none());
    let keys = std::iter::once(&table.primary_key).chain(unique.map(|index| &index.keys));
    keys.map(Vec::as_slice).filter(|columns| !columns.is_empty())
}

impl Shape<'_> {
    /// The table, for a statement.
    pub(crate) fn place(&self) -> String {
        self.name.located(self.dialect)
    }

    /// Keys as a list to look rows up by.
    fn keys<'v>(&self, keys: impl IntoIterator<Item = Values<'v>>) -> Source {
        let keys = keys.into_iter().map(|key| parameters(self.dialect, &self.key, key));
        Source::new(self.dialect, self.key.len(), &keys.collect::<Vec<_>>())
    }

    /// The rows of the table, `t`, whose keys a list has; for `FROM`.
    fn listed(&self, keys: &Source) -> String {
        format!("{} AS t JOIN {} ON {}", self.place(), keys.sql, self.is_listed())
    }

    /// `t.key = q.c0 AND …`
    fn is_listed(&self) -> String {
        let equal = self.key.iter().enumerate().map(|(at, column)| equals(self.dialect, column, at));
        equal.collect::<Vec<_>>().join(" AND ")
    }
}
