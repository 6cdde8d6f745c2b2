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
use crate::catalog::{Column, ValueKind, parsed, without_arguments};
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
}

impl Spelling {
    pub(super) fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.rejected.is_empty()
    }

    /// The fingerprint of a declared key, row or value as it is stored.
    pub(super) fn stored(&self, declared: Fingerprint) -> Fingerprint {
        self.stored.get(&declared).copied().unwrap_or(declared)
    }

    pub(super) fn rejects(&self, column: &Column, text: &str) -> bool {
        self.rejected.get(&column.name).is_some_and(|rejected| *rejected == Fingerprint::of_text(text))
    }
}

/// The answer of the server about the values of one column.
#[derive(Debug, Default)]
pub(super) struct ServerTexts {
    /// The stored text by the declared one, where they differ.
    pub(super) stored: HashMap<String, String>,
    /// The first value that the type rejects.
    pub(super) rejected: Option<String>,
}

/// Asks for the values of one column, with one query for [`BATCH`] different values.
pub(super) async fn server_texts<'t>(
    column: &Column,
    texts: impl Iterator<Item = &'t str>,
    database: &Database,
) -> sql::Result<ServerTexts> {
    let mut answer = ServerTexts::default();
    let Some(unread) = Unread::of(column).filter(|_| database.dialect() == Dialect::Postgres) else {
        return Ok(answer);
    };
    // Every plan would find another time for these; they fail when the row is read back.
    let is_moving = |text: &str| MOVING.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    let is_unread = |text: &str| unread == Unread::All || parsed(column.kind, text).is_none();
    let texts: BTreeSet<&str> = texts.filter(|text| is_unread(text) && !is_moving(text)).collect();
    for texts in texts.into_iter().collect::<Vec<_>>().chunks(BATCH) {
        let Some(stored) = stored_texts(column, texts, database).await? else {
            answer.rejected = first_rejected(column, texts, database).await?;
            break;
        };
        let both = texts.iter().zip(stored).filter(|(text, stored)| *text != stored);
        answer.stored.extend(both.map(|(text, stored)| ((*text).to_owned(), stored)));
    }
    Ok(answer)
}

/// The values of a column that only the server can read.
#[derive(PartialEq)]
enum Unread {
    All,
    /// Those that [`parsed`] does not read, such as dates that are not in ISO order.
    Unparsed,
}

impl Unread {
    fn of(column: &Column) -> Option<Self> {
        let element = column.element();
        let column = element.as_ref().unwrap_or(column);
        let name = without_arguments(&column.data_type);
        match column.kind {
            // They are written in hexadecimal, whatever the type reads.
            ValueKind::Bytes => None,
            kind if kind != ValueKind::of_postgres(&column.data_type) => Some(Self::All),
            ValueKind::Text => {
                let texts =
                    ["text", "character varying", "character", "bpchar", "name", "\"char\"", "citext"];
                (!texts.contains(&name.as_str())).then_some(Self::All)
            }
            ValueKind::Date | ValueKind::Timestamp | ValueKind::TimestampTz if element.is_none() => {
                Some(Self::Unparsed)
            }
            _ => None,
        }
    }
}

/// The texts as the column stores them; `None` if its type rejects one of them. `json_to_recordset` reads values as
/// an assignment does, where a cast would shorten them to the length of the type.
async fn stored_texts(
    column: &Column,
    texts: &[&str],
    database: &Database,
) -> sql::Result<Option<Vec<String>>> {
    // An assignment rounds times, too. Without the precision the row is read back with another value, which is an
    // error that shows both.
    let data_type = match without_arguments(&column.data_type) {
        name if ["time", "interval"].iter().any(|start| name.starts_with(start)) => name,
        _ => column.data_type.clone(),
    };
    let sql = format!("SELECT r.c::text FROM json_to_recordset($1::json) AS r(c {data_type})");
    let texts: Vec<_> =
        texts.iter().map(|text| json!({ "c": written(Dialect::Postgres, column, text) })).collect();
    match database.query(&sql, &[Value::Text(serde_json::Value::from(texts).to_string())]).await {
        Ok(rows) => rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, _>>().map(Some),
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

    /// The set with its values as the server stores them, and for each column the first value that its type
    /// rejects.
    pub(super) async fn as_stored(
        &self,
        set: &RowSet,
        database: &Database,
    ) -> sql::Result<(RowSet, BTreeMap<String, String>)> {
        let mut stored: Vec<HashMap<String, String>> = Vec::new();
        let mut rejected = BTreeMap::new();
        for (at, (column, _)) in self.columns.iter().enumerate() {
            let texts = self.rows_of(set).filter_map(|row| row.get(at).copied().flatten());
            let texts = texts.filter(|text| self.takes(column, text));
            let answer = server_texts(column, texts, database).await?;
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
