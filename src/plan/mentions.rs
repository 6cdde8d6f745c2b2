//! Notes about terms, questions and documentation that name a table which no target has, because
//! queries generated from them fail. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Snapshot;
use crate::sql::tables_mentioned;
use crate::stack::Stack;
use crate::target::Observed;
use crate::world::World;

/// Maximum number of notes shown; the rest is counted.
const SHOWN: usize = 10;

/// Returns a note for each named table that no target has. Returns none while an enabled target
/// could not be read, because it may have the table.
pub(super) fn notes(stack: &Stack, world: &World) -> Vec<String> {
    let Some(vector) = &stack.vector else { return Vec::new() };
    let mut tables: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for name in stack.targets.iter().filter(|(_, target)| target.on).map(|(name, _)| name) {
        let Some(Observed::Readable(seen)) = world.targets.get(name) else { return Vec::new() };
        tables.insert(name, names(&seen.snapshot));
    }
    if tables.is_empty() {
        return Vec::new();
    }
    let is_known = |target: Option<&str>, table: &str| match target {
        Some(target) => tables.get(target).is_none_or(|known| known.contains(table)),
        None => tables.values().any(|known| known.contains(table)),
    };
    let mut notes = BTreeSet::new();
    let used: BTreeSet<&String> =
        vector.collections.values().flat_map(|spec| spec.terms.iter().chain(&spec.ontologies)).collect();
    for (name, ontology) in stack.system.ontologies.iter().filter(|(name, _)| used.contains(name)) {
        for term in &ontology.terms {
            for place in &term.tables {
                // `a.b` is either table b of schema a, or column b of table a.
                let full_name = plain(place);
                let table = full_name.rsplit_once('.').map_or(full_name.as_str(), |(table, _)| table);
                if !is_known(None, &full_name) && !is_known(None, table) {
                    let term = &term.term;
                    notes.insert(format!("term {term:?} of {name} names {place}, which no target has"));
                }
            }
        }
    }
    for collection in vector.collections.values() {
        for example in &collection.examples {
            for table in mentioned(&example.sql) {
                let target = example.target.as_deref();
                if !is_known(target, &table) {
                    let whose =
                        target.map_or("no target has".to_owned(), |name| format!("target {name} has not"));
                    notes.insert(format!("{}: a question names table {table}, which {whose}", example.at));
                }
            }
        }
        for file in &collection.files {
            for table in sql_blocks(&file.text).flat_map(mentioned) {
                if !is_known(None, &table) {
                    notes.insert(format!("{}: its SQL names table {table}, which no target has", file.name));
                }
            }
        }
    }
    let rest = notes.len().saturating_sub(SHOWN);
    let mut notes: Vec<String> = notes.into_iter().take(SHOWN).collect();
    if rest > 0 {
        notes.push(format!("{rest} more names of tables in terms, questions and files are of no target"));
    }
    notes
}

fn names(snapshot: &Snapshot) -> BTreeSet<String> {
    snapshot.tables.keys().map(|name| plain(&name.to_string())).collect()
}

/// Returns a name in lower case, without a default schema.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace('"', "");
    let short = ["public.", "main."].iter().find_map(|schema| name.strip_prefix(schema));
    short.map_or(name.clone(), str::to_owned)
}

/// Returns the tables of a query, except the system catalogs.
fn mentioned(sql: &str) -> Vec<String> {
    const CATALOGS: [&str; 4] = ["sqlite_", "pg_", "information_schema.", "pragma_"];
    let tables = tables_mentioned(sql).into_iter().map(|name| plain(&name));
    tables.filter(|name| !CATALOGS.iter().any(|catalog| name.starts_with(catalog))).collect()
}

/// Returns the SQL code blocks of a Markdown text.
fn sql_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").skip(1).step_by(2).filter_map(|block| {
        let (language, sql) = block.split_once('\n')?;
        matches!(language.trim().to_lowercase().as_str(), "sql" | "sqlite" | "postgresql").then_some(sql)
    })
}
