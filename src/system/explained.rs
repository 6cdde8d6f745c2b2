//! Which changes of a schema the texts of some migrations account for: those that another tool ran, or
//! that mend what was changed by hand. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Desired;
use super::diff::is_managed;
use crate::catalog::{Column, Snapshot, Table, TableName};
use crate::spec::Migration;

/// The recorded schema with the changes that some migrations account for taken over from the one that is
/// there. What their texts do not name keeps its recorded form, and so stays a difference.
pub fn explained(desired: &Desired, recorded: &Snapshot, there: &Snapshot, files: &[&Migration]) -> Snapshot {
    if files.is_empty() {
        return recorded.clone();
    }
    let texts = Texts::of(files, recorded, there);
    let mut explained = there.clone();
    explained.tables.retain(|name, table| match recorded.tables.get(name) {
        Some(was) => {
            *table = texts.merged(name, was, table);
            true
        }
        // They may refer to a table that is not theirs.
        None => texts.name(name) && (texts.is_dynamic || is_managed(desired, name, table)),
    });
    for (name, was) in &recorded.tables {
        let is_explained = texts.is_dynamic || texts.drops || texts.name(name);
        if !there.tables.contains_key(name) && !is_explained {
            explained.tables.insert(name.clone(), was.clone());
        }
    }
    explained
}

/// What the texts of migrations speak of.
struct Texts {
    /// All their words, in lower case.
    words: BTreeSet<String>,
    /// Names of types, functions, schemas and the like that they make, change or drop. A statement about
    /// one of these changes tables that it does not name.
    objects: BTreeSet<String>,
    /// The words that are names of tables.
    tables: BTreeSet<String>,
    /// Whether a statement is put together when it runs, so that the text does not show it.
    is_dynamic: bool,
    /// Whether anything is dropped, which may take tables along.
    drops: bool,
}

impl Texts {
    fn of(files: &[&Migration], recorded: &Snapshot, there: &Snapshot) -> Self {
        const KINDS: [&str; 9] = [
            "type",
            "domain",
            "function",
            "procedure",
            "aggregate",
            "schema",
            "extension",
            "sequence",
            "collation",
        ];
        let (mut words, mut objects, mut is_dynamic) = (BTreeSet::new(), BTreeSet::new(), false);
        for file in files {
            let lower = file.sql.to_lowercase();
            let all: Vec<&str> = identifiers(&lower).collect();
            for (at, pair) in all.windows(2).enumerate() {
                let [verb, kind] = pair else { continue };
                is_dynamic |= *verb == "execute" && !matches!(*kind, "function" | "procedure" | "on");
                if matches!(*verb, "create" | "alter" | "drop" | "replace") && KINDS.contains(kind) {
                    let behind = all.iter().skip(at + 2);
                    let mut names = behind.skip_while(|word| matches!(**word, "if" | "not" | "exists"));
                    // With its schema, or with what comes next.
                    objects.extend(names.by_ref().take(2).map(|word| (*word).to_owned()));
                }
            }
            words.extend(all.into_iter().map(str::to_owned));
        }
        let names = recorded.tables.keys().chain(there.tables.keys()).map(|name| name.name.to_lowercase());
        let tables = names.filter(|name| words.contains(name)).collect();
        let drops = words.contains("drop");
        Self { words, objects, tables, is_dynamic, drops }
    }

    /// Whether they name a table, or its schema.
    fn name(&self, table: &TableName) -> bool {
        let has = |name: &String| self.words.contains(&name.to_lowercase());
        has(&table.name) || table.schema.as_ref().is_some_and(has)
    }

    fn any_in(words: &BTreeSet<String>, text: &str) -> bool {
        // Keywords of expressions, which say nothing of what is meant.
        const COMMON: [&str; 12] =
            ["check", "in", "and", "or", "not", "null", "is", "any", "array", "text", "true", "false"];
        let lower = text.to_lowercase();
        identifiers(&lower).any(|word| !COMMON.contains(&word) && words.contains(word))
    }

    /// A table as it is there, with the parts that the texts do not account for as they were.
    fn merged(&self, name: &TableName, was: &Table, there: &Table) -> Table {
        if self.is_dynamic || was == there {
            return there.clone();
        }
        let is_named = self.name(name);
        if let Some(definition) = &there.definition {
            // A view follows from its tables.
            let both = format!("{definition} {}", was.definition.as_deref().unwrap_or(""));
            let is_explained = is_named
                || Self::any_in(&self.tables, &both)
                || Self::any_in(&self.objects, &both)
                || was.kind != there.kind;
            return if is_explained { there.clone() } else { was.clone() };
        }
        let speaks =
            |text: &str| Self::any_in(&self.objects, text) || is_named && Self::any_in(&self.words, text);
        let column = |column: &Column| {
            let Column { name, data_type, default, generated, .. } = column;
            let expressions = [default, generated].into_iter().flatten();
            is_named && self.words.contains(&name.to_lowercase())
                || Self::any_in(&self.objects, data_type)
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
            self.words.contains(&name.to_lowercase()) || speaks(&index.keys.join(" "))
        });
        merged.foreign_keys = merge_sets(&was.foreign_keys, &there.foreign_keys, |key| {
            self.words.contains(&key.table.name.to_lowercase()) || speaks(&key.columns.join(" "))
        });
        merged.checks = merge_sets(&was.checks, &there.checks, |check| {
            speaks(check) || Self::any_in(&self.objects, &types_of(check))
        });
        if !is_named {
            merged.primary_key.clone_from(&was.primary_key);
            merged.comment.clone_from(&was.comment);
        }
        merged
    }
}

/// Words that may be names, from a text in lower case.
fn identifiers(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|word| !word.is_empty())
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
