//! Rules about statements that delete or overwrite rows.

use super::Rule;
use super::loss::rules;
use crate::change::Risk::Destructive;

rules! {
    TRUNCATE = "truncate", Destructive,
        "all rows of a table are deleted; CASCADE empties tables that refer to it too";
    DELETE_ROWS = "delete-rows", Destructive, "rows are deleted, with a condition or without";
    UPDATE_ALL_ROWS = "update-all-rows", Destructive,
        "columns are overwritten in all rows, with no condition";
    REPLACE_ROWS = "replace-rows", Destructive,
        "REPLACE deletes the rows in its way, with the columns that it does not name";
}
