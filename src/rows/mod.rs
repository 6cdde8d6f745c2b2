//! Declared rows: one mechanism for seeds and ontology terms, and accounts with their passwords. Keys and
//! contents are observed as fingerprints; values are read only to compute these.

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
mod spelling;
mod statement;
mod takeback;
mod users;
mod write;

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
use diff::missing_message;
pub use error::{Error, Result};
use fits::as_taken;
pub use observe::Answer;
pub(crate) use observe::observe;
use order::TableOrder;
pub(crate) use own::observe as observe_owned;
pub use own::{Owned, OwnedRow, Ties};
pub use spelling::Spelling;
use statement::{
    BATCH, Source, equals, fill_id, in_batches, locking, not_given, parameters, read_text, read_texts,
    write_expression, write_expressions,
};
pub(crate) use users::observe as observe_accounts;
pub use users::{Accounts, UserChange};

/// An action on rows.
#[derive(Debug, Clone)]
pub enum Change {
    /// Creates or updates an account.
    User(Box<UserChange>),
    /// Writes and deletes rows of a set.
    Set(Arc<RowsChange>),
}

impl Change {
    fn writes(&self) -> Option<TableName> {
        match self {
            Self::User(change) => Some(change.table()),
            Self::Set(change) => change.writes().cloned(),
        }
    }
}

/// The parts of an observed database that rows depend on.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    pub dialect: Dialect,
    pub schema: &'a Snapshot,
    /// The accounts that were queried.
    pub accounts: Option<&'a Accounts>,
    /// Answers of tables, by the digest of the question.
    pub rows: &'a BTreeMap<Digest, Answer>,
    /// The existing rows that the inventory has.
    pub owned: &'a BTreeMap<Address, Vec<Owned>>,
}

/// Compares accounts and rows with the observed ones, and orders the changes by foreign keys. `references`
/// has pairs of a table and a table that it references, from the texts of the migrations.
pub(crate) fn diff(
    desired: &Desired,
    seen: Observed<'_>,
    (inventory, passwords): (&Inventory, &Passwords),
    references: &BTreeSet<(TableName, TableName)>,
    upcoming: &Upcoming<'_>,
) -> Diff<Change> {
    let order = TableOrder::new(seen.schema, references);
    let mut diff = users::diff(desired, seen, inventory, passwords, upcoming);
    diff.merge(diff::diff(desired, seen, inventory, &order, upcoming));
    order.connect(&mut diff.changes);
    diff
}

/// Executes one change as part of a run.
pub(crate) async fn apply(change: &Change, client: &Client, run: &RunId) -> Result<()> {
    match change {
        Change::User(change) => users::apply(change, client, run).await,
        Change::Set(change) => apply::apply(change, client, run).await,
    }
}

/// The rows of one seed or ontology.
#[derive(Debug, Clone)]
pub(crate) struct RowSet {
    /// `system.seed.NAME` or `system.ontology.NAME`.
    pub(crate) address: Address,
    pub(crate) table: TableName,
    /// The columns that identify a row, sorted.
    pub(crate) key: Vec<String>,
    /// Sorted by name.
    pub(crate) columns: Vec<Asked>,
    /// Columns in the order of the file; [`Self::row`] reorders them.
    pub(crate) rows: Arc<Rows>,
    /// For each of `columns` its index in `rows`.
    order: Vec<usize>,
    /// Whether existing rows are updated, and undeclared ones deleted.
    pub(crate) mode: SeedMode,
    /// Whether the condition in `when` holds.
    pub(crate) on: bool,
    pub(crate) when: Option<When>,
    /// For an ontology, the column value that all of its rows share. All rows with it are observed.
    pub(crate) scope: Option<Scope>,
    /// Where each row is in its file.
    pub(crate) lines: RowLines,
    pub(crate) at: Location,
}

/// A column of the declared rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Asked {
    pub(crate) name: String,
    /// Whether it holds a JSON list that is compared without order.
    pub(crate) list: bool,
}

/// The column value that all rows of an ontology share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Scope {
    pub(crate) column: String,
    pub(crate) value: String,
}

/// A query about a table. A world stores the answer under the digest of the question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Question {
    pub(crate) table: TableName,
    pub(crate) key: Vec<String>,
    pub(crate) columns: Vec<Asked>,
    pub(crate) scope: Option<Scope>,
}

impl RowSet {
    /// Sorts the columns, so that their order in the file has no effect.
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

    pub(crate) fn rows(&self) -> impl Iterator<Item = Values<'_>> + Clone {
        self.rows.iter().map(|row| permuted(&row, &self.order))
    }

    /// A message about a row, prefixed with its file and line where available.
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

/// A table or column that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lacking {
    Table,
    Column(String),
}

/// The values of one row; `None` is NULL.
pub(crate) type Values<'r> = Vec<Option<&'r str>>;

