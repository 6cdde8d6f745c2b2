//! Indexes that a failed `CREATE INDEX CONCURRENTLY` or `REINDEX CONCURRENTLY` left: invalid, in the way
//! of the next try, and of no use to anybody. One that another session is building right now is left alone.

use std::collections::BTreeSet;

use super::Desired;
use crate::address::Kind;
use crate::catalog::Snapshot;
use crate::change::{Check, Status};
use crate::connection::{Failed, Session};
use crate::lint::script::Script;
use crate::sql::{Dialect, identifier};
use crate::stack::Migration;

/// How PostgreSQL ends the names of indexes that it builds to put them in the place of others.
const ANEW: &str = "_cc(new|old)[0-9]*$";

/// What a statement builds without blocking writers, and leaves invalid when it fails.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Building {
    /// An index with a name.
    Named {
        /// As the catalog has it.
        name: String,
        /// Its table, as the statement writes it.
        table: String,
    },
    /// An index that PostgreSQL names: another one each time.
    Unnamed {
        /// Its table, as the statement writes it.
        table: String,
    },
    /// Indexes that are there, under other names.
    Anew,
}

impl Building {
    /// What the statement builds; `None` for any other.
    pub(super) fn by(statement: &str) -> Option<Self> {
        let mut words = Words(statement);
        let verb = words.next()?;
        if verb.eq_ignore_ascii_case("reindex") {
            let is_concurrent =
                words.any(|word| word.trim_matches(['(', ')', ',']).eq_ignore_ascii_case("concurrently"));
            return is_concurrent.then_some(Self::Anew);
        }
        if !verb.eq_ignore_ascii_case("create") {
            return None;
        }
        let mut next = || words.next();
        let mut word = next()?;
        if word.eq_ignore_ascii_case("unique") {
            word = next()?;
        }
        if !word.eq_ignore_ascii_case("index") || !next()?.eq_ignore_ascii_case("concurrently") {
            return None;
        }
        word = next()?;
        if word.eq_ignore_ascii_case("if") {
            next()?;
            next()?;
            word = next()?;
        }
        let has_name = !word.eq_ignore_ascii_case("on");
        if has_name && !next()?.eq_ignore_ascii_case("on") {
            return None;
        }
        let mut table = next()?;
        if table.eq_ignore_ascii_case("only") {
            table = next()?;
        }
        let table = table.to_owned();
        if !has_name {
            return Some(Self::Unnamed { table });
        }
        let name = match word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => word.to_lowercase(),
        };
        Some(Self::Named { name, table })
    }

    /// The name that it gives.
    fn name(self) -> Option<String> {
        match self {
            Self::Named { name, table: _ } => Some(name),
            Self::Unnamed { .. } | Self::Anew => None,
        }
    }

    /// The query for one row where there may be such an index: the table of one statement of many has none.
    fn has_any(&self, session: &Session) -> String {
        let which = match self {
            Self::Named { table, .. } | Self::Unnamed { table } => {
                format!("i.indrelid = to_regclass({}) AND ", session.literal(table))
            }
            Self::Anew => String::new(),
        };
        format!("SELECT '1', NULL FROM pg_catalog.pg_index i WHERE {which}NOT i.indisvalid LIMIT 1")
    }

    /// The query for the invalid indexes that a try of it may have left, located and quoted.
    fn query(&self, session: &Session) -> String {
        let which = match self {
            Self::Named { name, table } => {
                let (name, table) = (session.literal(name), session.literal(table));
                format!("i.indrelid = to_regclass({table}) AND c.relname = {name}")
            }
            Self::Unnamed { table } => format!("i.indrelid = to_regclass({})", session.literal(table)),
            Self::Anew => format!("c.relname ~ '{ANEW}'"),
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

/// Other questions come first.
pub(super) struct NotYet;

/// What tries of one statement leave, and what was there before them.
#[derive(Debug, Default)]
pub(super) struct Leavings {
    building: Option<Building>,
    /// Invalid indexes of the table that are somebody else's.
    others: BTreeSet<String>,
}

impl Leavings {
    /// Of a statement that was not tried yet.
    pub(super) async fn of(statement: &str, session: &mut Session) -> Result<Self, Failed> {
        let building = Building::by(statement).filter(|_| session.dialect() == Dialect::Postgres);
        let mut leavings = Self { building, others: BTreeSet::new() };
        if matches!(leavings.building, Some(Building::Unnamed { .. })) {
            leavings.others = leavings.find(session, String::new()).await?;
        }
        Ok(leavings)
    }

    /// The question whether earlier tries of a statement may have left something; `None` where nothing is built.
    /// An error where what was there before them has to be known first.
    pub(super) fn question(statement: &str, session: &Session) -> Result<Option<String>, NotYet> {
        let building = Building::by(statement).filter(|_| session.dialect() == Dialect::Postgres);
        match building {
            Some(Building::Unnamed { .. }) => Err(NotYet),
            building => Ok(building.map(|building| building.has_any(session))),
        }
    }

    /// What earlier tries left, after statements that are sent before the question and give no rows.
    pub(super) async fn find(
        &self,
        session: &mut Session,
        before: String,
    ) -> Result<BTreeSet<String>, Failed> {
        let has_any = self.building.as_ref().map(|building| building.has_any(session));
        let message: Vec<String> =
            [before].into_iter().filter(|sql| !sql.is_empty()).chain(has_any).collect();
        if message.is_empty() || session.rows(message.join("; ")).await?.is_empty() {
            return Ok(BTreeSet::new());
        }
        let Some(building) = &self.building else { return Ok(BTreeSet::new()) };
        let found = session.rows(building.query(session)).await?;
        let found = found.into_iter().filter_map(|[index, _]| index);
        Ok(found.filter(|index| !self.others.contains(index)).collect())
    }

    /// Drops what was found.
    pub(super) async fn drop(&self, left: BTreeSet<String>, session: &mut Session) -> Result<(), Failed> {
        for index in left {
            session.run(format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
        }
        Ok(())
    }

    /// Drops what earlier tries left.
    pub(super) async fn drop_all(&self, session: &mut Session) -> Result<(), Failed> {
        let left = self.find(session, String::new()).await?;
        self.drop(left, session).await
    }
}

/// Words of a statement: up to white space or a bracket, quoted names whole, no comments.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start();
            if let Some(comment) = self.0.strip_prefix("--") {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.0.strip_prefix("/*") {
                self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                break;
            }
        }
        let mut in_quotes = false;
        let ends = |c: char| {
            in_quotes ^= c == '"';
            !in_quotes && (c.is_whitespace() || c == '(')
        };
        let end = self.0.find(ends).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at_checked(end.max(usize::from(end == 0 && !self.0.is_empty())))?;
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Invalid indexes that no pending migration makes anew.
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
    let left = invalid.into_iter().filter(|(_, name)| !made.contains(name));
    left.map(|(table, name)| {
        let quoted = match &table.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(name)),
            None => identifier(name),
        };
        let way_out = if is_anew(name) {
            format!("it was to take the place of another one: `DROP INDEX CONCURRENTLY {quoted}`")
        } else {
            format!("`REINDEX INDEX CONCURRENTLY {quoted}` builds it")
        };
        let message = format!(
            "the index {name} of {table} is INVALID: it was not built to its end, and no query uses it; {way_out}"
        );
        Check::new(Kind::Index.named(name), Status::Warn, message)
    })
    .collect()
}

