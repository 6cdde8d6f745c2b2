//! Several queries or statements in one round trip. Without parameters and in one
//! transaction, so that they see one state and nothing is left open when one fails.

use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either};

use super::{Database, Error, Guard, Result, Row, Transaction, Value, value};

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
            // There is no round trip to save.
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

/// As [`folded`], for columns of any values. Each value is a text that begins with its kind: `r` for a floating-point
/// number that 15 digits write exactly, `x` for one that needs more digits, and `t` for everything else. SQLite does
/// not write more than 15 digits exactly.
fn folded_values(query: &str, columns: usize) -> String {
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let values = names.iter().map(|name| {
        format!(
            "CASE typeof({name}) WHEN 'blob' THEN 't' || lower(hex({name})) \
             WHEN 'real' THEN CASE \
               WHEN {name} = 0 THEN 'r0' \
               WHEN abs({name}) BETWEEN 1e-5 AND 1e15 AND CAST(printf('%.15g', {name}) AS REAL) = {name} \
               THEN 'r' || printf('%.15g', {name}) ELSE 'x' END \
             ELSE 't' || {name} END"
        )
    });
    format!(
        "WITH answer ({}) AS ({query}) SELECT json_group_array(json_array({})) FROM answer",
        names.join(", "),
        values.collect::<Vec<_>>().join(", ")
    )
}

/// The rows of a [`folded_values`] query's answer; `None` where a number in it needs more than 15 digits.
fn unfolded_values(answer: &[Row]) -> Result<Option<Vec<Row>>> {
    let mut rows = Vec::new();
    for row in answer {
        for values in row.json::<Vec<Vec<Option<String>>>>(0)? {
            let mut read = Vec::with_capacity(values.len());
            for (column, value) in values.into_iter().enumerate() {
                let Some(mut text) = value else {
                    read.push(None);
                    continue;
                };
                if text.starts_with('x') {
                    return Ok(None);
                }
                let kind = text.remove(0);
                if kind == 'r' {
                    let unreadable = |_| Error::Decode { column, kind: format!("text {text:?}") };
                    text = text.parse::<f64>().map_err(unreadable)?.to_string();
                }
                read.push(Some(text));
            }
            rows.push(Row::new(read));
        }
    }
    Ok(Some(rows))
}

/// Whether an answer is larger than a value of SQLite may be.
fn is_too_big(error: &Error) -> bool {
    const TOO_BIG: &str = "18";
    error.code().is_some_and(|code| code == TOO_BIG)
}

/// The rows of the answer to a [`folded_values`] query; `None` where the query must be asked as it is.
fn rows_of(answer: Result<Vec<Row>>) -> Result<Option<Vec<Row>>> {
    match answer {
        Err(error) if is_too_big(&error) => Ok(None),
        answer => unfolded_values(&answer?),
    }
}

impl Database {
    /// As [`Self::query`], for a query with so many columns that gives very many rows.
    pub async fn query_many(&self, sql: &str, columns: usize, values: &[Value]) -> Result<Vec<Row>> {
        match self {
            Self::Postgres(_) => self.query(sql, values).await,
            Self::Sqlite(_) => match rows_of(self.query(&folded_values(sql, columns), values).await)? {
                Some(rows) => Ok(rows),
                None => self.query(sql, values).await,
            },
        }
    }
}

impl Transaction {
    /// As [`Database::query_many`].
    pub async fn query_many(&mut self, sql: &str, columns: usize, values: &[Value]) -> Result<Vec<Row>> {
        match self {
            Self::Postgres(_) => self.query(sql, values).await,
            Self::Sqlite(_) => match rows_of(self.query(&folded_values(sql, columns), values).await)? {
                Some(rows) => Ok(rows),
                None => self.query(sql, values).await,
            },
        }
    }
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
    use super::{folded, folded_values, unfolded, unfolded_values};
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

    #[tokio::test]
    async fn many_rows_have_the_values_that_they_have_one_by_one() {
        /// Numbers of any magnitude, by a generator of Marsaglia's.
        const NUMBERS: usize = 20_000;
        const NUMBERS_OF_DIGITS: i32 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let database = open_sqlite(&folder.path().join("a.db"), SqliteMode::Create).await.unwrap();
        database.execute("CREATE TABLE t (x)", &[]).await.unwrap();
        database.execute("CREATE TABLE d (x)", &[]).await.unwrap();
        let sql = "INSERT INTO t VALUES (NULL), (''), ('é \" \\'), ('r1.5'), ('0.10'), (-9223372036854775808), (0.1), \
                   (-0.0), (1e300), (5e-324), (1.7976931348623157e308), (9e999), (-9e999), (x''), (x'00ff'), \
                   (CAST(x'610062' AS TEXT)), (1.0), (123456789012345680.0)";
        database.execute(sql, &[]).await.unwrap();
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f64::from_bits(state)
        };
        let numbers: Vec<f64> =
            std::iter::from_fn(|| Some(next())).filter(|number| number.is_finite()).take(NUMBERS).collect();
        let crate::sql::Database::Sqlite(pool) = &database else { panic!("it is one of SQLite") };
        let mut transaction = pool.begin().await.unwrap();
        for number in &numbers {
            sqlx::query("INSERT INTO t VALUES ($1)").bind(number).execute(&mut *transaction).await.unwrap();
        }
        let decimals: Vec<f64> =
            (0..NUMBERS_OF_DIGITS).map(|n| f64::from(n * 7919) / 10_f64.powi(n % 8)).collect();
        for number in &decimals {
            sqlx::query("INSERT INTO d VALUES (-$1)").bind(number).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let told = database.query(&folded_values("SELECT x, rowid FROM d", 2), &[]).await.unwrap();
        assert!(unfolded_values(&told).unwrap().is_some(), "numbers of few digits are told");
        for query in ["SELECT x, rowid FROM t ORDER BY rowid", "SELECT x, rowid FROM d ORDER BY rowid"] {
            let many = database.query_many(query, 2, &[]).await.unwrap();

            let one_by_one = database.query(query, &[]).await.unwrap();
            assert!(many.len() >= 10_000);
            assert_eq!(many.len(), one_by_one.len());
            for (many, one) in many.iter().zip(&one_by_one) {
                assert_eq!(many, one);
            }
            let mut transaction = database.begin().await.unwrap();
            assert_eq!(transaction.query_many(query, 2, &[]).await.unwrap(), many);
            transaction.commit().await.unwrap();
        }
    }
}
