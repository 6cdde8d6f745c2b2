//! The known state of the database at a statement: which tables are in use, which tables this plan
//! created and nobody uses yet, and the types of columns. Pure.

mod absent;
mod copies;
mod facts;
mod held;
mod nulls;
mod partitions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::effect::{Effect, Fact};
use super::script::{NOWHERE, Script, located, normalized, written_name};
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

/// Whether objects may exist that are not listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Unlisted {
    /// No: the database was empty before this plan.
    Bare,
    Nothing,
    #[default]
    Anything,
}

/// Tables and columns before the next statement. All names are folded as the dialect folds them.
#[derive(Debug, Clone, Default)]
pub struct Known {
    existing: BTreeSet<TableName>,
    fresh: BTreeSet<TableName>,
    columns: BTreeMap<TableName, Columns>,
    fresh_columns: BTreeSet<(TableName, String)>,
    /// New columns that are still NULL in all rows.
    nulls: BTreeSet<(TableName, String)>,
    /// Pairs of parent and child, by inheritance or partitioning.
    families: BTreeSet<(TableName, TableName)>,
    unlisted: Unlisted,
    copies: Copies,
    /// Tables, each with the tables that refer to it.
    referring: BTreeMap<TableName, BTreeSet<TableName>>,
    /// Whether dropping a table deletes the rows that refer to it: SQLite with foreign keys
    /// enabled.
    foreign_keys_on: bool,
    /// The dialect of the text that is being read.
    dialect: Option<Dialect>,
    /// Whether the text contains a rollback, so that its final effect is unknown.
    takes_back: bool,
    transaction: Transaction,
    /// Whether a name without a schema may resolve to another schema than the default.
    has_strayed: bool,
    /// Domains, each with its base type and whether it is checked for every row of a new column.
    domains: BTreeMap<TableName, (String, bool)>,
    /// Partitioned tables with a complete list of partitions.
    partitioned: BTreeMap<TableName, Partitioned>,
    /// Objects that are known or assumed not to exist.
    absent: Absent,
}

impl Known {
    /// Starts from the tables of a schema.
    pub fn from_schema(schema: &Snapshot, dialect: Dialect) -> Self {
        let normalized = |name: &TableName| normalized(name, dialect);
        let unlisted = match dialect {
            Dialect::Sqlite => Unlisted::Nothing,
            // A snapshot does not list partitions.
            Dialect::Postgres => Unlisted::Anything,
        };
        let mut known = Self { unlisted, ..Self::default() };
        for (name, table) in &schema.tables {
            let name = normalized(name);
            let indexes = table.indexes.keys().map(|index| normalized(&TableName::parse(index)));
            known.copies.attach(indexes.clone(), &name);
            known.existing.extend(indexes);
            let columns = table.columns.iter().map(|column| {
                (normalized(&TableName::plain(&*column.name)).name, column.data_type.to_lowercase())
            });
            let keys = table
                .indexes
                .values()
                .filter(|index| index.unique && index.valid && index.predicate.is_none());
            let keys = keys.map(|index| index.keys.clone()).chain([table.primary_key.clone()]);
            let facts = Facts::of(table);
            let columns = Columns { list: columns.collect(), keys: keys.collect(), are_all: true, facts };
            known.columns.insert(name.clone(), columns);
            for key in &table.foreign_keys {
                known.referring.entry(normalized(&key.table)).or_default().insert(name.clone());
            }
            known.existing.insert(name);
        }
        known
    }

    /// Starts from an empty database.
    pub fn empty_database() -> Self {
        Self { unlisted: Unlisted::Bare, ..Self::default() }
    }

    /// Scans the effects of the next text before its statements are judged.
    pub(super) fn prepare(&mut self, effects: &[Vec<Effect>]) {
        self.copies.begin(effects);
    }

