//! Several queries or statements in one round trip. Without parameters and in one
//! transaction, so that they see one state and nothing is left open when one fails.

use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either};

use super::{Database, Error, Guard, Result, Row, Transaction, value};

/// Before large queries of PostgreSQL's catalogs, for their transaction. Their joins are written in a
/// good order: looking for a better one takes longer than they do, and so does compiling them, which
/// the server begins at some hundred tables.
pub const OF_CATALOGS: &str = "SELECT set_config('join_collapse_limit', '1', true), \
                               set_config('from_collapse_limit', '1', true), \
                               set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)";

impl Database {
    /// The rows of each query. What is no query, such as `SET`, gives none.
    pub async fn query_each(&self, queries: &[&str]) -> Result<Vec<Vec<Row>>> {
        match self {
            Self::Postgres(pool) => {
                let sql = queries.join(";\n");
                let failed = |error| Error::statement(&sql, error);
                let mut held = pool.take().await.map_err(failed)?;
                let (guard, mut waited) = (Guard::of(&held), None);
                let answer = guard.during_with(answers(&mut held, &sql), &mut waited).await;
                let read = |rows: Vec<PgRow>| rows.iter().map(value::read_postgres).collect();
                let answer = held.give_back(answer).map_err(|error| failed(error).after_waiting(waited))?;
                answer.into_iter().map(read).collect()
            }
            // Nothing travels.
            Self::Sqlite(_) => {
                let mut results = Vec::with_capacity(queries.len());
                for query in queries {
                    results.push(self.query(query, &[]).await?);
                }
                Ok(results)
            }
        }
    }
}

/// A query of SQLite whose only row holds all rows of another one, with so many columns of texts and
/// numbers: the driver hands rows over one by one, from a thread of its own, and wakes who waits for
/// each. See [`unfolded`].
pub fn folded(query: &str, columns: usize) -> String {
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let names = names.join(", ");
    format!("WITH answer ({names}) AS ({query}) SELECT json_group_array(json_array({names})) FROM answer")
}

/// The rows of a [`folded`] query's answer.
pub fn unfolded(answer: &[Row]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for row in answer {
        let values: Vec<Vec<serde_json::Value>> = row.json(0)?;
        rows.extend(values.into_iter().map(Row::from_json));
    }
    Ok(rows)
}

impl Transaction {
    /// Executes statements without parameters, in one round trip.
    pub async fn execute_each(&mut self, statements: &[String]) -> Result<()> {
        let sql = statements.join(";\n");
        let all = sqlx::raw_sql(AssertSqlSafe(sql.clone()));
        let mut waited = None;
        let done = match self {
            Self::Postgres(held) => {
                let guard = Guard::of(held).sending(sql.len());
                guard.during_with(all.execute(&mut **held), &mut waited).await.map(|_| ())
            }
            Self::Sqlite(transaction) => all.execute(&mut **transaction).await.map(|_| ()),
        };
        done.map_err(|error| Error::statement(&sql, error).after_waiting(waited))
    }
}

async fn answers(connection: &mut PgConnection, sql: &str) -> sqlx::Result<Vec<Vec<PgRow>>> {
    let (mut results, mut rows) = (Vec::new(), Vec::new());
    let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(connection);
    while let Some(answer) = answers.next().await {
        match answer? {
            Either::Left(_) => results.push(std::mem::take(&mut rows)),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::{folded, unfolded};
    use crate::sql::{SqliteMode, open_sqlite};

    #[tokio::test]
    async fn each_query_has_its_own_rows() {
        let folder = tempfile::tempdir().unwrap();
        let database = open_sqlite(&folder.path().join("a.db"), SqliteMode::Create).await.unwrap();

        let rows = database.query_each(&["SELECT 1 UNION SELECT 2", "SELECT 3 WHERE 0"]).await.unwrap();

        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
    }

    #[tokio::test]
    async fn a_folded_answer_has_the_rows_of_the_query_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let database = open_sqlite(&folder.path().join("a.db"), SqliteMode::Create).await.unwrap();
        let query =
            "SELECT 2 AS a, 'x' UNION ALL SELECT NULL, 'é \"' UNION ALL SELECT 1.5, '' ORDER BY a DESC";

        let folded = database.query(&folded(query, 2), &[]).await.unwrap();

        assert_eq!(unfolded(&folded).unwrap(), database.query(query, &[]).await.unwrap());
        assert_eq!(unfolded(&folded).unwrap().len(), 3);
    }
}
