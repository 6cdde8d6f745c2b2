//! Several queries in one round trip. Without parameters and in one transaction of the server's,
//! so that they see one state and nothing is left open when one fails.

use futures_util::StreamExt as _;
use sqlx::{AssertSqlSafe, Either};

use super::{Database, Error, Result, Row, value};

impl Database {
    /// The rows of each query. What is no query, such as `SET`, gives none.
    pub async fn query_each(&self, queries: &[&str]) -> Result<Vec<Vec<Row>>> {
        match self {
            Self::Postgres(pool) => {
                let sql = queries.join(";\n");
                let mut results = Vec::with_capacity(queries.len());
                let mut rows = Vec::new();
                let mut answers = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_many(pool);
                while let Some(answer) = answers.next().await {
                    match answer.map_err(|error| Error::statement(&sql, error))? {
                        Either::Left(_) => results.push(std::mem::take(&mut rows)),
                        Either::Right(row) => rows.push(value::read_postgres(&row)?),
                    }
                }
                Ok(results)
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

#[cfg(test)]
mod tests {
    use crate::sql::{SqliteMode, open_sqlite};

    #[tokio::test]
    async fn each_query_has_its_own_rows() {
        let folder = tempfile::tempdir().unwrap();
        let database = open_sqlite(&folder.path().join("a.db"), SqliteMode::Create).await.unwrap();

        let rows = database.query_each(&["SELECT 1 UNION SELECT 2", "SELECT 3 WHERE 0"]).await.unwrap();

        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
    }
}
