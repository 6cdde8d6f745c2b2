//! Rules about effects that are not visible in the text, and about secrets in it.

use super::Rule;
use super::loss::rules;
use crate::change::Risk::{Safe, Unvalidated};

rules! {
    NOT_PARSED = "not-parsed", Unvalidated, "the statement could not be read";
    CODE_BLOCK = "code-block", Unvalidated, "code runs that is not looked into: DO, CALL, EXECUTE, functions";
    DISABLED_CHECKS = "disabled-checks", Unvalidated,
        "foreign keys, constraints or triggers are switched off for the statements that follow";
    TRANSACTION_CONTROL = "transaction-control", Unvalidated,
        "the statement ends or begins the transaction that the migration shares with its record";
    CLIENT_COMMAND = "client-command", Unvalidated,
        "no server can run it: a command of psql or of sqlite3, COPY from or to a terminal";
    ADDING_REQUIRED_FIELD = "adding-required-field", Unvalidated,
        "a NOT NULL column without a default is added, which fails when the table has rows";
    PARTITIONED_KEY = "partitioned-foreign-key", Unvalidated,
        "a foreign key of a partitioned table is added NOT VALID, which fails before PostgreSQL 18";
    TYPE_IN_USE = "type-in-use", Unvalidated,
        "a type is dropped without CASCADE that a column has, which fails";
    CONVERSION = "conversion-may-fail", Unvalidated,
        "a column gets a type that some of its values may not fit in, which fails";
    CONCURRENTLY_IN_TRANSACTION = "ban-concurrent-index-creation-in-transaction", Unvalidated,
        "CONCURRENTLY fails in a transaction";
    NOT_IN_TRANSACTION = "ban-in-transaction", Unvalidated,
        "the statement fails in a transaction, as VACUUM and CREATE DATABASE do";
    NEW_ENUM_VALUE = "ban-new-enum-value-in-transaction", Unvalidated,
        "a value is used in the transaction that adds it to its enum, which fails";
    REFUSED = "refused", Unvalidated, "the database refuses the statement, whatever its tables hold";
    OUTSIDE_DATABASE = "outside-database", Unvalidated,
        "the statement runs a program, or reads or writes what is not in the database";
    QUERY_RULE = "query-rule", Unvalidated, "a rule changes what other statements do from then on";
    UNKNOWN_ASSERTION = "unknown-assertion", Unvalidated,
        "a comment begins with `trueup:` and is no assertion";
    LITERAL_SECRET = "literal-secret", Safe,
        "a password, a token or a URL with a password stands in the statement as a literal";
}
