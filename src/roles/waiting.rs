//! Effects of pending migrations on roles. Pure.

use std::collections::BTreeSet;

use super::globs::Globs;
use super::observe::Roles;
use super::{Observed, address};
use crate::address::{Address, Kind};
use crate::catalog::TableName;
use crate::change::Planned;
use crate::lint::script::{self, Script, folded};
use crate::migrations::Change;
use crate::sql::Dialect;
use crate::stack::Role;

/// First words of statements whose text shows all of their effects on privileges.
const TOLD: [&str; 21] = [
    "create",
    "drop",
    "comment",
    "insert",
    "update",
    "delete",
    "truncate",
    "copy",
    "lock",
    "analyze",
    "vacuum",
    "reindex",
    "refresh",
    "cluster",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "savepoint",
    "release",
];

/// Pending migrations, numbered and repeatable.
pub(super) struct Waiting<'a> {
    /// The last one; each depends on the one before it.
    pub(super) last: Option<&'a Address>,
    /// Extensions to install, whose tables and schemas may be granted.
    extensions: &'a [Address],
    /// Tables that they create, in lower case.
    creates: BTreeSet<TableName>,
    /// The words of their texts, in lower case.
    words: BTreeSet<String>,
    /// Whether a statement may change privileges, owners or schemas.
    grants: bool,
}

impl<'a> Waiting<'a> {
    pub(super) fn of(planned: &'a [Planned<Change>], extensions: &'a [Address]) -> Self {
        let mut waiting = Self {
            last: planned.last().map(|planned| &planned.address),
            extensions,
            creates: BTreeSet::new(),
            words: BTreeSet::new(),
            grants: false,
        };
        for planned in planned {
            let (sql, _) = planned.change.text();
            // Only PostgreSQL has roles.
            let script = Script::read(sql, Dialect::Postgres);
            let mut statements = script.statements.iter().filter_map(|range| sql.get(range.clone()));
            waiting.grants |= statements.any(may_grant);
            waiting.creates.extend(script.creates.iter().map(folded));
            waiting.words.extend(words(sql).map(str::to_lowercase));
        }
        waiting
    }
}

/// The parts of a text that may be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Whether a statement may change privileges, other than by creating a table, or which tables the globs
/// match. Code that is not analysed may do anything. Statements that write rows are left out, though their
/// triggers could change privileges: that is rare.
fn may_grant(statement: &str) -> bool {
    let words = script::words(statement, Dialect::Postgres);
    let mut words = words.iter().map(String::as_str);
    match (words.next(), words.next()) {
        (
            Some("create" | "alter" | "drop"),
            Some("schema" | "default" | "role" | "user" | "group" | "database"),
        ) => true,
        (Some("alter"), _) => words.any(|word| matches!(word, "owner" | "schema" | "attach" | "detach")),
        (Some("create"), Some("table")) => words.any(|word| word == "partition"),
        (Some(first), _) => !TOLD.contains(&first),
        (None, _) => false,
    }
}

impl Waiting<'_> {
    /// The dependencies of a role. Roles with memberships depend on their parents; a failed role
    /// blocks no others.
    pub(super) fn needs(&self, name: &str, role: &Role) -> Vec<Address> {
        let mut needs = vec![Kind::Database.alone()];
        if !role.grants.is_empty() {
            needs.extend(self.extensions.iter().cloned());
        }
        if !role.grants.is_empty()
            || self.grants
            || self.speak_of(name)
            || role.member_of.iter().any(|parent| self.speak_of(parent))
        {
            needs.extend(self.last.cloned());
        }
        needs.extend(role.member_of.iter().map(|parent| address(parent)));
        needs
    }

    /// Whether a migration mentions the name, as in a policy or an OWNER TO.
    pub(super) fn speak_of(&self, name: &str) -> bool {
        words(name).all(|word| self.words.contains(&word.to_lowercase()))
    }

    /// Whether default privileges alone may not give the right result, so that the role must be compared
    /// again after the migrations.
    pub(super) fn concern(&self, role: &Role, seen: &Roles, observed: Observed<'_>) -> bool {
        if self.last.is_none() {
            return false;
        }
        let in_new_schema =
            |table: &TableName| !seen.schemas.contains_key(table.schema.as_deref().unwrap_or("public"));
        let beyond_defaults = || {
            !Globs::new(&role.grants).are_for_all()
                || !observed.is_migrated
                || self.creates.iter().any(in_new_schema)
        };
        self.grants || (!role.grants.is_empty() && beyond_defaults())
    }
}