fn made_by(file: &Migration, dialect: Dialect) -> Vec<String> {
    let statements = Script::read(&file.sql, dialect).statements.into_iter();
    statements.filter_map(|at| Building::by(file.sql.get(at)?)?.name()).collect()
}

/// Whether PostgreSQL gave an index its name, to put it in the place of another one.
fn is_anew(name: &str) -> bool {
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
            ("CREATE INDEX CONCURRENTLY Ix ON t (a)", named("ix", "t")),
            (
                "create unique index /* big */ concurrently if not exists \"A b\" on only app.t(a)",
                named("A b", "app.t"),
            ),
            ("CREATE INDEX CONCURRENTLY -- one\n i ON \"T x\" USING gin (a)", named("i", "\"T x\"")),
            ("CREATE INDEX CONCURRENTLY ON t (a)", Some(Building::Unnamed { table: "t".into() })),
            ("REINDEX TABLE CONCURRENTLY t", Some(Building::Anew)),
            ("reindex (verbose, concurrently) index i", Some(Building::Anew)),
            ("REINDEX TABLE t", None),
            ("CREATE INDEX i ON t (a)", None),
            ("DROP INDEX CONCURRENTLY i", None),
            ("CREATE INDEX CONCURRENTLY", None),
        ] {
            assert_eq!(Building::by(statement), expected, "{statement}");
        }
        assert!(is_anew("i_ccnew") && is_anew("i_ccold12") && !is_anew("ccnews"));
    }
}
