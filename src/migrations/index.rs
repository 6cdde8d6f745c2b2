//! Finds invalid indexes that a failed `CREATE INDEX CONCURRENTLY` or `REINDEX CONCURRENTLY` left. They
//! block the next attempt and serve no query. An index that another session is still building is kept.

use std::collections::BTreeSet;

use super::Desired;
use crate::address::Kind;
use crate::catalog::Snapshot;
use crate::change::{Check, Status};
use crate::connection::{Failed, Session};
use crate::lint::script::{Script, words};
use crate::sql::{Dialect, identifier};
use crate::stack::Migration;

/// The suffixes that PostgreSQL gives to the indexes that `REINDEX CONCURRENTLY` swaps.
const REINDEX_SUFFIX: &str = "_cc(new|old)[0-9]*$";

/// The index that a concurrent statement builds, and leaves invalid when it fails.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Building {
    /// `CREATE INDEX` with a name.
    Named {
        /// As in the catalog, without quotes.
        name: String,
        /// Quoted, with the schema if the statement has one.
        table: String,
    },
    /// `CREATE INDEX` without a name: PostgreSQL generates a new one at each attempt.
    Unnamed {
        /// Quoted, with the schema if the statement has one.
        table: String,
    },
    /// `REINDEX`, which builds copies of existing indexes under generated names.
    Reindex,
}

impl Building {
    /// Parses a statement; `None` where it builds no index concurrently.
    pub(super) fn parse(statement: &str) -> Option<Self> {
        let words = words(statement, Dialect::Postgres);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let rest = match words.as_slice() {
            ["reindex", rest @ ..] => return rest.contains(&"concurrently").then_some(Self::Reindex),
            ["create", "index", "concurrently", "if", "not", "exists", rest @ ..]
            | ["create", "unique", "index", "concurrently", "if", "not", "exists", rest @ ..]
            | ["create", "index", "concurrently", rest @ ..]
            | ["create", "unique", "index", "concurrently", rest @ ..] => rest,
            _ => return None,
        };
        let (name, table) = match rest {
            ["on", "only", table @ ..] | ["on", table @ ..] => (None, table),
            [name, "on", "only", table @ ..] | [name, "on", table @ ..] => (Some((*name).to_owned()), table),
            _ => return None,
        };
        let table = match table {
            [schema, ".", name, ..] => format!("{}.{}", identifier(schema), identifier(name)),
            [name, ..] => identifier(name),
            [] => return None,
        };
        Some(name.map_or_else(
            || Self::Unnamed { table: table.clone() },
            |name| Self::Named { name, table: table.clone() },
        ))
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Named { name, table: _ } => Some(name),
            Self::Unnamed { .. } | Self::Reindex => None,
        }
    }

    /// A query that returns a row where such an index may exist. Cheaper than [`Self::query`], and enough
    /// for most statements.
    fn probe_query(&self, session: &Session) -> String {
        let which = match self {
            Self::Named { table, .. } | Self::Unnamed { table } => {
                format!("i.indrelid = to_regclass({}) AND ", session.literal(table))
            }
            Self::Reindex => String::new(),
        };
        format!("SELECT '1', NULL FROM pg_catalog.pg_index i WHERE {which}NOT i.indisvalid LIMIT 1")
    }

    /// A query for the invalid indexes of earlier attempts, as quoted names with schemas.
    fn query(&self, session: &Session) -> String {
        let which = match self {
            Self::Named { name, table } => {
                let (name, table) = (session.literal(name), session.literal(table));
                format!("i.indrelid = to_regclass({table}) AND c.relname = {name}")
            }
            Self::Unnamed { table } => format!("i.indrelid = to_regclass({})", session.literal(table)),
            Self::Reindex => format!("c.relname ~ '{REINDEX_SUFFIX}'"),
        };
        format!(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), NULL
             FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE {which} AND c.relkind = 'i' AND n.nspname <> 'pg_toast' AND NOT i.indisvalid
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                               WHERE p.index_relid = i.indexrelid)"
        )
    }
}

/// The invalid indexes have to be listed before the first attempt, so no other query can be
/// combined with it.
pub(super) struct MustListFirst;

/// The invalid indexes that attempts of one statement may leave.
#[derive(Debug, Default)]
pub(super) struct LeftoverIndexes {
    building: Option<Building>,
    /// Invalid indexes of the same table that existed before the first attempt.
    others: BTreeSet<String>,
}

impl LeftoverIndexes {
    /// Must be called before the first attempt, because it lists the indexes that exist then.
    pub(super) async fn before_first_attempt(statement: &str, session: &mut Session) -> Result<Self, Failed> {
        let building = Building::parse(statement).filter(|_| session.dialect() == Dialect::Postgres);
        let mut indexes = Self { building, others: BTreeSet::new() };
        if matches!(indexes.building, Some(Building::Unnamed { .. })) {
            indexes.others = indexes.find(session, String::new()).await?;
        }
        Ok(indexes)
    }

