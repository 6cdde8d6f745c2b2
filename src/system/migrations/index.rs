//! Indexes that a failed `CREATE INDEX CONCURRENTLY` left: invalid, in the way of the next try, and
//! of no use to anybody. One that another session is building right now is left alone.

use super::super::script::Script;
use super::super::{Desired, Observed};
use super::session::{Failed, Session};
use crate::change::{Check, Status};
use crate::spec::Migration;
use crate::sql::{Dialect, identifier};

/// The index that a statement makes concurrently.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// Its name, as the catalog has it.
    pub(super) name: String,
    /// Its table, as the statement writes it.
    table: String,
}

impl Made {
    /// What the statement makes; `None` for any other, and where it gives the index no name.
    pub(super) fn by(statement: &str) -> Option<Self> {
        let mut words = Words(statement);
        let mut next = || words.next();
        if !next()?.eq_ignore_ascii_case("create") {
            return None;
        }
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
        if word.eq_ignore_ascii_case("on") || !next()?.eq_ignore_ascii_case("on") {
            return None;
        }
        let mut table = next()?;
        if table.eq_ignore_ascii_case("only") {
            table = next()?;
        }
        let name = match word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => word.to_lowercase(),
        };
        Some(Self { name, table: table.to_owned() })
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

/// Drops what an earlier try of this statement left.
pub(super) async fn drop_invalid(statement: &str, session: &mut Session) -> Result<(), Failed> {
    let Some(Made { name, table }) = Made::by(statement).filter(|_| session.dialect() == Dialect::Postgres)
    else {
        return Ok(());
    };
    let (name, table) = (session.literal(&name), session.literal(&table));
    let found = session
        .rows(format!(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), NULL
             FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE i.indrelid = to_regclass({table}) AND c.relname = {name} AND c.relkind = 'i'
               AND NOT i.indisvalid
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                               WHERE p.index_relid = i.indexrelid)"
        ))
        .await?;
    for [index, _] in found {
        let Some(index) = index else { continue };
        session.run(format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
    }
    Ok(())
}

/// Invalid indexes that no pending migration makes anew.
pub(super) fn checks(desired: &Desired, observed: &Observed, pending: &[&Migration]) -> Vec<Check> {
    let tables = observed.schema.tables.iter();
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
        let message = format!(
            "the index {name} of {table} is INVALID: it was not built to its end, and no query uses it; \
             `REINDEX INDEX CONCURRENTLY {quoted}` builds it"
        );
        Check::new(format!("system.index.{name}"), Status::Warn, message)
    })
    .collect()
}

fn made_by(file: &Migration, dialect: Dialect) -> Vec<String> {
    let statements = Script::read(&file.sql, dialect).statements.into_iter();
    statements.filter_map(|at| Made::by(file.sql.get(at)?)).map(|made| made.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_statement_is_found_in_any_spelling() {
        let made = |name: &str, table: &str| Some(Made { name: name.into(), table: table.into() });
        for (statement, expected) in [
            ("CREATE INDEX CONCURRENTLY Ix ON t (a)", made("ix", "t")),
            (
                "create unique index /* big */ concurrently if not exists \"A b\" on only app.t(a)",
                made("A b", "app.t"),
            ),
            ("CREATE INDEX CONCURRENTLY -- one\n i ON \"T x\" USING gin (a)", made("i", "\"T x\"")),
            ("CREATE INDEX CONCURRENTLY ON t (a)", None),
            ("CREATE INDEX i ON t (a)", None),
            ("DROP INDEX CONCURRENTLY i", None),
            ("CREATE INDEX CONCURRENTLY", None),
        ] {
            assert_eq!(Made::by(statement), expected, "{statement}");
        }
    }
}
