//! Computes which privileges a role lacks, and which it has beyond the spec. Pure; used by the plan, and
//! again by apply on the current state.

use std::collections::{BTreeMap, BTreeSet};

use super::globs::Globs;
use super::observe::{Membership, Name, Roles, Schema};
use crate::stack::{Privilege, Role};

/// Marks an owner in the result of the catalog query.
pub(super) const OWNER: &str = "OWNER";
const USAGE: &str = "USAGE";
/// The possible privileges on the database. CONNECT is handled separately; TEMPORARY may remain.
const ON_DATABASE: [&str; 2] = ["CONNECT", "TEMPORARY"];
/// The attribute of an expired password.
pub(super) const VALID_UNTIL: &str = "valid_until";

/// An object that can have privileges: schema and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    /// The managed database.
    Database(String),
    Schema(String),
    Table(String, String),
    Sequence(String, String),
    /// Tables that the account will create in a schema; in any schema for `""`.
    FutureTables(String),
    FutureSequences(String),
    FutureSchemas,
}

/// The difference on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) on: Object,
    /// The current privileges, with `*` for the grant option, and those on single columns.
    pub(super) before: BTreeSet<String>,
    pub(super) after: BTreeSet<String>,
    pub(super) lost: BTreeSet<String>,
    /// Kept, without the grant option.
    pub(super) bound: BTreeSet<String>,
    pub(super) gained: BTreeSet<String>,
}

/// The difference of one role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// The role does not exist.
    pub(super) create: bool,
    /// Attribute, current value, desired value.
    pub(super) attributes: Vec<(&'static str, String, String)>,
    /// Memberships to revoke, with their grantors.
    pub(super) leaves: Vec<(String, Vec<String>)>,
    pub(super) joins: Vec<String>,
    /// The role may log in but lacks CONNECT on this database.
    pub(super) connect: bool,
    /// By object.
    pub(super) deltas: Vec<Delta>,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        let Self { create, attributes, leaves, joins, connect, deltas } = self;
        !create
            && attributes.is_empty()
            && leaves.is_empty()
            && joins.is_empty()
            && !connect
            && deltas.is_empty()
    }

    /// Splits off the default privileges to revoke.
    pub(super) fn apart(self) -> (Self, Self) {
        let (mut narrowing, mut rest) = (Self::default(), self);
        let deltas = std::mem::take(&mut rest.deltas);
        for delta in deltas {
            if !delta.on.kind().is_future() || delta.lost.is_empty() {
                rest.deltas.push(delta);
                continue;
            }
            let Delta { on, before, after, lost, bound, gained } = delta;
            let is_kept = |held: &&String| !lost.contains(held.trim_end_matches('*'));
            let kept: BTreeSet<String> = before.iter().filter(is_kept).cloned().collect();
            if !(bound.is_empty() && gained.is_empty()) {
                let (on, before, lost) = (on.clone(), kept.clone(), BTreeSet::new());
                rest.deltas.push(Delta { on, before, after, lost, bound, gained });
            }
            let none = BTreeSet::new;
            narrowing.deltas.push(Delta { on, before, after: kept, lost, bound: none(), gained: none() });
        }
        (narrowing, rest)
    }
}

/// Compares one role of the spec with the current state.
pub(super) fn difference(name: &str, role: &Role, seen: &Roles) -> Difference {
    let mut difference = Difference::default();
    compare_role(name, role, seen, &mut difference);
    let globs = Globs::new(&role.grants);
    let held = Held { whole: seen.rights.get(name), columns: None };
    let on = Object::Database(seen.database.clone());
    difference.deltas.extend(held.compare(on, std::iter::empty(), ON_DATABASE.into_iter()));
    for (schema, inside) in &seen.schemas {
        compare_schema(name, &globs, (schema, inside), seen, &mut difference.deltas);
    }
    difference.deltas.sort_by(|a, b| a.on.cmp(&b.on));
    difference
}

