//! What the spec wants of the system database: its migrations for one dialect, its accounts, and
//! the rows of its seeds and ontologies. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::migrations::Limits;
use super::renamed::renamed;
use super::rows::{Asked, RowSet, Scope};
pub(super) use super::script::folded;
use super::script::{Script, first_words};
use crate::address::{Address, Kind};
use crate::catalog::{Snapshot, TableName};
use crate::lint;
use crate::packed::Rows;
use crate::spec::{
    self, Location, Migration, Ontology, Order, Repeatable, Role, Seed, SeedMode, Stack, Terms, User,
};
use crate::sql::Dialect;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Desired {
    pub(super) dialect: Dialect,
    pub(super) at: Location,
    pub(super) endpoint_at: Location,
    pub(super) create_database: bool,
    /// Empty on SQLite, which has none.
    pub(super) extensions: Vec<String>,
    /// Whether the spec names a folder of migrations, be it empty.
    pub(super) has_folder: bool,
    /// In the order of their versions.
    pub(super) migrations: Vec<Migration>,
    /// In the order of their names.
    pub(super) repeatables: Vec<Repeatable>,
    /// Steps that an earlier run of the same plan did.
    pub(super) done: BTreeSet<Address>,
    /// What this run did before it looked again.
    pub(super) completed: BTreeSet<Address>,
    pub(super) order: Order,
    pub(super) lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
    /// What the texts of the migrations declare, read when it is first asked for: where nothing is to be done,
    /// nobody asks, and a history may have thousands of files.
    declared: OnceLock<Declared>,
    /// Tables that were there when a run of this tool recorded what its migrations had left.
    recorded: BTreeSet<TableName>,
    /// Whether the bookkeeping has recorded a whole run.
    pub(super) is_established: bool,
    /// Empty on SQLite, which has none.
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) accounts: Option<spec::Accounts>,
    pub(super) users: BTreeMap<String, User>,
    /// Seeds, those that are off too, and ontologies.
    pub(super) sets: Vec<RowSet>,
}

/// What the texts of migrations declare, in lower case.
#[derive(Debug, Clone, Default)]
struct Declared {
    /// Tables that a migration creates.
    created: BTreeSet<TableName>,
    /// Tables and those that they refer to.
    references: BTreeSet<(TableName, TableName)>,
}

impl Declared {
    fn read(migrations: &[Migration], dialect: Dialect) -> Self {
        let mut declared = Self::default();
        let Self { created, references } = &mut declared;
        for migration in migrations {
            let script = Script::read(&migration.sql, dialect);
            created.extend(script.creates.iter().map(folded));
            for at in &script.statements {
                let names = renamed(migration.sql.get(at.clone()).unwrap_or(""), dialect);
                if let Some((_, new)) = names.filter(|(old, _)| created.contains(old)) {
                    created.insert(new);
                }
            }
            references
                .extend(script.references.iter().map(|(child, parent)| (folded(child), folded(parent))));
        }
        declared
    }
}

impl Desired {
    /// What the stack wants of a database that speaks a dialect.
    pub fn new(stack: &Stack, dialect: Dialect) -> Self {
        let spec::System {
            endpoint,
            at,
            create_database,
            extensions,
            migrations,
            order,
            lock_timeout,
            statement_timeout,
            schema_drift: _,
            roles,
            accounts,
            users,
            terms,
            ontologies,
            seeds,
        } = &stack.system;
        let has_folder = migrations.folder.is_some();
        let repeatable = &migrations.repeatable;
        let (own, repeated, extensions, roles) = match dialect {
            Dialect::Postgres => {
                (&migrations.postgres, &repeatable.postgres, extensions.clone(), roles.clone())
            }
            Dialect::Sqlite => (&migrations.sqlite, &repeatable.sqlite, Vec::new(), BTreeMap::new()),
        };
        let mut repeatables: Vec<Repeatable> =
            migrations.repeatable.common.iter().chain(repeated).cloned().collect();
        repeatables.sort_by(|a, b| a.name.cmp(&b.name));
        let mut migrations: Vec<Migration> = migrations.common.iter().chain(own).cloned().collect();
        migrations.sort_by_key(|migration| migration.version);
        for migration in &mut migrations {
            // Its own COMMIT would part it from its record.
            migration.no_transaction |= lint::has_transactions(&migration.sql, dialect);
        }
        let ontologies = ontologies.iter().map(|(name, ontology)| terms_of(name, ontology, terms));
        let seeds = seeds.iter().map(|(name, seed)| rows_of(name, seed));
        Self {
            dialect,
            at: at.clone(),
            endpoint_at: endpoint.at.clone(),
            create_database: *create_database,
            extensions,
            has_folder,
            migrations,
            repeatables,
            done: BTreeSet::new(),
            completed: BTreeSet::new(),
            order: *order,
            lock_timeout: *lock_timeout,
            statement_timeout: *statement_timeout,
            declared: OnceLock::new(),
            recorded: BTreeSet::new(),
            is_established: false,
            roles,
            accounts: accounts.clone(),
            users: users.clone(),
            sets: ontologies.chain(seeds).collect(),
        }
    }

