//! Asks PostgreSQL how it stores declared values of types that only the server can read: `24:00:00` as an
//! interval, `[1,5]` as a range, any value of a domain. Declared and stored rows are then compared in the
//! spelling of the server, and a value that its type rejects is an error of the plan. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fits::no_value_message;
use super::statement::written;
use super::{BATCH, RowSet, Shape};
use crate::catalog::{Array, Column, ValueKind, canonical, parsed, without_arguments};
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::packed::Rows;
use crate::sql::{self, Database, Dialect, Value};

const MOVING: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// How declared values are stored, as fingerprints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spelling {
    /// The fingerprint of what is stored by that of what is declared, where they differ.
    #[serde(default, skip_serializing_if = "FingerprintMap::is_empty")]
    pub stored: FingerprintMap<Fingerprint>,
    /// For a column whose type rejects a value, the fingerprint of the first such value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, Fingerprint>,
    /// For a column that stores another value than a declared one, the fingerprint of the first such value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rounded: BTreeMap<String, Fingerprint>,
}

impl Spelling {
    pub(super) fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.rejected.is_empty() && self.rounded.is_empty()
    }

    /// The fingerprint of a declared key, row or value as it is stored.
    pub(super) fn stored(&self, declared: Fingerprint) -> Fingerprint {
        self.stored.get(&declared).copied().unwrap_or(declared)
    }

    pub(super) fn rejects(&self, column: &Column, text: &str) -> bool {
        self.rejected.get(&column.name) == Some(&Fingerprint::of_text(text))
    }

    pub(super) fn rounds(&self, column: &Column, text: &str) -> bool {
        self.rounded.get(&column.name) == Some(&Fingerprint::of_text(text))
    }

    /// Adds what the server answered about the values of a column.
    pub(super) fn add(&mut self, column: &str, rejected: Option<&str>, rounded: Option<&str>) {
        let first = |text: &str| (column.to_owned(), Fingerprint::of_text(text));
        self.rejected.extend(rejected.map(first));
        self.rounded.extend(rounded.map(first));
    }
}

/// The answer of the server about the values of one column.
#[derive(Debug, Default)]
pub(super) struct ServerTexts {
    /// The stored text by the declared one, where they differ.
    pub(super) stored: HashMap<String, String>,
    /// The first value that the type rejects.
    pub(super) rejected: Option<String>,
    /// The first value that is stored as another one: rounded or shortened.
    pub(super) rounded: Option<String>,
}

/// Asks for the values of one column, with one query for [`BATCH`] different values.
pub(super) async fn server_texts<'t>(
    column: &Column,
    texts: impl Iterator<Item = &'t str>,
    database: &Database,
) -> sql::Result<ServerTexts> {
    let mut answer = ServerTexts::default();
    if database.dialect() != Dialect::Postgres {
        return Ok(answer);
    }
    // Every plan would find another time for these; they fail when the row is read back.
    let is_moving = |text: &str| MOVING.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    let texts: BTreeSet<&str> =
        texts.filter(|text| !is_read_here(column, text) && !is_moving(text)).collect();
    for texts in texts.into_iter().collect::<Vec<_>>().chunks(BATCH) {
        let Some(stored) = stored_texts(column, texts, database).await? else {
            answer.rejected = first_rejected(column, texts, database).await?;
            break;
        };
        for (text, StoredText { stored, is_rounded }) in texts.iter().zip(stored) {
            if is_rounded && answer.rounded.is_none() {
                answer.rounded = Some((*text).to_owned());
            }
            if *text != stored {
                answer.stored.insert((*text).to_owned(), stored);
            }
        }
    }
    Ok(answer)
}

/// Whether this tool reads a value as the server does, so that the server need not be asked. That is true of the
/// usual spellings of usual types, whose columns may have millions of values.
fn is_read_here(column: &Column, text: &str) -> bool {
    if let Some(element) = column.element() {
        // Lists in lists must have equal lengths.
        let is_nested = text.matches(['[', '{']).count() > 1;
        return match Array::read(text, &element) {
            Some(array) => !is_nested && array.texts().into_iter().all(|text| is_read_here(&element, text)),
            None => !text.contains("]="),
        };
    }
    let name = without_arguments(&column.data_type);
    match column.kind {
        // A domain.
        kind if kind != ValueKind::of_postgres(&column.data_type) => false,
        ValueKind::Text => match name.as_str() {
            "name" => text.len() < 64,
            name => {
                ["text", "character varying", "character", "bpchar", "\"char\"", "citext"].contains(&name)
            }
        },
        ValueKind::Integer => name != "oid" && text.trim().parse::<i64>().is_ok(),
        ValueKind::Decimal => is_plain_number(text.trim()) && !column.data_type.contains(",-"),
        ValueKind::Float => {
            let limits = if name == "real" { 1e-30..1e30 } else { 1e-290..1e290 };
            let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            number.is_some_and(|number| {
                number == 0.0 && is_plain_number(text.trim()) || limits.contains(&number.abs())
            })
        }
        // Of JSON, the server refuses some characters and numbers.
        ValueKind::Json => !text.contains("\\u") && !has_exponent(text),
        // A precision rounds the fraction of a second.
        ValueKind::Timestamp | ValueKind::TimestampTz => {
            parsed(column.kind, text).is_some() && !(column.data_type.contains('(') && text.contains('.'))
        }
        ValueKind::Date | ValueKind::Uuid => parsed(column.kind, text).is_some(),
        // Bytes are declared in hexadecimal, whatever else the type reads.
        ValueKind::Bytes | ValueKind::Boolean => true,
    }
}

