//! Estimates how many migrations a database without a history has had, by the tables, columns and indexes
//! that they create and that exist. Pure.

use std::collections::BTreeSet;

use super::Desired;
use crate::catalog::{Snapshot, TableName};
use crate::lint::script::{Script, folded, located, words};
use crate::sql::Dialect;
use crate::stack::Migration;

/// Whether the objects that a file creates exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    Found,
    Missing,
    /// The file creates no named object.
    None,
}

/// The names of a schema, in lower case.
struct Names {
    tables: BTreeSet<TableName>,
    columns: BTreeSet<(TableName, String)>,
    indexes: BTreeSet<String>,
}

/// The estimated version: the last file with any object in the schema, and the files directly behind it
/// that create no named object.
pub(super) fn estimated_version(desired: &Desired, schema: &Snapshot) -> Option<i64> {
    let names = Names::from_schema(schema);
    let traces = desired.files.iter().map(|file| names.trace(file, desired.dialect));
    let traces: Vec<Trace> = traces.collect();
    let last = traces.iter().rposition(|trace| *trace == Trace::Found)?;
    let behind = traces.iter().skip(last + 1).take_while(|trace| **trace == Trace::None).count();
    desired.files.get(last + behind).map(|file| file.version)
}

impl Names {
    fn from_schema(schema: &Snapshot) -> Self {
        let tables = schema.tables.iter();
        let columns = tables.clone().flat_map(|(name, table)| {
            table.columns.iter().map(move |column| (folded(name), column.name.to_lowercase()))
        });
        let indexes =
            tables.clone().flat_map(|(_, table)| table.indexes.keys().map(|name| name.to_lowercase()));
        Self {
            columns: columns.collect(),
            indexes: indexes.collect(),
            tables: tables.map(|(name, _)| folded(name)).collect(),
        }
    }

    fn trace(&self, file: &Migration, dialect: Dialect) -> Trace {
        let script = Script::read(&file.sql, dialect);
        let mut found: Vec<bool> =
            script.creates.iter().map(|table| self.tables.contains(&folded(table))).collect();
        for statement in script.statements.iter().filter_map(|at| file.sql.get(at.clone())) {
            let words = words(statement, dialect);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["alter", "table", rest @ ..] => {
                    let (table, rest) = table(rest, dialect);
                    let columns = added_columns(rest).map(|column| (table.clone(), column.to_lowercase()));
                    found.extend(columns.map(|column| self.columns.contains(&column)));
                }
                ["create", "index", rest @ ..] | ["create", "unique", "index", rest @ ..] => {
                    let name = rest.iter().find(|word| !is_filler(word));
                    found.extend(
                        name.filter(|name| **name != "on")
                            .map(|name| self.indexes.contains(&name.to_lowercase())),
                    );
                }
                _ => {}
            }
        }
        match found.as_slice() {
            [] => Trace::None,
            some if some.contains(&true) => Trace::Found,
            _ => Trace::Missing,
        }
    }
}

fn is_filler(word: &str) -> bool {
    matches!(word, "if" | "not" | "exists" | "only" | "concurrently" | "column")
}

/// Parses the table of an `ALTER TABLE`, and returns the words behind it.
fn table<'w, 's>(words: &'w [&'s str], dialect: Dialect) -> (TableName, &'w [&'s str]) {
    let start = words.iter().take_while(|word| is_filler(word)).count();
    let name = match words.get(start..).unwrap_or_default() {
        [schema, ".", name, ..] => {
            (TableName { schema: Some((*schema).to_owned()), name: (*name).to_owned() }, start + 3)
        }
        [name, ..] => (TableName::plain(*name), start + 1),
        [] => (TableName::plain(""), start),
    };
    (folded(&located(name.0, dialect)), words.get(name.1..).unwrap_or_default())
}

/// The columns that an `ALTER TABLE` adds, given the words behind the table.
fn added_columns<'w>(words: &'w [&'w str]) -> impl Iterator<Item = &'w str> {
    const OTHERS: [&str; 7] = ["constraint", "primary", "foreign", "unique", "check", "exclude", "value"];
    let is_action = |at: usize| at == 0 || words.get(at - 1) == Some(&",");
    let actions = (0..words.len()).filter(move |at| words.get(*at) == Some(&"add") && is_action(*at));
    actions.filter_map(move |at| {
        let name = words.iter().skip(at + 1).find(|word| !is_filler(word))?;
        (!OTHERS.contains(name)).then_some(*name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_are_added_are_found_in_any_spelling() {
        for (statement, expected) in [
            ("ALTER TABLE t ADD COLUMN a int, ADD b text DEFAULT 'add c'", vec!["a", "b"]),
            ("alter table only public.t add column if not exists a numeric(10, 2)", vec!["a"]),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0), ADD UNIQUE (a)", vec![]),
            ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", vec![]),
        ] {
            let words = words(statement, Dialect::Postgres);
            let words: Vec<&str> = words.iter().map(String::as_str).skip(2).collect();
            let (name, rest) = table(&words, Dialect::Postgres);
            assert_eq!(name, TableName::plain("t"), "{statement}");
            assert_eq!(added_columns(rest).collect::<Vec<_>>(), expected, "{statement}");
        }
    }
}