    /// Starts the next text, in a new session.
    pub(super) fn begin(
        &mut self,
        script: &Script,
        dialect: Dialect,
        foreign_keys_on: bool,
        takes_back: bool,
    ) {
        self.foreign_keys_on = foreign_keys_on;
        self.dialect = Some(dialect);
        self.takes_back = takes_back;
        self.has_strayed = false;
        // Removes by range: scanning all tables for each of thousands of texts would be slow.
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
            self.mark_all_used();
        }
        for (child, parent) in &script.references {
            self.referring.entry(normalized(parent, dialect)).or_default().insert(normalized(child, dialect));
        }
    }

    /// Returns a table whose rows block or follow the drop of a table that has a copy.
    pub(super) fn dependent_of(&self, name: &TableName) -> Option<&TableName> {
        let children = self.referring.get(name).filter(|_| self.foreign_keys_on)?;
        children.iter().find(|child| *child != name)
    }

    /// Whether SQLite checks a foreign key for each row of a table.
    pub(super) fn refers_to_any(&self, name: &TableName) -> bool {
        self.foreign_keys_on && self.referring.values().any(|children| children.contains(name))
    }

    /// Marks everything created so far as in use, at the start of the next plan.
    pub fn mark_all_used(&mut self) {
        self.existing.append(&mut self.fresh);
        self.absent.mark_all_used();
        self.fresh_columns.clear();
        self.nulls.clear();
        self.copies.mark_all_used();
    }

    /// Whether this plan created a table of the schema.
    pub fn has_made(&self, name: &TableName, dialect: Dialect) -> bool {
        self.fresh.contains(&normalized(name, dialect))
    }

    /// Whether one writer blocks all other writers of the database.
    pub(super) fn has_one_writer(&self) -> bool {
        self.dialect == Some(Dialect::Sqlite)
    }

    pub(super) fn is_fresh(&self, name: &TableName) -> bool {
        self.unlisted == Unlisted::Bare || self.fresh.contains(name) || self.absent.schemas_made(name)
    }

    /// Whether a type is a known domain that is checked for each row.
    pub(super) fn is_constrained_domain(&self, name: &TableName) -> bool {
        self.domains.get(name).is_some_and(|(_, is_constrained)| *is_constrained)
    }

    /// Returns the base type of a domain and whether it is checked for each row; `None` for other
    /// types.
    pub(super) fn domain(&self, kind: &str) -> Option<(&str, bool)> {
        let name = written_name(kind, Dialect::Postgres);
        self.domains.get(&located(name, Dialect::Postgres)).map(|(base, is)| (base.as_str(), *is))
    }

    /// Whether a domain is known and no column uses it.
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

    /// Whether a table of this plan replaces a dropped table, with all of its data.
    pub(super) fn is_replacement(&self, name: &TableName) -> bool {
        self.copies.is_replacement(name)
    }

    /// Returns the table of this plan that contains all data of the given table.
    pub(super) fn copy_of(&self, name: &TableName) -> Option<&TableName> {
        self.copies.of(name)
    }

    /// Returns the known indexes and triggers that are dropped with a table and not recreated by
    /// the text.
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

    pub(super) fn kind(&self, table: &TableName, column: &str) -> Option<&str> {
        self.columns_of(table).list.iter().find(|(name, _)| name == column).map(|(_, kind)| kind.as_str())
    }

    /// Returns a column that is known to have a type.
    pub(super) fn column_of(&self, kind: &TableName) -> Option<(&TableName, &str)> {
        self.columns.iter().find_map(|(table, columns)| {
            let mut list = columns.list.iter();
            list.find(|column| is_of(column, kind)).map(|(name, _)| (table, name.as_str()))
        })
    }

    /// Whether a table may have a column of a type. Tables with unknown columns may.
    pub(super) fn may_have_column_of(&self, table: &TableName, kind: &TableName) -> bool {
        let columns = self.columns_of(table);
        !columns.are_all || columns.list.iter().any(|column| is_of(column, kind))
    }

    /// Resolves the names in an effect to schemas.
    pub(super) fn resolve_names(&self, effect: &mut Effect, dialect: Dialect) {
        // A renamed object stays in its schema, unless the new name has one.
        let stays = match effect {
            Effect::Renames { from, to } => {
                to.schema.is_none().then(|| self.resolve(from.clone(), dialect).schema)
            }
            _ => None,
        };
        for name in effect.names() {
            *name = self.resolve(name.clone(), dialect);
        }
        if let (Effect::Renames { to, .. }, Some(schema)) = (effect, stays) {
            to.schema = schema;
        }
    }

    fn resolve(&self, name: TableName, dialect: Dialect) -> TableName {
        let temporary = temporary(&name, dialect);
        match name.schema {
            Some(_) => located(name, dialect),
            None if self.has_strayed => TableName { schema: Some(NOWHERE.to_owned()), ..name },
            None if self.fresh.contains(&temporary) => temporary,
            None => name,
        }
    }

    /// Updates the state after an effect.
    pub(super) fn note(&mut self, effect: &Effect) {
        self.copies.note(effect);
        self.note_nulls(effect);
        match effect {
            Effect::Creates { name, if_missing, columns, keys, facts } => {
                if self.made(name, *if_missing, columns, keys) {
                    self.learn(name, facts);
                }
            }
            Effect::AddsFacts { table, facts } => self.learn(table, facts),
            Effect::SetsNotNull { table, column } => self.learn(table, &[Fact::NotNull(column.clone())]),
            Effect::Copies { from, to, columns, into } => {
                let source = (self.columns_of(from), columns.as_deref());
                let target = (self.columns_of(to), into.as_deref());
                if self.fresh.contains(to) && keep_all(source, target) {
                    self.copies.copied(from, to);
                }
            }
            Effect::Renames { from, to } => self.renamed(from, to),
            Effect::Drops { name } => self.removed(name),
            Effect::AddsColumn { table, column, kind, if_missing } => {
                // Without the table's columns it is unknown whether the column existed.
                let is_known = self.kind(table, column).is_some();
                if *if_missing && (!self.columns_of(table).are_all || is_known) {
                    return;
                }
                if !self.takes_back && !is_nowhere(table) {
                    self.fresh_columns.insert((table.clone(), column.clone()));
                }
                self.columns.entry(table.clone()).or_default().list.push((column.clone(), kind.clone()));
            }
            Effect::RenamesColumn { table, from, to } => {
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
            Effect::DropsColumn { table, column, .. } => {
                if let Some(columns) = self.columns.get_mut(table) {
                    columns.list.retain(|(name, _)| name != column);
                    columns.keys.retain(|key| !key.contains(column));
                    columns.facts.dropped(column);
                }
                self.fresh_columns.remove(&(table.clone(), column.clone()));
            }
            Effect::ChangesType { table, column, to: kind, .. } => match self.column(table, column) {
                Some((_, is)) => is.clone_from(kind),
                None => {
                    self.columns.entry(table.clone()).or_default().list.push((column.clone(), kind.clone()));
                }
            },
            Effect::AddsChild { parent, child } => {
                self.families.insert((parent.clone(), child.clone()));
                if !self.fresh.contains(child) {
                    self.mark_used(parent);
                }
            }
            Effect::CreatesDomain { name, base, is_constrained } => {
                self.domains.insert(name.clone(), (base.clone(), *is_constrained));
            }
            Effect::RemovesSchema { name } => self.removed_schema(name),
            Effect::Partitions { table, division } => self.partition(table, division),
            Effect::CreatesSchema { name, if_missing } => self.made_schema(name, *if_missing),
            Effect::Locks { to } => self.locked(to),
            Effect::AccessesRows(work) => self.worked(work),
            Effect::ChangesSearchPath => self.has_strayed = true,
            Effect::InvalidatesNames => self.mark_all_used(),
            Effect::Matches { .. }
            | Effect::RevalidatesDomain { .. }
            | Effect::RenamesSchema { .. }
            | Effect::DropsSchemas { .. }
            | Effect::DropsExtensions { .. }
            | Effect::MakesIndexPrimaryKey { .. }
            | Effect::AddsUncheckedForeignKey { .. }
            | Effect::AttachesPartition { .. }
            | Effect::IndexesParentOnly { .. }
            | Effect::FailsOnPartitioned { .. }
            | Effect::DropsTypes { .. }
            | Effect::AddsDomainColumn { .. }
            | Effect::UsesEnumValue { .. }
            | Effect::UpdatesAll { .. }
            | Effect::Writes { .. }
            | Effect::MaySkipRows { .. }
            | Effect::Attaches { .. }
            | Effect::Detaches { .. } => {}
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
        let may_be_older = if_missing && self.unlisted == Unlisted::Anything && !self.is_absent(name);
        self.absent.made(name, if_missing && self.unlisted == Unlisted::Anything);
        if may_be_older || self.takes_back || is_nowhere(name) {
            // An existing table of the name may be older and have other columns.
            self.existing.insert(name.clone());
            return false;
        }
        self.fresh.insert(name.clone());
        // A table created from a query, or by a statement that was parsed in part, has unlisted
        // columns.
        let are_all = !columns.is_empty();
        let columns =
            Columns { list: columns.to_vec(), keys: keys.to_vec(), are_all, facts: Facts::default() };
        self.columns.insert(name.clone(), columns);
        true
    }

    fn renamed(&mut self, from: &TableName, to: &TableName) {
        if is_nowhere(from) {
            self.mark_all_used();
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

    /// Marks a table of this plan and its parents as used, because older rows are now in them.
    fn mark_used(&mut self, table: &TableName) {
        if self.fresh.remove(table) {
            self.existing.insert(table.clone());
            let of = |(parent, child): &(TableName, TableName)| (child == table).then(|| parent.clone());
            let parents: Vec<_> = self.families.iter().filter_map(of).collect();
            for parent in &parents {
                self.mark_used(parent);
            }
        }
    }
}

/// Returns the qualified name of a temporary table.
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

/// Schemas of temporary tables.
const TEMPORARY: [&str; 2] = ["pg_temp", "temp"];

fn is_nowhere(name: &TableName) -> bool {
    name.schema.as_deref() == Some(NOWHERE)
}
