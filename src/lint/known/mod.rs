//! What is known of the database at a statement: which tables are in use, which nobody uses yet
//! because this very plan makes them, and the types of columns. Pure.

mod absent;
mod copies;
mod facts;
mod held;
mod nulls;
mod partitions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::act::{Act, Fact};
use super::script::{NOWHERE, Script, located, told, written_name};
use crate::catalog::{Snapshot, TableName};
use crate::sql::Dialect;
use absent::Absent;
pub use absent::Missing;
use copies::{Column, Columns, Copies, keep_all};
use facts::Facts;
pub(super) use held::Lock;
use held::Transaction;
use partitions::Partitioned;
pub(super) use partitions::bound_value;

/// What else there may be than what is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Rest {
    /// Nothing, and all that there is was made by this plan.
    Bare,
    Nothing,
    #[default]
    Anything,
}

/// Tables and columns before the next statement. All names are folded as their dialect does.
#[derive(Debug, Clone, Default)]
pub struct Known {
    existing: BTreeSet<TableName>,
    fresh: BTreeSet<TableName>,
    columns: BTreeMap<TableName, Columns>,
    fresh_columns: BTreeSet<(TableName, String)>,
    /// Those of them that have a value in no row yet.
    nulls: BTreeSet<(TableName, String)>,
    /// Parents and their children, by inheritance or as partitions.
    families: BTreeSet<(TableName, TableName)>,
    rest: Rest,
    copies: Copies,
    /// Tables, and those that refer to them.
    referring: BTreeMap<TableName, BTreeSet<TableName>>,
    /// Whether dropping a table deletes what refers to it: SQLite's foreign keys, unless they are off.
    keys_bind: bool,
    /// Of the text that is being read.
    dialect: Option<Dialect>,
    /// Whether the text takes back what it does, so that nobody can tell what is left of it.
    takes_back: bool,
    transaction: Transaction,
    /// Whether a name without a schema may lead elsewhere than to the default one.
    has_strayed: bool,
    /// Domains, with the type under each, and whether each looks at rows that get a column of it.
    domains: BTreeMap<TableName, (String, bool)>,
    /// Partitioned tables all of whose partitions are known.
    partitioned: BTreeMap<TableName, Partitioned>,
    /// What was looked for and is not there, or may be taken for missing.
    absent: Absent,
}

impl Known {
    /// A database with the tables of a schema.
    pub fn of(schema: &Snapshot, dialect: Dialect) -> Self {
        let told = |name: &TableName| told(name, dialect);
        let rest = match dialect {
            Dialect::Sqlite => Rest::Nothing,
            // Partitions stand in no snapshot.
            Dialect::Postgres => Rest::Anything,
        };
        let mut known = Self { rest, ..Self::default() };
        for (name, table) in &schema.tables {
            let name = told(name);
            let indexes = table.indexes.keys().map(|index| told(&TableName::parse(index)));
            known.copies.attach(indexes.clone(), &name);
            known.existing.extend(indexes);
            let columns = table
                .columns
                .iter()
                .map(|column| (told(&TableName::plain(&*column.name)).name, column.data_type.to_lowercase()));
            let keys = table
                .indexes
                .values()
                .filter(|index| index.unique && index.valid && index.predicate.is_none());
            let keys = keys.map(|index| index.keys.clone()).chain([table.primary_key.clone()]);
            let facts = Facts::of(table);
            let columns = Columns { list: columns.collect(), keys: keys.collect(), are_all: true, facts };
            known.columns.insert(name.clone(), columns);
            for key in &table.foreign_keys {
                known.referring.entry(told(&key.table)).or_default().insert(name.clone());
            }
            known.existing.insert(name);
        }
        known
    }

    /// A database in which there is nothing yet.
    pub fn nothing() -> Self {
        Self { rest: Rest::Bare, ..Self::default() }
    }

    /// What the next text will do, before it begins.
    pub(super) fn foresee(&mut self, acts: &[Vec<Act>]) {
        self.copies.begin(acts);
    }

    /// The next text begins, in a session that has nothing left of the one before.
    pub(super) fn begin(&mut self, script: &Script, dialect: Dialect, keys_bind: bool, takes_back: bool) {
        self.keys_bind = keys_bind;
        self.dialect = Some(dialect);
        self.takes_back = takes_back;
        self.has_strayed = false;
        // Looked up: a plan of thousands of texts would go through all tables for each.
        for schema in TEMPORARY {
            let first = TableName { schema: Some(schema.to_owned()), name: String::new() };
            let is_there = |name: &&TableName| name.schema.as_deref() == Some(schema);
            let fresh: Vec<_> = self.fresh.range(&first..).take_while(is_there).cloned().collect();
            let columns = self.columns.range(&first..).map(|(name, _)| name);
            let columns: Vec<_> = columns.take_while(is_there).cloned().collect();
            for name in fresh {
                self.fresh.remove(&name);
            }
            for name in columns {
                self.columns.remove(&name);
            }
        }
        self.transaction.end();
        if takes_back {
            self.settle();
        }
        for (child, parent) in &script.references {
            self.referring.entry(told(parent, dialect)).or_default().insert(told(child, dialect));
        }
    }

