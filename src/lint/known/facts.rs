//! Facts about the rows of a table from its constraints and indexes: which columns are never NULL,
//! and what PostgreSQL rechecks or rebuilds when a column's type changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::Known;
use crate::catalog::{Table, TableName};
use crate::lint::effect::Fact;
use crate::lint::script::words;
use crate::sql::Dialect;

/// Longest condition that is parsed.
const MOST_BYTES: usize = 100_000;

/// A CHECK constraint of a table.
#[derive(Debug, Clone)]
struct Check {
    name: Option<String>,
    condition: String,
    is_valid: bool,
}

/// The known facts about the rows of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    not_null: BTreeSet<String>,
    checks: Vec<Check>,
    /// The columns of each index that consists of plain columns.
    indexes: BTreeMap<String, Vec<String>>,
    /// Identifiers in expressions and conditions of indexes.
    computed: BTreeSet<String>,
}

impl Facts {
    pub(super) fn of(table: &Table) -> Self {
        let required =
            table.columns.iter().filter(|column| !column.nullable).map(|column| column.name.clone());
        let mut facts =
            Self { not_null: required.chain(table.primary_key.iter().cloned()).collect(), ..Self::default() };
        for text in &table.checks {
            let (condition, is_valid) = match text.strip_suffix(" NOT VALID") {
                Some(condition) => (condition, false),
                None => (text.as_str(), true),
            };
            let condition = condition.trim_start_matches("CHECK").trim().to_owned();
            facts.checks.push(Check { name: None, condition, is_valid });
        }
        for (name, index) in &table.indexes {
            let is_column = |key: &String| table.column(key).is_some();
            if index.keys.iter().all(is_column) {
                facts.indexes.insert(TableName::parse(name).name, index.keys.clone());
            }
            let expressions = index.keys.iter().filter(|key| !is_column(key)).chain(&index.predicate);
            facts.computed.extend(expressions.flat_map(|text| words(text, Dialect::Postgres)));
        }
        facts
    }

    pub(super) fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::NotNull(column) => {
                self.not_null.insert(column.clone());
            }
            Fact::Nullable(column) => {
                self.not_null.remove(column);
            }
            Fact::Check { name, condition, is_valid } => {
                let check = Check { name: name.clone(), condition: condition.clone(), is_valid: *is_valid };
                self.checks.push(check);
            }
            Fact::Validated(name) => {
                let known = self.checks.iter().position(|check| check.name.as_ref() == Some(name));
                // The snapshot of a database does not include the names of CHECK constraints.
                let mut nameless = self.checks.iter().enumerate().filter(|(_, check)| !check.is_valid);
                let only = match (nameless.next(), nameless.next()) {
                    (Some((at, check)), None) if check.name.is_none() => Some(at),
                    _ => None,
                };
                if let Some(check) = known.or(only).and_then(|at| self.checks.get_mut(at)) {
                    check.is_valid = true;
                }
            }
            Fact::Dropped(name) => {
                let is_named = self.checks.iter().any(|check| check.name.as_ref() == Some(name));
                // The dropped constraint may be one whose name is unknown.
                self.checks
                    .retain(|check| check.name.as_ref() != Some(name) && (is_named || check.name.is_some()));
            }
            Fact::Indexes { index, columns } => {
                self.indexes.insert(index.clone(), columns.clone());
            }
            // Stored with the table's columns, not here.
            Fact::Key(_) | Fact::Null(_) => {}
            Fact::Computes { text } => self.computed.extend(words(text, Dialect::Postgres)),
        }
    }

    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        if self.not_null.remove(from) {
            self.not_null.insert(to.to_owned());
        }
        for column in self.indexes.values_mut().flatten().filter(|column| *column == from) {
            to.clone_into(column);
        }
        if self.computed.contains(from) {
            self.computed.insert(to.to_owned());
        }
        // The stored conditions still contain the old name.
        self.checks
            .retain(|check| !words(&check.condition, Dialect::Postgres).iter().any(|word| word == from));
    }

    pub(super) fn dropped(&mut self, column: &str) {
        self.not_null.remove(column);
        self.checks
            .retain(|check| !words(&check.condition, Dialect::Postgres).iter().any(|word| word == column));
    }

    pub(super) fn valid_checks(&self) -> Vec<&str> {
        let valid = self.checks.iter().filter(|check| check.is_valid);
        valid.map(|check| check.condition.as_str()).collect()
    }

    /// Whether an index on exactly these columns exists.
    pub(super) fn has_index(&self, columns: &Vec<String>) -> bool {
        self.indexes.values().any(|index| index == columns)
    }

    /// Returns the columns of each index, or `None` if an index contains anything else.
    pub(super) fn plain_indexes(&self) -> Option<impl Iterator<Item = &Vec<String>>> {
        self.computed.is_empty().then(|| self.indexes.values())
    }

    fn is_never_null(&self, column: &str) -> bool {
        self.not_null.contains(column)
            || self.checks.iter().any(|check| check.is_valid && says_not_null(&check.condition, column))
    }
}

/// Whether a condition can hold only if a column is not NULL.
fn says_not_null(condition: &str, column: &str) -> bool {
    fn holds(condition: &Expr, column: &str) -> bool {
        match condition {
            Expr::Nested(inner) => holds(inner, column),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                holds(left, column) || holds(right, column)
            }
            Expr::IsNotNull(of) => match &**of {
                Expr::Identifier(name) if name.quote_style.is_some() => name.value == column,
                Expr::Identifier(name) => name.value.to_lowercase() == column,
                _ => false,
            },
            _ => false,
        }
    }
    let read = |text| Parser::new(&PostgreSqlDialect {}).try_with_sql(text)?.parse_expr();
    condition.len() <= MOST_BYTES && read(condition).is_ok_and(|condition| holds(&condition, column))
}

impl Known {
    /// Whether a column is known to have no NULL.
    pub(in crate::lint) fn is_never_null(&self, table: &TableName, column: &str) -> bool {
        self.columns_of(table).facts.is_never_null(column)
    }

    /// Whether all columns of an index are known to have no NULL; `None` if the columns are
    /// unknown.
    pub(in crate::lint) fn is_index_never_null(&self, table: &TableName, index: &str) -> Option<bool> {
        let facts = &self.columns_of(table).facts;
        let columns = facts.indexes.get(index)?;
        Some(columns.iter().all(|column| facts.not_null.contains(column)))
    }

    /// Returns what PostgreSQL must redo when the type of a column changes, even if it does not
    /// rewrite the table.
    pub(in crate::lint) fn depends_on(&self, table: &TableName, column: &str) -> Option<&'static str> {
        let facts = &self.columns_of(table).facts;
        let has = |condition: &str| words(condition, Dialect::Postgres).iter().any(|word| word == column);
        if facts.checks.iter().any(|check| has(&check.condition)) {
            Some("a CHECK with it is verified against all rows")
        } else if facts.computed.contains(column) {
            Some("an index with it in an expression or a condition is built anew")
        } else {
            None
        }
    }

    pub(super) fn learn(&mut self, table: &TableName, facts: &[Fact]) {
        let columns = self.columns.entry(table.clone()).or_default();
        for fact in facts {
            if let Fact::Key(key) = fact {
                columns.keys.push(key.clone());
            }
            columns.facts.learn(fact);
        }
    }
}