    /// The query for leftovers of earlier attempts; `None` where the statement builds no index.
    pub(super) fn leftovers_query(
        statement: &str,
        session: &Session,
    ) -> Result<Option<String>, MustListFirst> {
        let building = Building::parse(statement).filter(|_| session.dialect() == Dialect::Postgres);
        match building {
            Some(Building::Unnamed { .. }) => Err(MustListFirst),
            building => Ok(building.map(|building| building.probe_query(session))),
        }
    }

    /// Lists the leftovers of earlier attempts. `before` is sent first in the same message and must return
    /// no rows.
    pub(super) async fn find(
        &self,
        session: &mut Session,
        before: String,
    ) -> Result<BTreeSet<String>, Failed> {
        let probe_query = self.building.as_ref().map(|building| building.probe_query(session));
        let message: Vec<String> =
            [before].into_iter().filter(|sql| !sql.is_empty()).chain(probe_query).collect();
        if message.is_empty() || session.rows(message.join("; ")).await?.is_empty() {
            return Ok(BTreeSet::new());
        }
        let Some(building) = &self.building else { return Ok(BTreeSet::new()) };
        let found = session.rows(building.query(session)).await?;
        let found = found.into_iter().filter_map(|[index, _]| index);
        Ok(found.filter(|index| !self.others.contains(index)).collect())
    }

    pub(super) async fn drop(
        &self,
        leftovers: BTreeSet<String>,
        session: &mut Session,
    ) -> Result<(), Failed> {
        for index in leftovers {
            session.run(format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
        }
        Ok(())
    }

    /// Lists and drops the leftovers of earlier attempts.
    pub(super) async fn drop_all(&self, session: &mut Session) -> Result<(), Failed> {
        let leftovers = self.find(session, String::new()).await?;
        self.drop(leftovers, session).await
    }
}

/// Warns about invalid indexes that no pending migration rebuilds.
pub(super) fn checks(desired: &Desired, schema: &Snapshot, pending: &[&Migration]) -> Vec<Check> {
    let tables = schema.tables.iter();
    let invalid: Vec<_> = tables
        .flat_map(|(table, shape)| {
            let invalid = shape.indexes.iter().filter(|(_, index)| !index.valid);
            invalid.map(move |(name, _)| (table, name))
        })
        .collect();
    if invalid.is_empty() {
        return Vec::new();
    }
    let made: Vec<String> = pending.iter().flat_map(|file| made_by(file, desired.dialect)).collect();
    let leftovers = invalid.into_iter().filter(|(_, name)| !made.contains(name));
    leftovers.map(|(table, name)| {
        let quoted = match &table.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(name)),
            None => identifier(name),
        };
        let remedy = if is_reindex_name(name) {
            format!("it was to take the place of another one: `DROP INDEX CONCURRENTLY {quoted}`")
        } else {
            format!("`REINDEX INDEX CONCURRENTLY {quoted}` builds it")
        };
        let message = format!(
            "the index {name} of {table} is INVALID: it was not built to its end, and no query uses it; {remedy}"
        );
        Check::new(Kind::Index.named(name), Status::Warn, message)
    })
    .collect()
}

fn made_by(file: &Migration, dialect: Dialect) -> Vec<String> {
    let statements = Script::read(&file.sql, dialect).statements.into_iter();
    statements.filter_map(|at| Building::parse(file.sql.get(at)?)?.name()).collect()
}

/// Whether the name was generated by `REINDEX CONCURRENTLY`.
fn is_reindex_name(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.ends_with("_ccnew") || stem.ends_with("_ccold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_builds_is_found_in_any_spelling() {
        let named =
            |name: &str, table: &str| Some(Building::Named { name: name.into(), table: table.into() });
        for (statement, expected) in [
            ("CREATE INDEX CONCURRENTLY Ix ON t (a)", named("ix", "\"t\"")),
            (
                "create unique index /* big */ concurrently if not exists \"A b\" on only app.t(a)",
                named("A b", "\"app\".\"t\""),
            ),
            ("CREATE INDEX CONCURRENTLY -- one\n i ON \"T x\" USING gin (a)", named("i", "\"T x\"")),
            ("CREATE INDEX CONCURRENTLY ON t (a)", Some(Building::Unnamed { table: "\"t\"".into() })),
            ("REINDEX TABLE CONCURRENTLY t", Some(Building::Reindex)),
            ("reindex (verbose, concurrently) index i", Some(Building::Reindex)),
            ("REINDEX TABLE t", None),
            ("CREATE INDEX i ON t (a)", None),
            ("DROP INDEX CONCURRENTLY i", None),
            ("CREATE INDEX CONCURRENTLY", None),
        ] {
            assert_eq!(Building::parse(statement), expected, "{statement}");
        }
        assert!(is_reindex_name("i_ccnew") && is_reindex_name("i_ccold12") && !is_reindex_name("ccnews"));
    }
}
