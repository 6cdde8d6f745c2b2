//! Building blocks of SQL for many rows: one parameter carries all rows, in both dialects. Does no
//! I/O.

use crate::catalog::{Array, Column, Table, ValueKind, canonical};
use crate::sql::{Dialect, Value, identifier};

/// The maximum number of keys or rows per statement.
pub(super) const BATCH: usize = 5_000;

/// Splits items into lists of at most [`BATCH`].
pub(super) fn in_batches<T>(mut items: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        Some(items.by_ref().take(BATCH).collect()).filter(|batch: &Vec<T>| !batch.is_empty())
    })
}

/// Rows as a relation `q` with the text columns `c0`, `c1`, ….
#[derive(Debug)]
pub(super) struct Source {
    /// An item for a FROM clause.
    pub(super) sql: String,
    /// The parameters from `$1` on.
    pub(super) values: Vec<Value>,
}

impl Source {
    /// Every row must have `width` values.
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
            // A single JSON document: one json_each per column would scan all of them for each row.
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

/// Selects a column of table `t` as text, independent of session settings.
pub(super) fn read_text(dialect: Dialect, column: &Column) -> String {
    let name = identifier(&column.name);
    match dialect {
        Dialect::Postgres => format!("t.{name}::text"),
        Dialect::Sqlite => format!("t.{name}"),
    }
}

pub(super) fn read_texts<'c>(dialect: Dialect, columns: impl IntoIterator<Item = &'c Column>) -> String {
    columns.into_iter().map(|column| read_text(dialect, column)).collect::<Vec<_>>().join(", ")
}

/// The clause that locks the selected rows of `t` until the end of the transaction.
pub(super) fn locking(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => " FOR UPDATE OF t",
        // SQLite has a single writer, so no clause is needed.
        Dialect::Sqlite => "",
    }
}

/// Column `at` of relation `q`, cast to a column's type.
pub(super) fn write_expression(dialect: Dialect, column: &Column, at: usize) -> String {
    match (dialect, column.kind) {
        (Dialect::Postgres, ValueKind::Bytes) => format!("decode(q.c{at}, 'hex')"),
        (Dialect::Postgres, _) => format!("q.c{at}::{}", cast_type(&column.data_type)),
        (Dialect::Sqlite, ValueKind::Bytes) => format!("unhex(q.c{at})"),
        (Dialect::Sqlite, _) => format!("q.c{at}"),
    }
}

/// The columns of `q`, cast to the types of the given columns.
pub(super) fn write_expressions<'c>(
    dialect: Dialect,
    columns: impl IntoIterator<Item = &'c Column>,
) -> String {
    let values = columns.into_iter().enumerate().map(|(at, column)| write_expression(dialect, column, at));
    values.collect::<Vec<_>>().join(", ")
}

/// A condition that compares a column of `t` with column `at` of `q`.
pub(super) fn equals(dialect: Dialect, column: &Column, at: usize) -> String {
    format!("t.{} = {}", identifier(&column.name), write_expression(dialect, column, at))
}

/// Converts texts of the spec to statement parameters.
pub(super) fn parameters<'v>(
    dialect: Dialect,
    columns: &[&Column],
    values: impl IntoIterator<Item = Option<&'v str>>,
) -> Vec<Option<String>> {
    let both = columns.iter().zip(values);
    both.map(|(column, value)| value.map(|text| written(dialect, column, text))).collect()
}

pub(super) fn written(dialect: Dialect, column: &Column, text: &str) -> String {
    match (dialect, column.kind) {
        (_, ValueKind::Bytes) => canonical(column.kind, text),
        // SQLite has no boolean type and would store the text.
        (Dialect::Sqlite, ValueKind::Boolean) => match canonical(column.kind, text).as_str() {
            "true" => "1".to_owned(),
            "false" => "0".to_owned(),
            other => other.to_owned(),
        },
        // A JSON list is converted to an array literal.
        (Dialect::Postgres, _) if text.trim_start().starts_with('[') => {
            let array = column.element().and_then(|element| Array::read(text, &element));
            array.map_or_else(|| text.to_owned(), |array| array.literal(&str::to_owned))
        }
        _ => text.to_owned(),
    }
}

/// The type for a cast, without its length: a cast to `varchar(3)` truncates silently, while the assignment
/// to the column is an error.
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

/// The NOT NULL columns that neither the database, the spec nor this tool fills.
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

/// The id column that needs a generated UUID at insert: of type text or uuid, without a default, and not in
/// the spec.
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
