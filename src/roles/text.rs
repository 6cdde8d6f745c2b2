//! Describes a role and its differences for display. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::rights::{Delta, Difference, Object, ObjectKind, Verb, grouped};
use crate::catalog::TableName;
use crate::digest::Digest;
use crate::neutral::one_line;
use crate::stack::{Privilege, Role};

/// Names that are listed before the rest is counted.
const MOST_NAMES: usize = 3;
/// Changes that are listed in a summary.
const MOST_PARTS: usize = 4;

/// Describes a role of the spec in one line.
pub(super) fn of_role(role: &Role) -> String {
    let Role { login, password, password_version: _, inherit: _, connection_limit, member_of, grants, at: _ } =
        role;
    let mut parts = vec![match (login, password) {
        (true, Some(_)) => "may log in, password sent as a SCRAM verifier".to_owned(),
        (true, None) => "may log in, no password".to_owned(),
        (false, _) => "may not log in".to_owned(),
    }];
    parts.extend(connection_limit.map(|limit| format!("{limit} connections at most")));
    if !member_of.is_empty() {
        parts.push(format!("member of {}", joined(member_of.iter())));
    }
    parts.extend(grants.iter().map(|(glob, privileges)| format!("{} on {glob}", of_privileges(privileges))));
    parts.join("; ")
}

fn of_privileges(privileges: &BTreeSet<Privilege>) -> String {
    if privileges.is_empty() { "nothing".to_owned() } else { joined(privileges.iter().map(|p| p.as_sql())) }
}

/// Describes the changes of an existing role in one line.
pub(super) fn of_difference(difference: &Difference, sets_password: bool) -> String {
    let Difference { create: _, attributes, leaves, joins, connect, deltas } = difference;
    let mut parts: Vec<String> = Vec::new();
    parts.extend(sets_password.then(|| "sets the password".to_owned()));
    parts.extend(attributes.iter().map(|(name, _, after)| format!("{name} {after}")));
    let left = leaves.iter().map(|(parent, _)| parent).filter(|parent| !joins.contains(parent));
    parts.extend(left.map(|parent| format!("leaves {parent}")));
    let renewed = |parent: &String| leaves.iter().any(|(left, _)| left == parent);
    parts.extend(joins.iter().map(|parent| {
        let verb = if renewed(parent) { "renews the membership in" } else { "joins" };
        format!("{verb} {parent}")
    }));
    parts.extend(connect.then(|| "may connect".to_owned()));
    for ((verb, kind, privileges), objects) in grouped(deltas) {
        let verb = match verb {
            Verb::Revoke => "revokes",
            Verb::RevokeGrantOption => "no longer passes on",
            Verb::Grant => "grants",
        };
        parts.push(format!("{verb} {} on {}", joined(privileges.iter()), names(kind, &objects)));
    }
    let rest = parts.len().saturating_sub(MOST_PARTS);
    parts.truncate(MOST_PARTS);
    if rest > 0 {
        parts.push(format!("{rest} more"));
    }
    parts.join("; ")
}

/// The difference as removed and added lines.
pub(super) fn diff(difference: &Difference) -> Option<String> {
    let mut lines = Vec::new();
    for (name, before, after) in &difference.attributes {
        lines.extend([format!("-{name}: {before}"), format!("+{name}: {after}")]);
    }
    // A membership with other options, such as ADMIN, is revoked and granted again.
    lines.extend(difference.leaves.iter().map(|(parent, _)| {
        let options = if difference.joins.contains(parent) { ", with other options" } else { "" };
        format!("-member of {parent}{options}")
    }));
    lines.extend(difference.joins.iter().map(|parent| format!("+member of {parent}")));
    let mut groups: BTreeMap<_, Vec<&Object>> = BTreeMap::new();
    for Delta { on, before, after, lost: _, bound: _, gained: _ } in &difference.deltas {
        groups.entry((on.kind(), before, after)).or_default().push(on);
    }
    for ((kind, before, after), objects) in groups {
        let names = names(kind, &objects);
        for (sign, held) in [('-', before), ('+', after)] {
            if !held.is_empty() {
                lines.push(format!("{sign}{names}: {}", joined(held.iter())));
            }
        }
    }
    // Newlines in names would break the format.
    let lines: Vec<_> = lines.iter().map(|line| one_line(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The digest of the facts that a plan depends on: that the role is missing, and what is revoked. What is
/// granted is left out, because it depends on the tables that the same plan creates.
pub(super) fn seen_of(create: bool, diff: Option<&str>) -> Digest {
    let taken: Vec<&str> = diff.unwrap_or_default().lines().filter(|line| !line.starts_with('+')).collect();
    Digest::of_json(&(create, taken))
}

pub(super) fn object(object: &Object) -> String {
    names(object.kind(), &[object])
}

fn names(kind: ObjectKind, objects: &[&Object]) -> String {
    let (one, many) = match kind {
        ObjectKind::Database => ("database ", "databases "),
        ObjectKind::Schema => ("schema ", "schemas "),
        ObjectKind::Table => ("", "tables "),
        ObjectKind::Sequence => ("sequence ", "sequences "),
        ObjectKind::FutureTables => ("future tables in ", "future tables in "),
        ObjectKind::FutureSequences => ("future sequences in ", "future sequences in "),
        ObjectKind::FutureSchemas => ("future schemas in ", "future schemas in "),
    };
    let shown = joined(objects.iter().take(MOST_NAMES).map(|object| name(object)));
    match objects.len() {
        1 => format!("{one}{shown}"),
        count if count <= MOST_NAMES => format!("{many}{shown}"),
        count => format!("{count} {many}({shown}, …)"),
    }
}

/// The name of an object as in the spec.
pub(super) fn name(object: &Object) -> String {
    match object {
        Object::FutureTables(schema) | Object::FutureSequences(schema) if schema.is_empty() => {
            "every schema".to_owned()
        }
        Object::FutureSchemas => "this database".to_owned(),
        Object::Database(schema)
        | Object::Schema(schema)
        | Object::FutureTables(schema)
        | Object::FutureSequences(schema) => schema.clone(),
        Object::Table(schema, name) | Object::Sequence(schema, name) => {
            let schema = Some(schema.clone()).filter(|schema| schema != "public");
            TableName { schema, name: name.clone() }.to_string()
        }
    }
}

fn joined(texts: impl Iterator<Item = impl AsRef<str>>) -> String {
    texts.map(|text| text.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