fn compare_role(name: &str, role: &Role, seen: &Roles, difference: &mut Difference) {
    let limit = |limit: i64| if limit < 0 { "none".to_owned() } else { limit.to_string() };
    let wanted_limit = role.connection_limit.map_or(-1, i64::from);
    let Some(there) = seen.roles.get(name) else {
        difference.create = true;
        difference.joins = role.member_of.iter().cloned().collect();
        difference.connect = role.login && !seen.open;
        return;
    };
    let attributes = [
        ("login", there.login.to_string(), role.login.to_string()),
        ("inherit", there.inherit.to_string(), role.inherit.to_string()),
        ("connection_limit", limit(there.connection_limit.into()), limit(wanted_limit)),
    ];
    difference.attributes = attributes.into_iter().filter(|(_, before, after)| before != after).collect();
    if let Some(since) = there.expired.as_ref().filter(|_| role.login) {
        difference.attributes.push((VALID_UNTIL, since.clone(), "infinity".to_owned()));
    }
    let is_right = |membership: &Membership| {
        !membership.admin && membership.inherits.is_none_or(|inherits| inherits == role.inherit)
    };
    for (parent, membership) in &there.member_of {
        if !role.member_of.contains(parent) || !is_right(membership) {
            difference.leaves.push((parent.clone(), membership.grantors.clone()));
        }
    }
    let joined = |parent: &&String| there.member_of.get(*parent).is_some_and(is_right);
    difference.joins = role.member_of.iter().filter(|parent| !joined(parent)).cloned().collect();
    difference.connect = role.login && !there.connects;
}

fn compare_schema(
    name: &str,
    globs: &Globs,
    (schema, inside): (&str, &Schema),
    seen: &Roles,
    deltas: &mut Vec<Delta>,
) {
    let Schema { rights, tables, sequences, future_tables, future_sequences, future_schemas, open: _, given } =
        inside;
    // Default privileges for all schemas exceed what any glob of tables grants.
    let (all, future) = if schema.is_empty() {
        (BTreeSet::new(), BTreeSet::new())
    } else {
        (globs.on_all(schema), globs.on_future(schema))
    };
    let mut uses = !all.is_empty();
    for (table, there) in tables {
        let own = globs.on(schema, table, &there.above);
        uses |= !own.is_empty();
        let reached = globs.reached(schema, table, &there.above);
        let wanted = own.iter().map(|privilege| privilege.as_sql());
        let allowed = own.union(&reached).map(|privilege| privilege.as_sql());
        let held = Held { whole: there.rights.get(name), columns: there.columns.get(name) };
        deltas.extend(held.compare(Object::Table(schema.to_owned(), table.clone()), wanted, allowed));
    }
    for (sequence, there) in sequences {
        let feeds = |(schema, table): &Name| {
            let there = seen.schemas.get(schema).and_then(|schema| schema.tables.get(table));
            let above = there.map_or(&[][..], |table| &table.above);
            globs.on(schema, table, above).contains(&Privilege::Insert)
        };
        let wanted = if there.feeds.is_empty() {
            all.contains(&Privilege::Insert)
        } else {
            there.feeds.iter().any(feeds)
        };
        let held = Held { whole: there.rights.get(name), columns: None };
        deltas.extend(held.usage(Object::Sequence(schema.to_owned(), sequence.clone()), wanted));
    }
    let held = Held { whole: future_tables.get(name), columns: None };
    let names = || future.iter().map(|privilege| privilege.as_sql());
    deltas.extend(held.compare(Object::FutureTables(schema.to_owned()), names(), names()));
    let held = Held { whole: future_sequences.get(name), columns: None };
    deltas
        .extend(held.usage(Object::FutureSequences(schema.to_owned()), future.contains(&Privilege::Insert)));
    // Globs cannot grant on schemas that do not exist.
    let held = Held { whole: future_schemas.get(name), columns: None };
    deltas.extend(held.usage(Object::FutureSchemas, false));
    let held = Held { whole: rights.get(name), columns: None };
    // Where the role can use the schema through PUBLIC, the grant is not needed, and the account may be
    // unable to make it.
    let usage = |wanted: bool| wanted.then_some(USAGE).into_iter();
    deltas.extend(held.compare(Object::Schema(schema.to_owned()), usage(uses && !given), usage(uses)));
}