/// The columns of a question, resolved in an existing table.
#[derive(Debug, Clone)]
pub(crate) struct Shape<'a> {
    pub(crate) name: &'a TableName,
    pub(crate) table: &'a Table,
    pub(crate) key: Vec<&'a Column>,
    pub(crate) columns: Vec<(&'a Column, bool)>,
    dialect: Dialect,
    /// How the server stores declared values. Empty where the values are in that spelling already.
    spelling: Option<&'a Spelling>,
    /// The indexes of the key columns in `columns`.
    key_at: Vec<usize>,
}

impl<'a> Shape<'a> {
    pub(crate) fn resolve(
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
        Ok(Self { name, table, key, columns, dialect, spelling: None, key_at })
    }

    /// Compares declared values in the spelling of the server.
    pub(crate) fn with_spelling(self, spelling: Option<&'a Spelling>) -> Self {
        Self { spelling, ..self }
    }

    /// The key values of a row that has the values of `columns`.
    pub(crate) fn key_of<T: Copy>(&self, row: &[T]) -> Vec<T> {
        self.key_at.iter().filter_map(|at| row.get(*at).copied()).collect()
    }

    /// A row of a set, converted for the columns.
    pub(crate) fn row_of<'s>(&self, set: &'s RowSet, at: usize) -> Option<Values<'s>> {
        set.row(at).map(|row| self.as_taken(row))
    }

    /// All rows of a set, converted for the columns.
    pub(crate) fn rows_of<'s>(&self, set: &'s RowSet) -> impl Iterator<Item = Values<'s>> + Clone {
        set.rows().map(|row| self.as_taken(row))
    }

    /// Converts the values of a declared row for the columns.
    pub(crate) fn as_taken<'s>(&self, mut row: Values<'s>) -> Values<'s> {
        for (value, (column, _)) in row.iter_mut().zip(&self.columns) {
            *value = value.map(|text| as_taken(self.dialect, column, text));
        }
        row
    }

    /// The fingerprint of a key, its values in the order of the key.
    pub(crate) fn key_fingerprint<'t>(
        &self,
        values: impl IntoIterator<Item = Option<&'t str>>,
    ) -> Fingerprint {
        let values = values.into_iter().zip(&self.key);
        let values = values.map(|(value, column)| value.map(|text| column.canonical(self.dialect, text)));
        self.as_stored_print(Fingerprint::of(values))
    }

    fn as_stored_print(&self, declared: Fingerprint) -> Fingerprint {
        self.spelling.map_or(declared, |spelling| spelling.stored(declared))
    }

    /// The fingerprint of the declared columns.
    pub(crate) fn content_fingerprint<'t>(
        &self,
        values: impl IntoIterator<Item = Option<&'t str>>,
    ) -> Fingerprint {
        let values = values.into_iter().zip(&self.columns);
        let values = values
            .map(|(value, (column, list))| value.map(|text| spelled(self.dialect, column, *list, text)));
        self.as_stored_print(Fingerprint::of(values))
    }

    /// The declared columns whose values differ between two rows.
    pub(crate) fn differing(&self, one: &[Option<&str>], other: &[Option<&str>]) -> Vec<String> {
        let both = self.columns.iter().zip(one.iter().zip(other));
        let differs = both.filter(|((column, list), (one, other))| {
            one.map(|text| spelled(self.dialect, column, *list, text))
                != other.map(|text| spelled(self.dialect, column, *list, text))
        });
        differs.map(|((column, _), _)| column.name.clone()).collect()
    }
}

/// The fingerprint of all columns of a row. NULLs are omitted and columns sorted by name, so that a new
/// nullable column or another column order does not change it.
pub(crate) fn row_fingerprint(table: &Table, values: &[Option<String>]) -> Fingerprint {
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

/// The canonical text of a value; the items of an unordered list are sorted.
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

/// The columns of each unique key.
pub(crate) fn unique_keys(table: &Table) -> impl Iterator<Item = &[String]> {
    let unique =
        table.indexes.values().filter(|index| index.unique && index.valid && index.predicate.is_none());
    let keys = std::iter::once(&table.primary_key).chain(unique.map(|index| &index.keys));
    keys.map(Vec::as_slice).filter(|columns| !columns.is_empty())
}

impl Shape<'_> {
    /// The quoted name of the table.
    pub(crate) fn quoted_table(&self) -> String {
        self.name.located(self.dialect)
    }

    fn keys<'v>(&self, keys: impl IntoIterator<Item = Values<'v>>) -> Source {
        let keys = keys.into_iter().map(|key| parameters(self.dialect, &self.key, key));
        Source::new(self.dialect, self.key.len(), &keys.collect::<Vec<_>>())
    }

    /// A FROM clause: the table as `t`, joined with the given keys.
    fn listed(&self, keys: &Source) -> String {
        format!("{} AS t JOIN {} ON {}", self.quoted_table(), keys.sql, self.is_listed())
    }

    /// The join condition `t.key = q.c0 AND …`.
    fn is_listed(&self) -> String {
        let equal = self.key.iter().enumerate().map(|(at, column)| equals(self.dialect, column, at));
        equal.collect::<Vec<_>>().join(" AND ")
    }
}
