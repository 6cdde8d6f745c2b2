//! Matches the globs of a role with tables, and computes the privileges that they grant. Pure.

use std::collections::{BTreeMap, BTreeSet};

use globset::{Glob, GlobMatcher};

use super::observe::Name;
use crate::stack::Privilege;

/// The schema of globs without one.
const DEFAULT_SCHEMA: &str = "public";
const OWN_SCHEMA: &str = "trueup";
const HISTORY: &str = "_sqlx_migrations";

#[derive(Debug)]
pub(super) struct Globs(Vec<Grant>);

#[derive(Debug)]
struct Grant {
    /// As in the spec.
    text: String,
    /// `None` for `*`, which is every schema.
    schema: Option<Part>,
    name: Part,
    privileges: BTreeSet<Privilege>,
}

#[derive(Debug)]
struct Part {
    text: String,
    glob: Option<GlobMatcher>,
}

impl Part {
    fn new(text: &str) -> Self {
        // The spec has rejected invalid globs.
        let glob = Glob::new(text).ok().map(|glob| glob.compile_matcher());
        Self { text: text.to_owned(), glob: glob.filter(|_| !is_literal(text)) }
    }

    fn names(&self, name: &str) -> bool {
        self.glob.as_ref().map_or(self.text == name, |glob| glob.is_match(name))
    }

    fn is_all(&self) -> bool {
        !self.text.is_empty() && self.text.chars().all(|c| c == '*')
    }
}

fn is_literal(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

impl Grant {
    fn new(text: &str, privileges: &BTreeSet<Privilege>) -> Self {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(Part::new(schema)), Part::new(name)),
            None if text.chars().all(|c| c == '*') => (None, Part::new(text)),
            None => (Some(Part::new(DEFAULT_SCHEMA)), Part::new(text)),
        };
        Self { text: text.to_owned(), schema, name, privileges: privileges.clone() }
    }

    /// Whether it covers tables of a schema. The schema of this tool has to be named explicitly.
    fn reaches(&self, schema: &str) -> bool {
        match &self.schema {
            None => schema != OWN_SCHEMA,
            Some(part) => part.names(schema) && (schema != OWN_SCHEMA || part.glob.is_none()),
        }
    }

    /// Whether it covers a table. The history of migrations has to be named explicitly.
    fn names(&self, schema: &str, table: &str) -> bool {
        let by_name = self.name.glob.is_none();
        self.reaches(schema) && self.name.names(table) && (table != HISTORY || by_name)
    }

    fn names_all(&self, schema: &str) -> bool {
        self.reaches(schema) && self.name.is_all()
    }
}

impl Globs {
    pub(super) fn new(grants: &BTreeMap<String, BTreeSet<Privilege>>) -> Self {
        Self(grants.iter().map(|(text, privileges)| Grant::new(text, privileges)).collect())
    }

    /// The privileges on a table. `above` has the tables of which it is a partition: a revoke on these
    /// applies to it too, because their rows include its rows.
    pub(super) fn on(&self, schema: &str, table: &str, above: &[Name]) -> BTreeSet<Privilege> {
        if above.iter().any(|(schema, table)| self.take(schema, table)) {
            return BTreeSet::new();
        }
        sum(self.0.iter().filter(|grant| grant.names(schema, table)))
    }

    /// Further privileges that may remain on a table: those on the tables of which it is a partition, which
    /// give access to its rows anyway. None where a glob revokes them explicitly.
    pub(super) fn reached(&self, schema: &str, table: &str, above: &[Name]) -> BTreeSet<Privilege> {
        let names = || above.iter().map(|(schema, table)| (schema.as_str(), table.as_str()));
        if names().chain([(schema, table)]).any(|(schema, table)| self.take(schema, table)) {
            return BTreeSet::new();
        }
        names().flat_map(|(schema, table)| self.on(schema, table, &[])).collect()
    }

    fn take(&self, schema: &str, table: &str) -> bool {
        self.0.iter().any(|grant| grant.privileges.is_empty() && grant.names(schema, table))
    }

    /// The privileges of globs that cover all tables of a schema.
    pub(super) fn on_all(&self, schema: &str) -> BTreeSet<Privilege> {
        sum(self.0.iter().filter(|grant| grant.names_all(schema)))
    }

    /// The privileges that may be default privileges for future tables of a schema, whatever their names.
    /// None where a glob revokes something.
    pub(super) fn on_future(&self, schema: &str) -> BTreeSet<Privilege> {
        let takes = |grant: &Grant| grant.privileges.is_empty() && grant.reaches(schema);
        if self.0.iter().any(takes) { BTreeSet::new() } else { self.on_all(schema) }
    }

