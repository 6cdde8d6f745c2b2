//! The rows of a seed, from `.csv`, `.yaml` or `.json`: columns, cells, and a key that no two rows
//! share.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Named, csv};
use crate::spec::Cell;
use crate::spec::context::{Context, MAX_DATA_BYTES};
use crate::spec::error::{Code, SpecError};
use crate::spec::json::json;
use crate::spec::read::found;
use crate::spec::suggest::declared;
use crate::spec::tree::{Entry, Kind, Node, Span};

/// Rows with their places.
pub(in crate::spec) struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// One row.
pub(in crate::spec) struct Row {
    pub cells: Vec<Cell>,
    pub at: Span,
}

impl Row {
    /// The values of the key, by the places of its columns.
    pub(in crate::spec) fn key(&self, places: &[usize]) -> Vec<&Cell> {
        places.iter().filter_map(|place| self.cells.get(*place)).collect()
    }
}

/// Reads the rows of a seed whose key is `key`; mistakes are reported.
pub(in crate::spec) fn rows(cx: &Context<'_>, named: Named<'_>, key: &[(String, Span)]) -> Option<Rows> {
    let path = cx.path(named.at, named.path);
    let rows = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => from_csv(cx, named)?,
        Some("yaml" | "yml" | "json") => from_yaml(cx, named)?,
        _ => {
            let help = "accepted are `.csv`, `.yaml` and `.json`";
            cx.fail(Code::Rows, named.at, "rows in a file of an unknown kind", "named here", help);
            return None;
        }
    };
    if rows.columns.is_empty() {
        return Some(rows);
    }
    let mut places = Vec::with_capacity(key.len());
    for (name, at) in key {
        if let Some(place) = rows.columns.iter().position(|column| column == name) {
            places.push(place);
            continue;
        }
        let message = format!("the key column `{name}` is not in {}", named.path);
        let help = declared(name, rows.columns.iter().map(String::as_str));
        cx.fail(Code::Rows, *at, message, "not a column", help.replace("declared:", "its columns:"));
    }
    (places.len() == key.len() && keys_are_unique(cx, &rows, &places)).then_some(rows)
}

fn keys_are_unique(cx: &Context<'_>, rows: &Rows, places: &[usize]) -> bool {
    let mut seen: HashMap<Vec<&Cell>, Span> = HashMap::with_capacity(rows.rows.len());
    let mut unique = true;
    for row in &rows.rows {
        let key = row.key(places);
        if key.contains(&&Cell::Null) {
            cx.fail(Code::Rows, row.at, "the key of a row is empty", "this row", "every row needs its key");
            unique = false;
        } else if let Some(first) = seen.get(&key) {
            let error = SpecError::new(Code::Rows, "two rows have the same key");
            let error = error.at(cx.at(row.at), "again here").and(cx.at(*first), "first here");
            cx.report(error.help("remove one of them, or add a column to the seed's `key`"));
            unique = false;
        } else {
            seen.insert(key, row.at);
        }
    }
    unique
}

fn from_csv(cx: &Context<'_>, named: Named<'_>) -> Option<Rows> {
    let (index, file) = cx.read(&cx.path(named.at, named.path), Some(named.at), MAX_DATA_BYTES)?;
    cx.content(named.label.to_owned(), &file.text);
    let span = |at: &std::ops::Range<usize>| Span::new(index, at);
    let records = match csv::records(&file.text) {
        Ok(records) => records,
        Err(csv::Broken { at, message, help }) => {
            cx.fail(Code::Rows, span(&at), message, "here", help);
            return None;
        }
    };
    let mut records = records.into_iter();
    let Some(header) = records.next() else {
        cx.fail(
            Code::Rows,
            named.at,
            format!("{} is empty", named.path),
            "named here",
            "its first line names the columns",
        );
        return None;
    };
    if let [Some(Cow::Borrowed(only))] = header.fields.as_slice()
        && let Some(separator) = only.chars().find(|c| matches!(c, ';' | '\t'))
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
    let mut rows = Vec::with_capacity(records.len());
    let mut whole = true;
    for record in records {
        if record.fields.len() != columns.len() {
            let message = format!(
                "a row of {} fields, where the header names {} columns",
                record.fields.len(),
                columns.len()
            );
            cx.fail(
                Code::Rows,
                span(&record.at),
                message,
                "this row",
                "write an empty field for NULL; quote a field with a comma in it",
            );
            whole = false;
            continue;
        }
        let cell =
            |field: Option<Cow<'_, str>>| field.map_or(Cell::Null, |text| Cell::Text(text.into_owned()));
        rows.push(Row { cells: record.fields.into_iter().map(cell).collect(), at: span(&record.at) });
    }
    whole.then_some(Rows { columns, rows })
}

fn from_yaml(cx: &Context<'_>, named: Named<'_>) -> Option<Rows> {
    let (index, root) = cx.yaml(&cx.path(named.at, named.path), Some(named.at), MAX_DATA_BYTES)?;
    if let Some(file) = cx.file(Span::new(index, &(0..0))) {
        cx.content(named.label.to_owned(), &file.text);
    }
    let items = match root.map(|root| (root.at, root.kind)) {
        Some((_, Kind::Seq(items))) => items,
        Some((at, Kind::Map(_) | Kind::Scalar { .. })) => {
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
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.to_string()).collect(),
        _ => Vec::new(),
    };
    let known: HashSet<&str> = columns.iter().map(String::as_str).collect();
    let rows: Vec<Option<Row>> = items.iter().map(|item| yaml_row(cx, item, &columns, &known)).collect();
    let rows: Option<Vec<Row>> = rows.into_iter().collect();
    Some(Rows { rows: rows?, columns })
}

fn yaml_row(cx: &Context<'_>, item: &Node, columns: &[String], known: &HashSet<&str>) -> Option<Row> {
    let Kind::Map(entries) = &item.kind else {
        let message = format!("a row is a map, found {}", found(item));
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
            _ if value.is_null() => Cell::Null,
            // Data is data: a `${` in it is no placeholder.
            Kind::Scalar { text, .. } => Cell::Text(text.to_string()),
            Kind::Seq(_) | Kind::Map(_) => Cell::Json(json(cx, value)?),
        });
    }
    Some(Row { cells, at: item.at })
}
