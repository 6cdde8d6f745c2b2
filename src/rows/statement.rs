//! The pieces of set-based statements: one parameter carries any number of rows in both dialects.
//! Builds text; executes nothing.

use crate::catalog::{Array, Column, Table, ValueKind, canonical};
use crate::sql::{Dialect, Value, identifier};

/// Keys or rows of one statement at most.
pub(super) const BATCH: usize = 5_000;

/// Items in lists that one statement takes.
pub(super) fn in_batches<T>(mut items: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        Some(items.by_ref().take(BATCH).collect()).filter(|batch: &Vec<T>| !batch.is_empty())
    })
}

/// A list of rows as a relation `q` with the columns `c0`, `c1`, …, all text.
#[derive(Debug)]
pub(super) struct Source {
    /// For `FROM`.
    pub(super) sql: String,
    /// Its parameters, from `$1` on.
    pub(super) values: Vec<Value>,
}

impl Source {
    /// Rows of `width` columns each.
    pub(super) fn new(dialect: Dialect, width: usize, rows: &[Vec<Option<String>>]) -> Self {
        let list = |part: fn(usize) -> String| (0..width).map(part).collect::<Vec<_>>().join(", ");
        match dialect {
            Dialect::Postgres => {
                let column = |at: usize| rows.iter().map(|row| row.get(at).cloned().flatten()).collect();
                Self {
                    sql: format!(
                        "unnest({}) AS q({})",
                        list(|at| format!("${}::text[]", at + 1)),
                        list(|at| format!("c{at}"))
                    ),
                    values: (0..width).map(|at| Value::Texts(column(at))).collect(),
                }
            }
            // One document: joining a json_each a column would rescan each of them for every row.
            Dialect::Sqlite => Self {
                sql: format!(
                    "(SELECT {} FROM json_each($1)) AS q",
                    list(|at| format!("value ->> {at} AS c{at}"))
                ),
                values: vec![Value::Text(serde_json::Value::from(rows.to_vec()).to_string())],
            },
        }
    }
}

/// A column of table `t` as a text that is spelled the same whatever the session's settings.
pub(super) fn read_text(dialect: Dialect, column: &Column) -> String {
    let name = identifier(&column.name);
    match dialect {
        Dialect::Postgres => format!("t.{name}::text"),
        Dialect::Sqlite => format!("t.{name}"),
    }
}

/// Columns of table `t` as such texts.
pub(super) fn read_texts<'c>(dialect: Dialect, columns: impl IntoIterator<Item = &'c Column>) -> String {
    columns.into_iter().map(|column| read_text(dialect, column)).collect::<Vec<_>>().join(", ")
}

/// What holds the rows of `t` that a transaction reads until its end.
pub(super) fn locking(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => " FOR UPDATE OF t",
        // It has one writer.
        Dialect::Sqlite => "",
    }
}

/// Column `at` of relation `q` as a value of a column's type.
pub(super) fn write_expression(dialect: Dialect, column: &Column, at: usize) -> String {
    match (dialect, column.kind) {
        (Dialect::Postgres, ValueKind::Bytes) => format!("decode(q.c{at}, 'hex')"),
        (Dialect::Postgres, _) => format!("q.c{at}::{}", cast_type(&column.data_type)),
        (Dialect::Sqlite, ValueKind::Bytes) => format!("unhex(q.c{at})"),
        (Dialect::Sqlite, _) => format!("q.c{at}"),
    }
}

/// The columns of `q`, from the first on, as values of columns' types.
pub(super) fn write_expressions<'c>(
    dialect: Dialect,
    columns: impl IntoIterator<Item = &'c Column>,
) -> String {
    let values = columns.into_iter().enumerate().map(|(at, column)| write_expression(dialect, column, at));
    values.collect::<Vec<_>>().join(", ")
}

/// Whether a column of table `t` has the value in column `at` of `q`.
pub(super) fn equals(dialect: Dialect, column: &Column, at: usize) -> String {
    format!("t.{} = {}", identifier(&column.name), write_expression(dialect, column, at))
}

/// Texts of the spec as a statement takes them.
pub(super) fn parameters<'v>(
    dialect: Dialect,
    columns: &[&Column],
    values: impl IntoIterator<Item = Option<&'v str>>,
) -> Vec<Option<String>> {
    let both = columns.iter().zip(values);
    both.map(|(column, value)| value.map(|text| written(dialect, column, text))).collect()
}

fn written(dialect: Dialect, column: &Column, text: &str) -> String {
    match (dialect, column.kind) {
        (_, ValueKind::Bytes) => canonical(column.kind, text),
        // SQLite has no truth values: it would keep the word.
        (Dialect::Sqlite, ValueKind::Boolean) => match canonical(column.kind, text).as_str() {
            "true" => "1".to_owned(),
            "false" => "0".to_owned(),
            other => other.to_owned(),
        },
        // A list that stands for an array.
        (Dialect::Postgres, _) if text.trim_start().starts_with('[') => {
            let array = column.element().and_then(|element| Array::read(text, &element));
            array.map_or_else(|| text.to_owned(), |array| array.literal(&str::to_owned))
        }
        _ => text.to_owned(),
    }
}

/// The type to cast to. A cast to `varchar(3)` would cut a longer text without a word, where
/// assigning it to the column is an error; so lengths are left out.
fn cast_type(data_type: &str) -> &str {
    let array = data_type.ends_with("[]");
    if data_type.starts_with("character varying") {
        if array { "character varying[]" } else { "character varying" }
    } else if data_type.starts_with("character") {
        if array { "bpchar[]" } else { "bpchar" }
    } else {
        data_type
    }
}

/// Columns that must have a value and get none from the database, the spec or this tool.
pub(super) fn not_given(table: &Table, given: &[&str]) -> Vec<String> {
    let id = fill_id(table, given).map(|column| column.name.as_str());
    let needed = table.columns.iter().filter(|column| {
        let filled = column.default.is_some() || column.generated.is_some() || column.identity;
        !column.nullable
            && !filled
            && !given.contains(&column.name.as_str())
            && id != Some(column.name.as_str())
    });
    needed.map(|column| column.name.clone()).collect()
}

/// A column that must be given a UUID when a row is inserted: an id, of type text or uuid, that
/// the database does not fill and the spec does not give.
pub(super) fn fill_id<'t>(table: &'t Table, given: &[&str]) -> Option<&'t Column> {
    let name = match table.primary_key.as_slice() {
        [only] => only.as_str(),
        _ => "id",
    };
    table.column(name).filter(|column| {
        !given.contains(&name)
            && column.default.is_none()
            && column.generated.is_none()
            && !column.identity
            && matches!(column.kind, ValueKind::Text | ValueKind::Uuid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_never_cuts_a_text() {
        assert_eq!(cast_type("character varying(3)"), "character varying");
        assert_eq!(cast_type("character(3)"), "bpchar");
        assert_eq!(cast_type("numeric(12,2)"), "numeric(12,2)");
    }
}
