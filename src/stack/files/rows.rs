//! Reads the rows of a seed from `.csv`, `.yaml` or `.json`: columns and values. Keys must be
//! unique.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{FileRef, csv, yaml};
use crate::digest::Fingerprint;
use crate::fingerprints::repeated;
use crate::packed::Rows;
use crate::stack::context::{Context, MAX_ROWS_BYTES};
use crate::stack::error::{Code, SpecError};
use crate::stack::typed::describe;
use crate::stack::typed::json::json;
use crate::stack::yaml::tree::{Entry, Node, NodeKind, Span};
use crate::suggest::declared;

/// Rows with their locations.
pub(in crate::stack) struct Table {
    pub columns: Vec<String>,
    pub rows: Rows,
    pub places: Vec<Span>,
}

impl Table {
    fn new(columns: Vec<String>) -> Self {
        Self { rows: Rows::new(columns.len()), columns, places: Vec::new() }
    }

    fn push<'t>(&mut self, row: impl IntoIterator<Item = Option<&'t str>>, at: Span) {
        self.rows.push(row);
        self.places.push(at);
    }
}

/// Returns the fingerprint of each row's key, given the indexes of the key's columns.
pub(in crate::stack) fn keys<'r>(rows: &'r Rows, places: &'r [usize]) -> impl Iterator<Item = Fingerprint> {
    let key = |row: Vec<Option<&str>>| Fingerprint::of(places.iter().filter_map(|at| row.get(*at).copied()));
    rows.iter().map(key)
}

/// Reads the rows of a seed with the given key columns and reports errors.
pub(in crate::stack) fn rows(cx: &Context<'_>, named: FileRef<'_>, key: &[(String, Span)]) -> Option<Table> {
    let path = cx.path(named.at, named.path);
    let table = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => from_csv(cx, named)?,
        Some("yaml" | "yml" | "json") => from_yaml(cx, named)?,
        _ => {
            let help = "accepted are `.csv`, `.yaml` and `.json`";
            cx.fail(Code::Rows, named.at, "rows in a file of an unknown kind", "named here", help);
            return None;
        }
    };
    let Table { columns, .. } = &table;
    if columns.is_empty() {
        return Some(table);
    }
    let mut places = Vec::with_capacity(key.len());
    for (name, at) in key {
        if let Some(place) = columns.iter().position(|column| column == name) {
            places.push(place);
            continue;
        }
        let message = format!("the key column `{name}` is not in {}", named.path);
        let help = declared(name, columns.iter().map(String::as_str));
        cx.fail(Code::Rows, *at, message, "not a column", help.replace("declared:", "its columns:"));
    }
    (places.len() == key.len() && keys_are_unique(cx, &table, &places)).then_some(table)
}

fn keys_are_unique(cx: &Context<'_>, table: &Table, key: &[usize]) -> bool {
    let Table { rows, places, .. } = table;
    let is_empty = |row: &Vec<Option<&str>>| key.iter().any(|at| row.get(*at) == Some(&None));
    let empty: Vec<usize> =
        rows.iter().enumerate().filter(|(_, row)| is_empty(row)).map(|(at, _)| at).collect();
    for at in empty.iter().filter_map(|at| places.get(*at)) {
        cx.fail(Code::Rows, *at, "the key of a row is empty", "this row", "every row needs its key");
    }
    let repeated = repeated(keys(rows, key));
    let both = repeated.iter().filter(|(_, again)| empty.binary_search(again).is_err());
    for (first, again) in both.filter_map(|(first, again)| places.get(*first).zip(places.get(*again))) {
        let error = SpecError::new(Code::Rows, "two rows have the same key");
        let error = error.at(cx.at(*again), "again here").and(cx.at(*first), "first here");
        cx.report(error.help("remove one of them, or add a column to the seed's `key`"));
    }
    empty.is_empty() && repeated.is_empty()
}

