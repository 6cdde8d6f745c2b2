//! Determines which statements of a script share a transaction. Pure.

use super::control::{Boundary, boundary};
use super::script::{Script, words};
use crate::sql::Dialect;

/// Returns the transaction number of each statement, counted from 0, or `None` for a statement that
/// runs outside of a transaction.
pub(super) fn numbers(
    sql: &str,
    script: &Script,
    dialect: Dialect,
    in_transaction: bool,
) -> Vec<Option<usize>> {
    if in_transaction {
        return vec![Some(0); script.statements.len()];
    }
    let (mut open, mut count) = (None, 0);
    let each = script.statements.iter().map(|at| {
        let text = sql.get(at.clone()).unwrap_or("");
        let Some(boundary) = boundary(text, dialect) else { return open };
        let words = words(text, dialect);
        let chains =
            words.windows(2).any(|pair| matches!(pair, [and, chain] if and == "and" && chain == "chain"));
        // PostgreSQL ignores a BEGIN inside a transaction, apart from a warning.
        open = match boundary {
            Boundary::Begins if open.is_some() => open,
            Boundary::Ends if !chains => None,
            Boundary::Begins | Boundary::Ends => {
                count += 1;
                Some(count - 1)
            }
        };
        None
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_between_begin_and_commit_share_a_transaction() {
        let transactions = |sql: &str, in_transaction| {
            numbers(sql, &Script::read(sql, Dialect::Postgres), Dialect::Postgres, in_transaction)
        };

        assert_eq!(transactions("SELECT 1; SELECT 2", true), [Some(0), Some(0)]);
        assert_eq!(
            transactions("SELECT 1; BEGIN; SELECT 2; COMMIT; SELECT 3; START TRANSACTION; SELECT 4", false),
            [None, None, Some(0), None, None, None, Some(1)]
        );
        assert_eq!(
            transactions("BEGIN; SELECT 1; COMMIT AND CHAIN; SELECT 2; SAVEPOINT s; END; SELECT 3", false),
            [None, Some(0), None, Some(1), Some(1), None, None]
        );
    }
}