/// Whether a text is a number without an exponent, of a length that every numeric column can have.
fn is_plain_number(text: &str) -> bool {
    const MOST_DIGITS: usize = 1_000;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    text.len() < MOST_DIGITS
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// Whether a text may have a number with an exponent of three digits.
fn has_exponent(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(['e', 'E']) {
        rest = rest.get(at + 1..).unwrap_or_default();
        let digits = rest.trim_start_matches(['+', '-']);
        if digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len() > 2 {
            return true;
        }
    }
    false
}

/// A declared value as its column stores it.
struct StoredText {
    stored: String,
    /// Whether it is another value than the declared one, and no other spelling of it.
    is_rounded: bool,
}

/// The texts as the column stores them; `None` if its type rejects one of them. `json_to_recordset` reads values as
/// an assignment does, where a cast would shorten them to the length of the type.
async fn stored_texts(
    column: &Column,
    texts: &[&str],
    database: &Database,
) -> sql::Result<Option<Vec<StoredText>>> {
    let name = without_arguments(&column.data_type);
    // An assignment rounds the fraction of a second as a cast does.
    let has_fraction = ["time", "interval"].iter().any(|start| name.starts_with(start));
    let exact = &column.data_type;
    let data_type = match column.kind {
        // A text would become a text in JSON.
        ValueKind::Json => "text",
        _ if has_fraction => &name,
        _ => exact,
    };
    let sql = format!(
        "SELECT (r.c::{exact})::text, (r.c::{exact})::text IS DISTINCT FROM r.c::text \
         FROM json_to_recordset($1::json) AS r(c {data_type})"
    );
    let declared: Vec<_> =
        texts.iter().map(|text| json!({ "c": written(Dialect::Postgres, column, text) })).collect();
    let read = |(row, text): (&sql::Row, &&str)| {
        let stored = row.text(0)?.to_owned();
        let is_rounded = match column.kind {
            _ if has_fraction => row.bool(1)?,
            ValueKind::Decimal | ValueKind::Float => {
                canonical(column.kind, &stored) != canonical(column.kind, text)
            }
            _ => name == "name" && stored != **text,
        };
        Ok(StoredText { stored, is_rounded })
    };
    match database.query(&sql, &[Value::Text(serde_json::Value::from(declared).to_string())]).await {
        Ok(rows) => rows.iter().zip(texts).map(read).collect::<sql::Result<_>>().map(Some),
        Err(error) => match error.code() {
            // Data exceptions, constraints of domains, what their functions raise, and names that do not exist.
            Some(code) if ["22", "23", "P0", "42"].iter().any(|class| code.starts_with(class)) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Halves a list that the type rejects until one value is left; `None` if the query fails without a value.
async fn first_rejected(
    column: &Column,
    mut texts: &[&str],
    database: &Database,
) -> sql::Result<Option<String>> {
    if stored_texts(column, &[], database).await?.is_none() {
        return Ok(None);
    }
    while texts.len() > 1 {
        let (first, second) = texts.split_at(texts.len().div_ceil(2));
        texts = if stored_texts(column, first, database).await?.is_none() { first } else { second };
    }
    Ok(texts.first().map(|text| (*text).to_owned()))
}

impl Shape<'_> {
    /// The message about a value that its type rejects, with the place of its row.
    pub(super) fn rejection(&self, set: &RowSet, (name, text): (&String, &String)) -> Option<String> {
        let at = self.columns.iter().position(|(column, _)| column.name == *name)?;
        let (column, _) = self.columns.get(at)?;
        let row = self.rows_of(set).position(|row| row.get(at).copied().flatten() == Some(text))?;
        Some(set.placed(row, &no_value_message(column, text)))
    }

    /// The set with its values as the server stores them. What the server rejects or rounds is added to `spelling`; the
    /// first rejected value of each column is returned, too.
    pub(super) async fn as_stored(
        &self,
        set: &RowSet,
        spelling: &mut Spelling,
        database: &Database,
    ) -> sql::Result<(RowSet, BTreeMap<String, String>)> {
        let mut stored: Vec<HashMap<String, String>> = Vec::new();
        let mut rejected = BTreeMap::new();
        for (at, (column, _)) in self.columns.iter().enumerate() {
            let texts = self.rows_of(set).filter_map(|row| row.get(at).copied().flatten());
            let texts = texts.filter(|text| self.takes(column, text));
            let answer = server_texts(column, texts, database).await?;
            spelling.add(&column.name, answer.rejected.as_deref(), answer.rounded.as_deref());
            stored.push(answer.stored);
            rejected.extend(answer.rejected.map(|text| (column.name.clone(), text)));
        }
        let mut set = set.clone();
        if stored.iter().any(|stored| !stored.is_empty()) {
            let mut rows = Rows::new(self.columns.len());
            for row in self.rows_of(&set) {
                let values = row.iter().zip(&stored);
                rows.push(
                    values.map(|(value, stored)| {
                        value.map(|text| stored.get(text).map_or(text, String::as_str))
                    }),
                );
            }
            (set.rows, set.order) = (Arc::new(rows), (0..self.columns.len()).collect());
        }
        Ok((set, rejected))
    }
}
