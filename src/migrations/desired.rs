//! The desired migrations for one dialect. Pure.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::renamed::renamed;
use crate::address::Address;
use crate::catalog::{Snapshot, TableName};
use crate::connection::Limits;
use crate::lint;
use crate::lint::script::{Script, first_words, folded};
use crate::sql::Dialect;
use crate::stack::{self, Migration, Order, Repeatable};

/// The migration files, and the tables that their texts declare.
#[derive(Debug, Clone)]
pub struct Desired {
    pub(super) dialect: Dialect,
    /// Whether the spec names a folder of migrations, which may be empty.
    pub(super) has_folder: bool,
    /// Sorted by version. Shared, because each plan of a run has facts of its own beside the files.
    pub(super) files: Arc<[Migration]>,
    /// Sorted by name.
    pub(super) repeatables: Arc<[Repeatable]>,
    /// Steps that an earlier run of the same plan completed.
    pub(super) done: BTreeSet<Address>,
    pub(super) order: Order,
    pub(super) limits: Limits,
    /// Parsed on first use: a history may have thousands of files, and a plan without changes never needs
    /// this.
    declared: Arc<OnceLock<Declared>>,
    /// Tables of the schema that was recorded after an earlier run.
    recorded: BTreeSet<TableName>,
}

/// Names that migrations declare, in lower case.
#[derive(Debug, Clone, Default)]
struct Declared {
    created: BTreeSet<TableName>,
    /// Pairs of a table and a table that it references.
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
    /// Selects the files for a dialect.
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
            // A COMMIT in the file would separate it from its record, so it runs outside a
            // transaction.
            file.no_transaction |= lint::has_transactions(&file.sql, dialect);
        }
        Self {
            dialect,
            has_folder: folder.is_some(),
            files: files.into(),
            repeatables: repeatables.into(),
            done: BTreeSet::new(),
            order: system.order,
            limits: Limits { lock: system.lock_timeout, statement: system.statement_timeout },
            declared: Arc::default(),
            recorded: BTreeSet::new(),
        }
    }

    /// Sets the steps that an earlier run of the same plan completed, so that the plan resumes
    /// after them.
    pub(crate) fn resume_after(&mut self, done: &BTreeSet<Address>) {
        self.done.clone_from(done);
    }

    /// Sets the schema that was recorded after the migrations ran. Its tables count as declared too: the
    /// texts do not show tables that were renamed or created by a function.
    pub(crate) fn use_recorded_schema(&mut self, recorded: Option<&Snapshot>) {
        let recorded = recorded.map(|recorded| recorded.tables.keys().cloned().collect());
        self.recorded = recorded.unwrap_or_default();
    }

    /// The numbered files, sorted by version.
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

    /// Pairs of a table and a table that it references in the numbered files, in lower case.
    pub(crate) fn references(&self) -> &BTreeSet<(TableName, TableName)> {
        &self.declared().references
    }

    /// Whether a migration may create tables whose names its text does not show, by code or with another
    /// search path.
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

    /// Whether a migration creates the table, or the recorded schema has it.
    pub(crate) fn makes(&self, table: &TableName) -> bool {
        self.recorded.contains(table) || self.creates(table)
    }
}