    /// A table whose rows go, or stand in the way, when a table is dropped that has a copy.
    pub(super) fn bound_to(&self, name: &TableName) -> Option<&TableName> {
        let children = self.referring.get(name).filter(|_| self.keys_bind)?;
        children.iter().find(|child| *child != name)
    }

    /// Whether SQLite looks at a foreign key of a table for each of its rows.
    pub(super) fn refers_to_any(&self, name: &TableName) -> bool {
        self.keys_bind && self.referring.values().any(|children| children.contains(name))
    }

    /// From here on, what was made is in use.
    pub fn settle(&mut self) {
        self.existing.append(&mut self.fresh);
        self.absent.settle();
        self.fresh_columns.clear();
        self.nulls.clear();
        self.copies.settle();
    }

    /// Whether this plan has made a table of a schema.
    pub fn has_made(&self, name: &TableName, dialect: Dialect) -> bool {
        self.fresh.contains(&told(name, dialect))
    }

    /// Whether one writer makes all others of the database wait.
    pub(super) fn has_one_writer(&self) -> bool {
        self.dialect == Some(Dialect::Sqlite)
    }

    pub(super) fn is_fresh(&self, name: &TableName) -> bool {
        self.rest == Rest::Bare || self.fresh.contains(name) || self.absent.schemas_made(name)
    }

    /// Whether a type is a domain that looks at each row, as far as it is known.
    pub(super) fn is_constrained_domain(&self, name: &TableName) -> bool {
        self.domains.get(name).is_some_and(|(_, is_constrained)| *is_constrained)
    }

    /// The type under a domain, and whether that looks at each row; `None` for another type.
    pub(super) fn domain(&self, kind: &str) -> Option<(&str, bool)> {
        let name = written_name(kind, Dialect::Postgres);
        self.domains.get(&located(name, Dialect::Postgres)).map(|(base, is)| (base.as_str(), *is))
    }

    /// Whether a domain is known, and surely no column has it.
    pub(super) fn is_unused_domain(&self, name: &TableName) -> bool {
        self.domains.contains_key(name)
            && self.column_of(name).is_none()
            && self.existing.iter().chain(&self.fresh).all(|table| {
                // Types and indexes have no columns.
                self.columns.get(table).is_none_or(|columns| columns.are_all || columns.list.is_empty())
            })
    }

    /// Whether a table is known to have no such column.
    pub(super) fn lacks_column(&self, table: &TableName, column: &str) -> bool {
        self.columns_of(table).are_all && self.kind(table, column).is_none()
    }

    /// Whether a table of this plan has what was dropped with another one.
    pub(super) fn is_heir(&self, name: &TableName) -> bool {
        self.copies.is_heir(name)
    }

    /// The table of this plan that has all that a table has.
    pub(super) fn copy_of(&self, name: &TableName) -> Option<&TableName> {
        self.copies.of(name)
    }

    /// Indexes and triggers that are dropped with a table, as far as they are known, and that the text
    /// does not make.
    pub(super) fn lost_with(&self, name: &TableName) -> Vec<&TableName> {
        self.copies.attached_to(name)
    }

    fn columns_of(&self, table: &TableName) -> &Columns {
        static UNKNOWN: LazyLock<Columns> = LazyLock::new(Columns::default);
        self.columns.get(table).unwrap_or(&UNKNOWN)
    }

    pub(super) fn is_fresh_column(&self, table: &TableName, column: &str) -> bool {
        self.fresh_columns.contains(&(table.clone(), column.to_owned()))
    }

    /// The type of a column, where it is known.
    pub(super) fn kind(&self, table: &TableName, column: &str) -> Option<&str> {
        self.columns_of(table).list.iter().find(|(name, _)| name == column).map(|(_, kind)| kind.as_str())
    }

    /// A column that is known to have a type.
    pub(super) fn column_of(&self, kind: &TableName) -> Option<(&TableName, &str)> {
        self.columns.iter().find_map(|(table, columns)| {
            let mut list = columns.list.iter();
            list.find(|column| is_of(column, kind)).map(|(name, _)| (table, name.as_str()))
        })
    }