fn from_csv(cx: &Context<'_>, named: FileRef<'_>) -> Option<Table> {
    let (index, file) = cx.read(&cx.path(named.at, named.path), Some(named.at), MAX_ROWS_BYTES)?;
    cx.content(named.label.to_owned(), &file.text);
    let span = |at: &std::ops::Range<usize>| Span::new(index, at);
    let mut records = csv::records(&file.text);
    let broken = |csv::Broken { at, message, help }| cx.fail(Code::Rows, span(&at), message, "here", help);
    let Some(header) = records.next().transpose().map_err(broken).ok()? else {
        cx.fail(
            Code::Rows,
            named.at,
            format!("{} is empty", named.path),
            "named here",
            "its first line names the columns",
        );
        return None;
    };
    let is_quoted = file.text.get(header.at.clone()).is_some_and(|written| written.starts_with('"'));
    if let [Some(Cow::Borrowed(only))] = header.fields.as_slice()
        && !is_quoted
        && let Some(separator) = only.chars().find(|c| matches!(c, ';' | '\t' | '|'))
    {
        let message = format!("the columns are separated by {separator:?}");
        cx.fail(Code::Rows, span(&header.at), message, "the header", "separate the fields by commas");
        return None;
    }
    let mut columns: Vec<String> = Vec::new();
    for field in header.fields {
        let name = field.unwrap_or_default().trim().to_owned();
        if name.is_empty() || columns.contains(&name) {
            let message = if name.is_empty() {
                "a column without a name".to_owned()
            } else {
                format!("two columns are named `{name}`")
            };
            cx.fail(Code::Rows, span(&header.at), message, "the header", "the first line names the columns");
            return None;
        }
        columns.push(name);
    }
    let lines = file.text.bytes().filter(|byte| *byte == b'\n').count();
    let mut table = Table {
        rows: Rows::with_capacity(columns.len(), lines, file.text.len()),
        columns,
        places: Vec::with_capacity(lines),
    };
    let mut is_valid = true;
    for record in records {
        let record = record.map_err(broken).ok()?;
        if record.fields.len() != table.columns.len() {
            let message = format!(
                "a row of {} fields, where the header names {} columns",
                record.fields.len(),
                table.columns.len()
            );
            cx.fail(
                Code::Rows,
                span(&record.at),
                message,
                "this row",
                "write an empty field for NULL; quote a field with a comma in it",
            );
            is_valid = false;
            continue;
        }
        table.push(record.fields.iter().map(Option::as_deref), span(&record.at));
    }
    table.rows.shrink();
    is_valid.then_some(table)
}

fn from_yaml(cx: &Context<'_>, named: FileRef<'_>) -> Option<Table> {
    let items = match yaml(cx, named)?.map(|root| (root.at, root.kind)) {
        Some((_, NodeKind::Seq(items))) => items,
        Some((at, NodeKind::Map(_) | NodeKind::Scalar { .. })) => {
            cx.fail(
                Code::Rows,
                at,
                "rows are a list of maps",
                "this is none",
                "write `- { column: value }` lines",
            );
            return None;
        }
        None => Vec::new(),
    };
    let columns: Vec<String> = match items.first().map(|first| &first.kind) {
        Some(NodeKind::Map(entries)) => entries.iter().map(|entry| entry.key.to_string()).collect(),
        _ => Vec::new(),
    };
    let known: HashSet<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(columns.clone());
    let mut is_valid = true;
    for item in &items {
        match yaml_row(cx, item, &columns, &known) {
            Some(row) => table.push(row.iter().map(Option::as_deref), item.at),
            None => is_valid = false,
        }
    }
    is_valid.then_some(table)
}

fn yaml_row(
    cx: &Context<'_>,
    item: &Node,
    columns: &[String],
    known: &HashSet<&str>,
) -> Option<Vec<Option<String>>> {
    let NodeKind::Map(entries) = &item.kind else {
        let message = format!("a row is a map, found {}", describe(item));
        cx.fail(Code::Rows, item.at, message, "this row", "write `{ column: value }`");
        return None;
    };
    if let Some(Entry { key, key_at, .. }) = entries.iter().find(|entry| !known.contains(&*entry.key)) {
        let message = format!("the first row has no column `{key}`");
        cx.fail(
            Code::Rows,
            *key_at,
            message,
            "not in the first row",
            declared(key, columns.iter().map(String::as_str)),
        );
        return None;
    }
    let by_name: HashMap<&str, &Node> = entries.iter().map(|entry| (&*entry.key, &entry.value)).collect();
    let mut cells = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(value) = by_name.get(column.as_str()) else {
            let message = format!("a row without the column `{column}`, which the first row has");
            cx.fail(Code::Rows, item.at, message, "this row", "write `null` where there is no value");
            return None;
        };
        cells.push(match &value.kind {
            _ if value.is_null() => None,
            NodeKind::Scalar { text, .. } => Some(cx.data(value.at, text)?),
            NodeKind::Seq(_) | NodeKind::Map(_) => Some(json(cx, value)?),
        });
    }
    Some(cells)
}
