//! What the spec wants of migrations, for one dialect. Pure.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use super::renamed::renamed;
use crate::address::Address;
use crate::catalog::{Snapshot, TableName};
use crate::connection::Limits;
use crate::lint;
use crate::lint::script::{Script, first_words, folded};
use crate::sql::Dialect;
use crate::stack::{self, Migration, Order, Repeatable};

/// The files, and what their texts say of tables.
#[derive(Debug, Clone)]
pub struct Desired {
    pub(super) dialect: Dialect,
    /// Whether the spec names a folder of migrations, be it empty.
    pub(super) has_folder: bool,
    /// In the order of their versions.
    pub(super) files: Vec<Migration>,
    /// In the order of their names.
    pub(super) repeatables: Vec<Repeatable>,
    /// Steps that an earlier run of the same plan did.
    pub(super) done: BTreeSet<Address>,
    pub(super) order: Order,
    /// What their statements run under.
    pub(super) limits: Limits,
    /// What the texts of the numbered files declare, read when it is first asked for: where nothing is to be
    /// done, nobody asks, and a history may have thousands of files.
    declared: OnceLock<Declared>,
    /// Tables that were there when a run of this tool recorded what its migrations had left.
    recorded: BTreeSet<TableName>,
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
    fn read(files: &[Migration], dialect: Dialect) -> Self {
        let mut declared = Self::default();
        let Self { created, references } = &mut declared;
        for file in files {
            let script = Script::read(&file.sql, dialect);
            created.extend(script.creates.iter().map(folded));
            for at in &script.statements {
                let names = renamed(file.sql.get(at.clone()).unwrap_or(""), dialect);
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
    /// What the spec wants of a database that speaks a dialect.
    pub fn new(system: &stack::System, dialect: Dialect) -> Self {
        let stack::MigrationSets { folder, common, postgres, sqlite, repeatable } = &system.migrations;
        let (own, repeated) = match dialect {
            Dialect::Postgres => (postgres, &repeatable.postgres),
            Dialect::Sqlite => (sqlite, &repeatable.sqlite),
        };
        let mut repeatables: Vec<Repeatable> = repeatable.common.iter().chain(repeated).cloned().collect();
        repeatables.sort_by(|a, b| a.name.cmp(&b.name));
        let mut files: Vec<Migration> = common.iter().chain(own).cloned().collect();
        files.sort_by_key(|file| file.version);
        for file in &mut files {
            // Its own COMMIT would part it from its record.
            file.no_transaction |= lint::has_transactions(&file.sql, dialect);
        }
        Self {
            dialect,
            has_folder: folder.is_some(),
            files,
            repeatables,
            done: BTreeSet::new(),
            order: system.order,
            limits: Limits { lock: system.lock_timeout, statement: system.statement_timeout },
            declared: OnceLock::new(),
            recorded: BTreeSet::new(),
        }
    }

    /// The same, for a plan that goes on where an earlier run of it stopped.
    pub(crate) fn go_on(&mut self, done: &BTreeSet<Address>) {
        self.done.clone_from(done);
    }

    /// The same, where the schema that its migrations left is known. Its tables are declared too: the
    /// texts do not tell of one that was renamed, or made by a function.
    pub(crate) fn know(&mut self, recorded: Option<&Snapshot>) {
        let recorded = recorded.map(|recorded| recorded.tables.keys().cloned().collect());
        self.recorded = recorded.unwrap_or_default();
    }

    /// The numbered files, in the order of their versions.
    pub fn files(&self) -> &[Migration] {
        &self.files
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    fn declared(&self) -> &Declared {
        self.declared.get_or_init(|| Declared::read(&self.files, self.dialect))
    }

    /// Whether the text of a numbered file creates a table.
    pub(super) fn creates(&self, table: &TableName) -> bool {
        self.declared().created.contains(&folded(table))
    }

    /// Tables and those that they refer to in the numbered files, in lower case.
    pub(crate) fn references(&self) -> &BTreeSet<(TableName, TableName)> {
        &self.declared().references
    }

    /// Whether a migration may make tables whose names its text does not show as they are: in code, or on
    /// another search path.
    pub fn runs_code(&self) -> bool {
        const CODE: [&str; 5] = ["do", "call", "select", "with", "set"];
        let is_code = |file: &Migration, at: &Range<usize>| {
            let words = first_words(file.sql.get(at.clone()).unwrap_or(""), self.dialect);
            words.first().is_some_and(|word| CODE.contains(&word.as_str()))
        };
        let in_file = |file: &Migration| {
            Script::read(&file.sql, self.dialect).statements.iter().any(|at| is_code(file, at))
        };
        self.dialect == Dialect::Postgres && self.files.iter().any(in_file)
    }

    /// Whether a migration makes a table, or left it when the schema was recorded.
    pub(crate) fn makes(&self, table: &TableName) -> bool {
        self.recorded.contains(table) || self.creates(table)
    }
}