    /// Whether a table may have a column of a type: one whose columns are not known may.
    pub(super) fn may_have_column_of(&self, table: &TableName, kind: &TableName) -> bool {
        let columns = self.columns_of(table);
        !columns.are_all || columns.list.iter().any(|column| is_of(column, kind))
    }

    /// Finds out where the names in an act lead.
    pub(super) fn locate(&self, act: &mut Act, dialect: Dialect) {
        // What is renamed stays where it is, unless it says otherwise.
        let stays = match act {
            Act::Renames { from, to } => {
                to.schema.is_none().then(|| self.place(from.clone(), dialect).schema)
            }
            _ => None,
        };
        for name in act.names() {
            *name = self.place(name.clone(), dialect);
        }
        if let (Act::Renames { to, .. }, Some(schema)) = (act, stays) {
            to.schema = schema;
        }
    }

    fn place(&self, name: TableName, dialect: Dialect) -> TableName {
        let temporary = temporary(&name, dialect);
        match name.schema {
            Some(_) => located(name, dialect),
            None if self.has_strayed => TableName { schema: Some(NOWHERE.to_owned()), ..name },
            None if self.fresh.contains(&temporary) => temporary,
            None => name,
        }
    }

    /// What is different after a statement did something.
    pub(super) fn note(&mut self, act: &Act) {
        self.copies.note(act);
        self.note_nulls(act);
        match act {
            Act::Makes { name, if_missing, columns, keys, facts } => {
                if self.made(name, *if_missing, columns, keys) {
                    self.learn(name, facts);
                }
            }
            Act::Learns { table, facts } => self.learn(table, facts),
            Act::SetsNotNull { table, column } => self.learn(table, &[Fact::NotNull(column.clone())]),
            Act::Copies { from, to, columns, into } => {
                let source = (self.columns_of(from), columns.as_deref());
                let target = (self.columns_of(to), into.as_deref());
                if self.fresh.contains(to) && keep_all(source, target) {
                    self.copies.copied(from, to);
                }
            }
            Act::Renames { from, to } => self.renamed(from, to),
            Act::Removes { name } => self.removed(name),
            Act::AddsColumn { table, column, kind, if_missing } => {
                // Without the table's columns nobody can tell whether it was there.
                let is_known = self.kind(table, column).is_some();
                if *if_missing && (!self.columns_of(table).are_all || is_known) {
                    return;
                }
                if !self.takes_back && !is_nowhere(table) {
                    self.fresh_columns.insert((table.clone(), column.clone()));
                }
                self.columns.entry(table.clone()).or_default().list.push((column.clone(), kind.clone()));
            }
            Act::RenamesColumn { table, from, to } => {
                if let Some((name, _)) = self.column(table, from) {
                    name.clone_from(to);
                }
                if let Some(columns) = self.columns.get_mut(table) {
                    columns.facts.renamed(from, to);
                }
                let keys =
                    self.columns.get_mut(table).into_iter().flat_map(|columns| &mut columns.keys).flatten();
                for column in keys.filter(|column| *column == from) {
                    column.clone_from(to);
                }
                if self.fresh_columns.remove(&(table.clone(), from.clone())) {
                    self.fresh_columns.insert((table.clone(), to.clone()));
                }
            }
            Act::DropsColumn { table, column, .. } => {
                if let Some(columns) = self.columns.get_mut(table) {
                    columns.list.retain(|(name, _)| name != column);
                    columns.keys.retain(|key| !key.contains(column));
                    columns.facts.dropped(column);
                }
                self.fresh_columns.remove(&(table.clone(), column.clone()));
            }
            Act::Retypes { table, column, to: kind, .. } => match self.column(table, column) {
                Some((_, is)) => is.clone_from(kind),
                None => {
                    self.columns.entry(table.clone()).or_default().list.push((column.clone(), kind.clone()));
                }
            },
            Act::Adopts { parent, child } => {
                self.families.insert((parent.clone(), child.clone()));
                if !self.fresh.contains(child) {
                    self.wear(parent);
                }
            }
            Act::MakesDomain { name, base, is_constrained } => {
                self.domains.insert(name.clone(), (base.clone(), *is_constrained));
            }
            Act::RemovesSchema { name } => self.removed_schema(name),
            Act::Divides { table, division } => self.partition(table, division),
            Act::MakesSchema { name, if_missing } => self.made_schema(name, *if_missing),
            Act::Locks { to } => self.locked(to),
            Act::Works(work) => self.worked(work),
            Act::Strays => self.has_strayed = true,
            Act::Shuffles => self.settle(),
            Act::Does { .. }
            | Act::ChecksDomain { .. }
            | Act::RenamesSchema { .. }
            | Act::DropsSchemas { .. }
            | Act::DropsExtensions { .. }
            | Act::KeyByIndex { .. }
            | Act::RefersUnchecked { .. }
            | Act::GetsPartition { .. }
            | Act::BuildsAlone { .. }
            | Act::DropsTypes { .. }
            | Act::TakesDomain { .. }
            | Act::UsesValue { .. }
            | Act::UpdatesAll { .. }
            | Act::Writes { .. }
            | Act::LeavesOut { .. }
            | Act::Attaches { .. }
            | Act::Detaches { .. } => {}
        }
    }

