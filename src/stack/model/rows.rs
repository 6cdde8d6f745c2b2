//! Rows that a spec declares in the system database: `ontologies:` with the table of `terms:`, and
//! `seeds:`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::When;
use crate::location::Location;
use crate::packed::Rows;

/// One value of a row, as written. The type of the column determines its meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// `null`, or an empty field of a CSV file.
    Null,
    /// The text exactly as in the file: `0123` stays `0123`.
    Text(String),
    /// A list or map, as compact JSON with sorted keys.
    Json(String),
}

impl Cell {
    /// Returns the text; `None` for NULL.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Text(text) | Self::Json(text) => Some(text),
        }
    }
}

/// `terms:`: the table for the terms of ontologies.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The table, optionally `schema.table`.
    pub table: String,
    /// Column of the ontology's name, part of the key.
    pub ontology: String,
    /// Column of the term, part of the key.
    pub term: String,
    /// Column of the definition.
    pub definition: Option<String>,
    /// Column of the synonyms, a JSON list.
    pub synonyms: Option<String>,
    /// Column of the metric's expression.
    pub expression: Option<String>,
    /// Column of the tables and columns that the term refers to, a JSON list.
    pub tables: Option<String>,
}

/// The content of one ontology file. Terms keep the order of the file.
#[derive(Debug, Clone)]
pub struct Ontology {
    /// The terms, with distinct names.
    pub terms: Vec<Term>,
    /// Location of the file's name in the spec.
    pub at: Location,
}

/// One term of a business vocabulary.
#[derive(Debug, Clone)]
pub struct Term {
    pub term: String,
    pub definition: String,
    /// Other names, in no particular order.
    pub synonyms: Vec<String>,
    /// The SQL expression that computes it.
    pub expression: Option<String>,
    /// `table` or `table.column` that it refers to, in no particular order.
    pub tables: Vec<String>,
}

/// One of `seeds:`, with the rows of its file.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Whether its `when` holds.
    pub on: bool,
    pub when: Option<When>,
    /// The table, optionally `schema.table`.
    pub table: String,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// The columns of the rows, including the key.
    pub columns: Vec<String>,
    /// The rows with a value for each of `columns`, as written; a list or map is compact JSON with
    /// sorted keys. Keys are distinct.
    pub rows: Arc<Rows>,
    pub mode: SeedMode,
    /// The line numbers of the rows.
    pub lines: RowLines,
    pub at: Location,
}

/// The line numbers of a seed's rows, in four bytes per row.
#[derive(Debug, Clone, Default)]
pub struct RowLines {
    pub file: Arc<str>,
    /// The line of each row, counted from 1.
    pub lines: Arc<[u32]>,
}

impl RowLines {
    /// Returns `file:line` of a row, if it is known.
    pub fn location_text(&self, row: usize) -> Option<String> {
        self.lines.get(row).map(|line| format!("{}:{line}", self.file))
    }
}

/// `mode:` of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeedMode {
    /// Inserts missing rows.
    Insert,
    /// Inserts missing rows and updates different ones.
    Upsert,
    /// Like upsert, and also deletes rows that this tool inserted and the spec no longer has.
    Mirror,
}
