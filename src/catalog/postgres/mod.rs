//! Introspects PostgreSQL 12 and later: one query per catalog, all in one round trip and in one read-only
//! transaction with one snapshot. The rows are assembled by the client.

mod constraints;
mod queries;
mod relations;

use super::Snapshot;
use crate::sql::{self, Database, Result};
use queries::{
    COLUMNS, COMMENTS, CONSTRAINTS, INDEXES, ONE_SEARCH_PATH, ONE_STATE, RELATIONS, SEQUENCES, TYPES,
};
use relations::Relations;

pub(super) async fn introspect(database: &Database) -> Result<Snapshot> {
    let asked = [
        ONE_STATE,
        sql::OF_CATALOGS,
        ONE_SEARCH_PATH,
        RELATIONS,
        TYPES,
        SEQUENCES,
        COLUMNS,
        COMMENTS,
        CONSTRAINTS,
        INDEXES,
    ];
    let mut answers = database.query_each(&asked).await?.into_iter().skip(2);
    let mut next = || answers.next().unwrap_or_default();

    let major = next().first().and_then(|row| row.get(0)?.parse().ok());
    let mut relations = Relations::read(&next())?;
    let (types, sequences) = (next(), next());
    relations.add_columns(&next(), &types, &sequences)?;
    relations.add_comments(&next())?;
    relations.add_constraints(&next())?;
    relations.add_indexes(&next())?;
    Ok(Snapshot { postgres: major, tables: relations.into_tables(), ..Snapshot::default() })
}