    fn column(&mut self, table: &TableName, column: &str) -> Option<&mut Column> {
        self.columns.get_mut(table)?.list.iter_mut().find(|(name, _)| name == column)
    }

    fn made(&mut self, name: &TableName, if_missing: bool, columns: &[Column], keys: &[Vec<String>]) -> bool {
        let is_there = self.existing.contains(name) || self.fresh.contains(name);
        if if_missing && is_there {
            return false;
        }
        let may_be_older = if_missing && self.rest == Rest::Anything && !self.is_absent(name);
        self.absent.made(name, if_missing && self.rest == Rest::Anything);
        if may_be_older || self.takes_back || is_nowhere(name) {
            // What is there under the name may be older, and may have other columns.
            self.existing.insert(name.clone());
            return false;
        }
        self.fresh.insert(name.clone());
        // What is made from a query, or by a parser that gave up, has columns that nobody listed.
        let are_all = !columns.is_empty();
        let columns =
            Columns { list: columns.to_vec(), keys: keys.to_vec(), are_all, facts: Facts::default() };
        self.columns.insert(name.clone(), columns);
        true
    }

    fn renamed(&mut self, from: &TableName, to: &TableName) {
        if is_nowhere(from) {
            self.settle();
        }
        let renamed = |name: TableName| if name == *from { to.clone() } else { name };
        if let Some(partitioned) = self.partitioned.remove(from) {
            self.partitioned.insert(to.clone(), partitioned);
        }
        if self.transaction.filled.remove(from) {
            self.transaction.filled.insert(to.clone());
        }
        self.existing.remove(from);
        let (was_fresh, fresh) = (self.fresh.remove(from), &mut self.fresh);
        fresh.remove(to);
        if was_fresh { fresh } else { &mut self.existing }.insert(to.clone());
        self.families = std::mem::take(&mut self.families)
            .into_iter()
            .map(|(parent, child)| (renamed(parent), renamed(child)))
            .collect();
        self.fresh_columns = std::mem::take(&mut self.fresh_columns)
            .into_iter()
            .map(|(table, column)| (renamed(table), column))
            .collect();
        for children in self.referring.values_mut().filter(|children| children.contains(from)) {
            children.remove(from);
            children.insert(to.clone());
        }
        if let Some(children) = self.referring.remove(from) {
            self.referring.entry(to.clone()).or_default().extend(children);
        }
        match self.columns.remove(from) {
            Some(columns) => self.columns.insert(to.clone(), columns),
            None => self.columns.remove(to),
        };
    }

    fn removed(&mut self, name: &TableName) {
        for children in self.referring.values_mut() {
            children.remove(name);
        }
        self.families.retain(|(parent, child)| parent != name && child != name);
        self.existing.remove(name);
        self.partitioned.remove(name);
        self.fresh.remove(name);
        self.absent.removed(name);
        self.columns.remove(name);
        self.fresh_columns.retain(|(table, _)| table != name);
    }

    /// A table of this plan, and what it is a part of, has what was there before.
    fn wear(&mut self, table: &TableName) {
        if self.fresh.remove(table) {
            self.existing.insert(table.clone());
            let of = |(parent, child): &(TableName, TableName)| (child == table).then(|| parent.clone());
            let parents: Vec<_> = self.families.iter().filter_map(of).collect();
            for parent in &parents {
                self.wear(parent);
            }
        }
    }
}

/// The name that a temporary table has.
pub(super) fn temporary(name: &TableName, dialect: Dialect) -> TableName {
    let schema = match dialect {
        Dialect::Postgres => "pg_temp",
        Dialect::Sqlite => "temp",
    };
    TableName { schema: Some(schema.to_owned()), name: name.name.clone() }
}

fn is_of((_, of): &Column, kind: &TableName) -> bool {
    let of = of.trim_end_matches("[]").replace('"', "");
    of.rsplit('.').next().is_some_and(|name| name.eq_ignore_ascii_case(&kind.name))
}

/// The schemas of temporary tables.
const TEMPORARY: [&str; 2] = ["pg_temp", "temp"];

fn is_nowhere(name: &TableName) -> bool {
    name.schema.as_deref() == Some(NOWHERE)
}
