//! One body of tests for every kind of store: embedded always, Chroma where the environment
//! variable `TRUEUP_TEST_CHROMA` has the URL of a server.

use std::collections::BTreeMap;

use super::worlds::{
    chroma_vector, desired, diff, nothing, of_files, of_schema, schema, sqlite_vector, three_tables,
    with_collections,
};
use crate::spec::{Collection, Stack, Vector};
use crate::sql::{Database, SqliteMode, open_sqlite};
use crate::vector::{Change, Client, Desired, Error, Observed, Seen, apply, observe};