    /// Whether the default privileges of a schema equal the privileges of each future table.
    pub(super) fn are_for_all(&self) -> bool {
        self.0.iter().all(|grant| grant.name.is_all())
    }

    /// Tables that are named without a glob, as schema, name, and the text of the spec.
    pub(super) fn literal(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().filter_map(|grant| {
            let schema = grant.schema.as_ref().filter(|part| part.glob.is_none())?;
            (grant.name.glob.is_none()).then_some((
                schema.text.as_str(),
                grant.name.text.as_str(),
                grant.text.as_str(),
            ))
        })
    }
}

/// Privileges add up, but an empty list revokes all.
fn sum<'g>(grants: impl Iterator<Item = &'g Grant>) -> BTreeSet<Privilege> {
    let mut sum = BTreeSet::new();
    for grant in grants {
        if grant.privileges.is_empty() {
            return BTreeSet::new();
        }
        sum.extend(&grant.privileges);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use Privilege::{Delete, Insert, Select};

    fn globs(grants: &[(&str, &[Privilege])]) -> Globs {
        let grants = grants.iter().map(|(glob, privileges)| {
            ((*glob).to_owned(), privileges.iter().copied().collect::<BTreeSet<_>>())
        });
        Globs::new(&grants.collect())
    }

    fn on(globs: &Globs, schema: &str, table: &str) -> Vec<Privilege> {
        globs.on(schema, table, &[]).into_iter().collect()
    }

    #[test]
    fn a_glob_without_a_schema_is_for_public_and_a_star_for_all() {
        let globs = globs(&[("*", &[Select]), ("a*", &[Insert]), ("audit.*", &[Delete])]);
        assert_eq!(on(&globs, "public", "accounts"), [Select, Insert]);
        assert_eq!(on(&globs, "audit", "accounts"), [Select, Delete]);
        assert_eq!(on(&globs, "other", "accounts"), [Select]);
        assert_eq!(globs.on_all("audit").into_iter().collect::<Vec<_>>(), [Select, Delete]);
        assert_eq!(globs.on_all("public").into_iter().collect::<Vec<_>>(), [Select]);
    }

    #[test]
    fn an_empty_list_takes_all_away() {
        let globs = globs(&[("*", &[Select]), ("users", &[])]);
        assert_eq!(on(&globs, "public", "users"), []);
        assert_eq!(on(&globs, "app", "users"), [Select]);
        assert!(!globs.are_for_all());
        assert_eq!(globs.on_all("public").into_iter().collect::<Vec<_>>(), [Select]);
        assert_eq!(globs.on_future("public").into_iter().collect::<Vec<_>>(), []);
        assert_eq!(globs.on_future("app").into_iter().collect::<Vec<_>>(), [Select]);
    }

    #[test]
    fn what_is_taken_from_a_table_is_taken_from_its_partitions() {
        let globs = globs(&[
            ("*", &[Select]),
            ("secret", &[]),
            ("open_1", &[]),
            ("part_*", &[Insert]),
            ("kept", &[Delete]),
        ]);
        let both = |table: &str, above: &str| {
            let above = [("public".to_owned(), above.to_owned())];
            let (on, reached) = (globs.on("parts", table, &above), globs.reached("public", table, &above));
            (on.into_iter().collect::<Vec<_>>(), reached.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(both("part_1", "secret"), (vec![], vec![]));
        assert_eq!(both("part_1", "kept"), (vec![Select], vec![Select, Delete]));
        assert_eq!(both("open_1", "kept"), (vec![Select], vec![]));
    }

    #[test]
    fn the_tables_of_the_tool_must_be_named() {
        let star = globs(&[("*", &[Select]), ("*.*", &[Select]), ("tru*.*", &[Select])]);
        assert_eq!(on(&star, "trueup", "flags"), []);
        assert_eq!(on(&star, "public", "_sqlx_migrations"), []);
        let named = globs(&[("trueup.flags", &[Select]), ("_sqlx_migrations", &[Select])]);
        assert_eq!(on(&named, "trueup", "flags"), [Select]);
        assert_eq!(on(&named, "trueup", "meta"), []);
        assert_eq!(on(&named, "public", "_sqlx_migrations"), [Select]);
        assert_eq!(
            named.literal().collect::<Vec<_>>(),
            [("public", "_sqlx_migrations", "_sqlx_migrations"), ("trueup", "flags", "trueup.flags")]
        );
    }
}
