//! Rows that a spec wants in the system database: `ontologies:` with where their `terms:` go, and `seeds:`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::When;
use crate::location::Location;
use crate::packed::Rows;

/// One value of a row, as written; what it means depends on the column's type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// `null`, or an empty field of a CSV file.
    Null,
    /// The text as it stands in the file: `0123` stays `0123`.
    Text(String),
    /// A list or map, as compact JSON with sorted keys.
    Json(String),
}

impl Cell {
    /// The text; `None` for NULL.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Text(text) | Self::Json(text) => Some(text),
        }
    }
}

/// `terms:` where the terms of ontologies are rows.
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
    /// Column of the tables and columns that the term speaks of, a JSON list.
    pub tables: Option<String>,
}

/// One ontology file, read. Terms keep the order of the file.
#[derive(Debug, Clone)]
pub struct Ontology {
    /// Its terms; no two have one name.
    pub terms: Vec<Term>,
    /// Where the spec names the file.
    pub at: Location,
}

/// One term of a business vocabulary.
#[derive(Debug, Clone)]
pub struct Term {
    pub term: String,
    /// What it means.
    pub definition: String,
    /// Other names; their order means nothing.
    pub synonyms: Vec<String>,
    /// How it is computed, in SQL.
    pub expression: Option<String>,
    /// `table` or `table.column` that it speaks of; their order means nothing.
    pub tables: Vec<String>,
}

/// One of `seeds:`, with its rows read.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Whether its `when` holds.
    pub on: bool,
    pub when: Option<When>,
    /// The table, optionally `schema.table`.
    pub table: String,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// The columns that the rows have, the key's among them.
    pub columns: Vec<String>,
    /// The rows, a value for each of `columns`, as written; a list or map is compact JSON with sorted
    /// keys. No two have one key.
    pub rows: Arc<Rows>,
    pub mode: SeedMode,
    /// Where the rows stand in their file.
    pub lines: RowLines,
    pub at: Location,
}

/// Where the rows of a seed stand, at four bytes a row.
#[derive(Debug, Clone, Default)]
pub struct RowLines {
    pub file: Arc<str>,
    /// The line of each row, from 1.
    pub lines: Arc<[u32]>,
}

impl RowLines {
    /// `file:line` of a row, where that is known.
    pub fn place(&self, row: usize) -> Option<String> {
        self.lines.get(row).map(|line| format!("{}:{line}", self.file))
    }
}

/// `mode:` of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeedMode {
    /// Adds what is missing.
    Insert,
    /// Also changes what differs.
    Upsert,
    /// Also deletes what this tool inserted and the spec no longer has.
    Mirror,
}
