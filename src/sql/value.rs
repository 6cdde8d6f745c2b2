//! Parameters and result rows of statements.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Column as _, Postgres, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use super::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL of type text: needs a cast in the statement where the type matters.
    Null,
    Text(String),
    Integer(i64),
    /// Stored as 0 or 1 in SQLite.
    Bool(bool),
    Bytes(Vec<u8>),
    /// A list of texts: `text[]` in PostgreSQL, a JSON array for `json_each` in SQLite. It is one parameter
    /// for any number of values, while `IN ($1, $2, …)` is limited.
    Texts(Vec<Option<String>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// One row of a result, with every value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

impl Row {
    pub(super) fn new(values: Vec<Option<String>>) -> Self {
        Self(values)
    }

    /// The value of a column, counted from 0; `None` for NULL and for a column that does not exist.
    pub fn get(&self, column: usize) -> Option<&str> {
        self.0.get(column).and_then(Option::as_deref)
    }

    /// The value of a column that is never NULL.
    pub fn text(&self, column: usize) -> Result<&str> {
        self.get(column).ok_or(Error::Empty(column))
    }

    pub fn integer(&self, column: usize) -> Result<i64> {
        let text = self.text(column)?;
        text.parse().map_err(|_| Error::Decode { column, kind: format!("text {text:?}") })
    }

    /// Parses `true`, `t` or `1` as true.
    pub fn bool(&self, column: usize) -> Result<bool> {
        Ok(matches!(self.text(column)?, "true" | "t" | "1"))
    }

    /// Parses a column with JSON; returns the default for NULL.
    pub fn json<T: serde::de::DeserializeOwned + Default>(&self, column: usize) -> Result<T> {
        let Some(text) = self.get(column) else { return Ok(T::default()) };
        serde_json::from_str(text).map_err(|error| Error::Decode { column, kind: format!("JSON: {error}") })
    }

    /// Builds a row from the JSON array of its values.
    pub(super) fn from_json(values: Vec<serde_json::Value>) -> Self {
        let text = |value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        Self(values.into_iter().map(text).collect())
    }

    pub fn values(&self) -> &[Option<String>] {
        &self.0
    }

    pub fn into_values(self) -> Vec<Option<String>> {
        self.0
    }
}

type PostgresQuery<'q> = Query<'q, Postgres, PgArguments>;
type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(super) fn bind_postgres<'q>(query: PostgresQuery<'q>, value: &Value) -> PostgresQuery<'q> {
    match value {
        Value::Null => query.bind(None::<String>),
        Value::Text(text) => query.bind(text.clone()),
        Value::Integer(number) => query.bind(*number),
        Value::Bool(truth) => query.bind(*truth),
        Value::Bytes(bytes) => query.bind(bytes.clone()),
        Value::Texts(texts) => query.bind(texts.clone()),
    }
}

pub(super) fn bind_sqlite<'q>(query: SqliteQuery<'q>, value: &Value) -> SqliteQuery<'q> {
    match value {
        Value::Null => query.bind(None::<String>),
        Value::Text(text) => query.bind(text.clone()),
        Value::Integer(number) => query.bind(*number),
        Value::Bool(truth) => query.bind(i64::from(*truth)),
        Value::Bytes(bytes) => query.bind(bytes.clone()),
        Value::Texts(texts) => query.bind(serde_json::Value::from(texts.clone()).to_string()),
    }
}

pub(super) fn read_postgres(row: &PgRow) -> Result<Row> {
    let read = |(column, info): (usize, &sqlx::postgres::PgColumn)| {
        let kind = info.type_info().name();
        let value = match kind {
            "BOOL" => row.try_get::<Option<bool>, _>(column).map(|v| v.map(|v| v.to_string())),
            "INT2" => row.try_get::<Option<i16>, _>(column).map(|v| v.map(|v| v.to_string())),
            "INT4" => row.try_get::<Option<i32>, _>(column).map(|v| v.map(|v| v.to_string())),
            "INT8" => row.try_get::<Option<i64>, _>(column).map(|v| v.map(|v| v.to_string())),
            _ => row.try_get::<Option<String>, _>(column),
        };
        value.map_err(|_| Error::Decode { column, kind: kind.to_owned() })
    };
    row.columns().iter().enumerate().map(read).collect::<Result<_>>().map(Row)
}

pub(super) fn read_sqlite(row: &SqliteRow) -> Result<Row> {
    let read = |column: usize| {
        let kind = match row.try_get_raw(column) {
            // For NULL, the type is that of the column declaration, such as `INTEGER`.
            Ok(raw) if raw.is_null() => return Ok(None),
            Ok(raw) => raw.type_info().name().to_owned(),
            Err(_) => String::new(),
        };
        let value = match kind.as_str() {
            "INTEGER" | "BOOLEAN" => row.try_get_unchecked::<i64, _>(column).map(|v| Some(v.to_string())),
            // Adding 0.0 removes the sign of a negative zero, as SQLite's own formatting does.
            "REAL" => row.try_get_unchecked::<f64, _>(column).map(|v| Some((v + 0.0).to_string())),
            "BLOB" => row.try_get_unchecked::<Vec<u8>, _>(column).map(|v| Some(crate::digest::hex(&v))),
            _ => row.try_get_unchecked::<String, _>(column).map(Some),
        };
        value.map_err(|_| Error::Decode { column, kind })
    };
    (0..row.columns().len()).map(read).collect::<Result<_>>().map(Row)
}

#[cfg(test)]
mod tests {
    use crate::sql::{SqliteMode, open_sqlite};

    #[tokio::test]
    async fn a_null_of_a_typed_column_is_null() {
        let folder = tempfile::tempdir().unwrap();
        let database = open_sqlite(&folder.path().join("a.db"), SqliteMode::Create).await.unwrap();
        database.execute("CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB)", &[]).await.unwrap();
        database.execute("INSERT INTO t VALUES (NULL, NULL, NULL, NULL)", &[]).await.unwrap();

        let rows = database.query("SELECT * FROM t", &[]).await.unwrap();

        assert_eq!(rows[0].values(), [None, None, None, None]);
    }
}