/// The current privileges of a role on one object.
struct Held<'a> {
    whole: Option<&'a BTreeSet<String>>,
    columns: Option<&'a BTreeSet<String>>,
}

impl Held<'_> {
    fn usage(self, on: Object, wanted: bool) -> Option<Delta> {
        let usage = || wanted.then_some(USAGE).into_iter();
        self.compare(on, usage(), usage())
    }

    /// `wanted` must be granted, and everything that is not `allowed` is revoked.
    fn compare(
        self,
        on: Object,
        wanted: impl Iterator<Item = &'static str>,
        allowed: impl Iterator<Item = &'static str>,
    ) -> Option<Delta> {
        let none = BTreeSet::new();
        let (whole, columns) = (self.whole.unwrap_or(&none), self.columns.unwrap_or(&none));
        // Owners have all privileges, and revoking grants would not change that.
        if whole.contains(OWNER) {
            return None;
        }
        let plain = |held: &String| held.trim_end_matches('*').to_owned();
        let wanted: BTreeSet<String> = wanted.map(str::to_owned).collect();
        let allowed: BTreeSet<String> = allowed.map(str::to_owned).collect();
        let on_whole: BTreeSet<String> = whole.iter().map(plain).collect();
        let on_columns: BTreeSet<String> = columns.iter().map(plain).collect();
        let after: BTreeSet<String> = on_whole.intersection(&allowed).chain(&wanted).cloned().collect();
        // REVOKE on a table also revokes the privilege on its columns, so these are granted again.
        let lost: BTreeSet<String> = on_whole.difference(&allowed).chain(&on_columns).cloned().collect();
        let regained = on_columns.intersection(&after);
        let gained: BTreeSet<String> = wanted.difference(&on_whole).chain(regained).cloned().collect();
        let bound: BTreeSet<String> = whole
            .iter()
            .filter(|held| held.ends_with('*'))
            .map(plain)
            .filter(|held| !lost.contains(held))
            .collect();
        if lost.is_empty() && gained.is_empty() && bound.is_empty() {
            return None;
        }
        let partly = columns.iter().map(|held| format!("{held} of columns"));
        let before = whole.iter().cloned().chain(partly).collect();
        Some(Delta { on, before, after, lost, bound, gained })
    }
}

/// Kinds of statements, in the order of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Revoke,
    RevokeGrantOption,
    Grant,
}

/// Kinds of objects, each with its own form of GRANT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ObjectKind {
    Database,
    Schema,
    Table,
    Sequence,
    FutureTables,
    FutureSequences,
    FutureSchemas,
}

impl ObjectKind {
    /// Whether objects of this kind are created by later migrations.
    fn is_future(self) -> bool {
        match self {
            Self::FutureTables | Self::FutureSequences | Self::FutureSchemas => true,
            Self::Database | Self::Schema | Self::Table | Self::Sequence => false,
        }
    }
}

impl Object {
    pub(super) fn kind(&self) -> ObjectKind {
        match self {
            Self::Database(_) => ObjectKind::Database,
            Self::Schema(_) => ObjectKind::Schema,
            Self::Table(..) => ObjectKind::Table,
            Self::Sequence(..) => ObjectKind::Sequence,
            Self::FutureTables(_) => ObjectKind::FutureTables,
            Self::FutureSequences(_) => ObjectKind::FutureSequences,
            Self::FutureSchemas => ObjectKind::FutureSchemas,
        }
    }
}

/// Groups objects by statement, so that as few statements as possible are needed.
pub(super) fn grouped(deltas: &[Delta]) -> BTreeMap<(Verb, ObjectKind, &BTreeSet<String>), Vec<&Object>> {
    let mut groups: BTreeMap<_, Vec<&Object>> = BTreeMap::new();
    for Delta { on, lost, bound, gained, before: _, after: _ } in deltas {
        for (verb, privileges) in
            [(Verb::Revoke, lost), (Verb::RevokeGrantOption, bound), (Verb::Grant, gained)]
        {
            if !privileges.is_empty() {
                groups.entry((verb, on.kind(), privileges)).or_default().push(on);
            }
        }
    }
    groups
}
