//! Determines which schema changes result from certain migrations: those that another tool applied, or that
//! repair manual changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Desired;
use super::diff::is_managed;
use crate::catalog::{Column, Snapshot, Table, TableName};
use crate::migrations::{Texts, contains_any, has_quoted};
use crate::stack::Migration;

/// The recorded schema, with the changes that the migrations explain taken from the current schema. Objects
/// that the texts do not mention keep their recorded form, so they remain differences.
pub fn explained(desired: &Desired, recorded: &Snapshot, there: &Snapshot, files: &[&Migration]) -> Snapshot {
    if files.is_empty() {
        return recorded.clone();
    }
    let explanation = Explanation::of(files, recorded, there);
    let texts = &explanation.texts;
    let mut explained = there.clone();
    explained.tables.retain(|name, table| match recorded.tables.get(name) {
        Some(was) => {
            *table = explanation.merged(name, was, table);
            true
        }
        // The migrations may only reference a table that they do not own.
        None => texts.mention(name) && (texts.is_dynamic || is_managed(desired, name, table)),
    });
    for (name, was) in &recorded.tables {
        let is_explained = texts.is_dynamic || texts.drops || texts.mention(name);
        if !there.tables.contains_key(name) && !is_explained {
            explained.tables.insert(name.clone(), was.clone());
        }
    }
    explained
}

/// The texts of migrations, and the table names that they contain.
struct Explanation {
    texts: Texts,
    tables: BTreeSet<String>,
}

impl Explanation {
    fn of(files: &[&Migration], recorded: &Snapshot, there: &Snapshot) -> Self {
        let texts = Texts::parse(files.iter().map(|file| file.sql.as_str()));
        let names = recorded.tables.keys().chain(there.tables.keys()).map(|name| name.name.to_lowercase());
        let tables = names.filter(|name| texts.has_name(name)).collect();
        Self { texts, tables }
    }

    /// The current table, with the recorded form of the parts that the texts do not explain.
    fn merged(&self, name: &TableName, was: &Table, there: &Table) -> Table {
        let Self { texts, tables } = self;
        if texts.is_dynamic || was == there {
            return there.clone();
        }
        let is_named = texts.mention(name);
        if let Some(definition) = &there.definition {
            // A view changes with its tables.
            let both = format!("{definition} {}", was.definition.as_deref().unwrap_or(""));
            let lower = both.to_lowercase();
            let is_explained = is_named
                || contains_any(tables, &both)
                || tables.iter().any(|table| has_quoted(&lower, table))
                || texts.change_any_of(&both)
                || was.kind != there.kind;
            return if is_explained { there.clone() } else { was.clone() };
        }
        let speaks = |text: &str| texts.change_any_of(text) || is_named && contains_any(&texts.words, text);
        let column = |column: &Column| {
            let Column { name, data_type, default, generated, .. } = column;
            let expressions = [default, generated].into_iter().flatten();
            is_named && texts.has_name(name)
                || texts.change_any_of(data_type)
                || expressions.into_iter().any(|text| speaks(text))
        };
        let types_of = |check: &str| {
            let columns = was.columns.iter().chain(&there.columns);
            let checked = columns.filter(|column| check.contains(&column.name));
            checked.map(|column| column.data_type.as_str()).collect::<Vec<_>>().join(" ")
        };
        let mut merged = there.clone();
        merged.columns = merge_columns(&was.columns, &there.columns, column);
        merged.indexes = merge(&was.indexes, &there.indexes, |name, index| {
            texts.has_name(name) || speaks(&index.keys.join(" "))
        });
        merged.foreign_keys = merge_sets(&was.foreign_keys, &there.foreign_keys, |key| {
            texts.has_name(&key.table.name) || speaks(&key.columns.join(" "))
        });
        merged.checks = merge_sets(&was.checks, &there.checks, |check| {
            speaks(check) || texts.change_any_of(&types_of(check))
        });
        if !is_named {
            merged.primary_key.clone_from(&was.primary_key);
            merged.comment.clone_from(&was.comment);
        }
        merged
    }
}

fn merge_columns(was: &[Column], there: &[Column], is_explained: impl Fn(&Column) -> bool) -> Vec<Column> {
    let old = |name: &str| was.iter().find(|column| column.name == name);
    let mut merged: Vec<Column> = Vec::new();
    for column in there {
        match old(&column.name) {
            _ if is_explained(column) => merged.push(column.clone()),
            Some(before) => merged.push(before.clone()),
            None => {}
        }
    }
    let is_gone = |column: &&Column| !there.iter().any(|now| now.name == column.name);
    merged.extend(was.iter().filter(is_gone).filter(|column| !is_explained(column)).cloned());
    merged
}

fn merge<K: Ord + Clone, V: PartialEq + Clone>(
    was: &BTreeMap<K, V>,
    there: &BTreeMap<K, V>,
    is_explained: impl Fn(&K, &V) -> bool,
) -> BTreeMap<K, V> {
    let mut merged = was.clone();
    merged.retain(|key, value| there.contains_key(key) || !is_explained(key, value));
    for (key, value) in there {
        if is_explained(key, value) {
            merged.insert(key.clone(), value.clone());
        }
    }
    merged
}

fn merge_sets<T: Ord + Clone>(
    was: &BTreeSet<T>,
    there: &BTreeSet<T>,
    is_explained: impl Fn(&T) -> bool,
) -> BTreeSet<T> {
    let kept = was.iter().filter(|item| there.contains(item) || !is_explained(item));
    let new = there.iter().filter(|item| was.contains(item) || is_explained(item));
    kept.chain(new).cloned().collect()
}
