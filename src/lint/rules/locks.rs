//! Rules about statements that block readers or writers of a table. Those found by squawk have
//! squawk's names.

use super::Rule;
use super::loss::rules;
use crate::change::Risk::Locking;

rules! {
    INDEX_CREATION = "require-concurrent-index-creation", Locking, "an index is built while writers wait";
    INDEX_DELETION = "require-concurrent-index-deletion", Locking,
        "an index is dropped under a lock that everybody waits for";
    CONSTRAINT_NOT_VALID = "constraint-missing-not-valid", Locking,
        "a constraint is checked against all rows while writers wait";
    FOREIGN_KEY = "adding-foreign-key-constraint", Locking,
        "a foreign key is checked while writers of both tables wait";
    FIELD_WITH_DEFAULT = "adding-field-with-default", Locking,
        "a column with a volatile default is added, which writes the whole table anew";
    COLUMN_TYPE = "changing-column-type", Locking,
        "a column's type is changed, which may write the whole table anew";
    NOT_NULL = "adding-not-nullable-field", Locking, "all rows are looked at for NULL while everybody waits";
    PRIMARY_KEY = "adding-serial-primary-key-field", Locking, "a primary key is built while everybody waits";
    UNIQUE_CONSTRAINT = "disallowed-unique-constraint", Locking,
        "a unique index is built while everybody waits";
    REINDEX = "require-concurrent-reindex", Locking, "an index is built anew while writers wait";
    ATTACH_PARTITION = "attach-partition", Locking,
        "a table gets a partition, and rows are checked while everybody waits";
    DETACH = "require-concurrent-partition-detach", Locking, "a partition is detached while everybody waits";
    RENAME_TABLE = "renaming-table", Locking, "statements by a table's old name fail from then on";
    RENAME_COLUMN = "renaming-column", Locking, "statements by a column's old name fail from then on";
    DOMAIN_CONSTRAINT = "ban-alter-domain-with-add-constraint", Locking,
        "a constraint of a domain is checked against all tables that use it";
    LOCK_TABLE = "lock-table", Locking, "a table is locked until the migration ends";
    REWRITE_TABLE = "rewrite-table", Locking, "a table is written anew at another place or in another form";
    REFRESH_VIEW = "refresh-materialized-view", Locking,
        "a materialized view is computed anew while readers wait";
    WORK_UNDER_LOCK = "work-under-lock", Locking,
        "many rows are read or written while a lock is held that everybody waits for";
    BACKFILL = "backfill", Locking, "a new column is filled in all rows, and writers of them wait";
    ROW_LOCKS = "row-locks", Locking, "many rows are changed, deleted or locked, and their writers wait";
    LONG_WRITE = "long-write", Locking, "SQLite's only write lock is held while an index or table is written";
}
