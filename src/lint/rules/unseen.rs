//! What the text does not tell.

use super::Rule;
use super::loss::rules;
use crate::change::Risk::Unvalidated;

rules! {
    NOT_PARSED = "not-parsed", Unvalidated, "the statement could not be read";
    CODE_BLOCK = "code-block", Unvalidated, "code runs that is not looked into: DO, CALL, EXECUTE";
    TRANSACTION_CONTROL = "transaction-control", Unvalidated,
        "the statement ends or begins the transaction that the migration shares with its record";
    ADDING_REQUIRED_FIELD = "adding-required-field", Unvalidated,
        "a NOT NULL column without a default is added, which fails when the table has rows";
    CONCURRENTLY_IN_TRANSACTION = "ban-concurrent-index-creation-in-transaction", Unvalidated,
        "CONCURRENTLY fails in a transaction";
    UNKNOWN_ASSERTION = "unknown-assertion", Unvalidated,
        "a comment begins with `trueup:` and is no assertion";
}