    /// The same, where the bookkeeping has recorded a whole run. Until then, a password may have been
    /// set for its version although nothing says so.
    #[must_use]
    pub fn established(self, is_established: bool) -> Self {
        Self { is_established, ..self }
    }

    /// The same, for a plan that goes on where an earlier run of it stopped.
    #[must_use]
    pub fn going_on(self, done: &BTreeSet<Address>) -> Self {
        Self { done: done.clone(), ..self }
    }

    /// The same, for a look at what this run did.
    #[must_use]
    pub fn after_steps(self, completed: &BTreeSet<Address>) -> Self {
        Self { completed: completed.clone(), ..self }
    }

    /// The same, where the schema that its migrations left is known. Its tables are declared too: the
    /// texts do not tell of one that was renamed, or made by a function.
    #[must_use]
    pub fn knowing(self, recorded: Option<&Snapshot>) -> Self {
        let recorded = recorded.map(|recorded| recorded.tables.keys().cloned().collect());
        Self { recorded: recorded.unwrap_or_default(), ..self }
    }

    /// The migrations, in the order of their versions.
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// Whether a migration may make tables whose names its text does not show as they are: in code, or on
    /// another search path.
    pub fn runs_code(&self) -> bool {
        const CODE: [&str; 5] = ["do", "call", "select", "with", "set"];
        let is_code = |file: &Migration, at: &std::ops::Range<usize>| {
            let words = first_words(file.sql.get(at.clone()).unwrap_or(""), self.dialect);
            words.first().is_some_and(|word| CODE.contains(&word.as_str()))
        };
        let in_file = |file: &Migration| {
            Script::read(&file.sql, self.dialect).statements.iter().any(|at| is_code(file, at))
        };
        self.dialect == Dialect::Postgres && self.migrations.iter().any(in_file)
    }

    /// What the statements of migrations run under.
    pub(super) fn limits(&self) -> Limits {
        Limits { lock: self.lock_timeout, statement: self.statement_timeout }
    }

    fn declared(&self) -> &Declared {
        self.declared.get_or_init(|| Declared::read(&self.migrations, self.dialect))
    }

    /// Whether the text of a migration creates a table.
    pub(super) fn creates(&self, table: &TableName) -> bool {
        self.declared().created.contains(&folded(table))
    }

    /// Tables and those that they refer to in the migrations, in lower case.
    pub(super) fn references(&self) -> &BTreeSet<(TableName, TableName)> {
        &self.declared().references
    }

    /// Whether a migration makes a table, or left it when the schema was recorded.
    pub(super) fn makes(&self, table: &TableName) -> bool {
        self.recorded.contains(table) || self.creates(table)
    }

    /// Whether somebody declared a table: a migration, or the spec by writing rows to it.
    pub(super) fn declares(&self, table: &TableName) -> bool {
        let accounts = self.accounts.as_ref().filter(|_| !self.users.is_empty());
        self.makes(table)
            || self.sets.iter().any(|set| set.table == *table)
            || accounts.is_some_and(|accounts| TableName::parse(&accounts.table) == *table)
    }
}

fn rows_of(name: &str, seed: &Seed) -> RowSet {
    let Seed { on, when, table, key, columns, rows, mode, lines, at } = seed;
    let asked: Vec<_> = columns.iter().map(|name| Asked { name: name.clone(), list: false }).collect();
    let address = Kind::Seed.named(name);
    let (rows, when) = (Arc::clone(rows), when.clone());
    let mut set = RowSet::new(address, table, key, &asked, rows, *mode, (*on, when), None, at.clone());
    set.lines = lines.clone();
    set
}

fn terms_of(name: &str, ontology: &Ontology, terms: &Terms) -> RowSet {
    let plain = |name: &String| Asked { name: name.clone(), list: false };
    let list = |name: &String| Asked { name: name.clone(), list: true };
    let mut columns = vec![plain(&terms.ontology), plain(&terms.term)];
    columns.extend(terms.definition.as_ref().map(plain));
    columns.extend(terms.synonyms.as_ref().map(list));
    columns.extend(terms.expression.as_ref().map(plain));
    columns.extend(terms.tables.as_ref().map(list));
    let mut rows = Rows::new(columns.len());
    for term in &ontology.terms {
        let [synonyms, tables] =
            [&term.synonyms, &term.tables].map(|items| serde_json::Value::from(items.as_slice()).to_string());
        let mut row = vec![Some(name), Some(&*term.term)];
        row.extend(terms.definition.as_ref().map(|_| Some(&*term.definition)));
        row.extend(terms.synonyms.as_ref().map(|_| Some(&*synonyms)));
        row.extend(terms.expression.as_ref().map(|_| term.expression.as_deref()));
        row.extend(terms.tables.as_ref().map(|_| Some(&*tables)));
        rows.push(row);
    }
    let key = [terms.ontology.clone(), terms.term.clone()];
    let scope = Scope { column: terms.ontology.clone(), value: name.to_owned() };
    RowSet::new(
        Kind::Ontology.named(name),
        &terms.table,
        &key,
        &columns,
        Arc::new(rows),
        SeedMode::Mirror,
        (true, None),
        Some(scope),
        ontology.at.clone(),
    )
}
