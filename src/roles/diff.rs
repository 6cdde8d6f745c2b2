//! Compares the roles of the spec with those of the server. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::apply::{Extent, RoleChange};
use super::defaults;
use super::globs::Globs;
use super::observe::Roles;
use super::rights::{Difference, OWNER, difference};
use super::scram::PasswordState;
use super::waiting::Waiting;
use super::{Desired, Observed, address, text};
use crate::address::{Address, Kind};
use crate::change::{Action, Diff, Fault, Held, Planned, Risks};
use crate::journal::Inventory;
use crate::journal::password_version::{Passwords, UNNAMED_VERSION, Versioned, note_uncompared};
use crate::migrations;
use crate::stack::{Privilege, Role};
use crate::suggest;

/// Plans the roles, and lists those that this tool created and the spec no longer declares.
///
/// A role depends on the roles that it is a member of. It depends on the last migration if it is granted
/// something or a migration may affect it. The walk ensures that no two roles are changed at the same time.
pub(crate) fn diff(
    desired: &Desired,
    observed: Observed<'_>,
    (inventory, passwords): (&Inventory, &Passwords),
    (migrations, extensions): (&[Planned<migrations::Change>], &[Address]),
) -> Diff<RoleChange> {
    let mut diff = Diff::default();
    let none = Roles::default();
    let seen = match (observed.roles, observed.exists) {
        (Some(seen), _) => seen,
        (None, false) => &none,
        (None, true) => {
            let held = |name: &String| Held { address: address(name), reason: "not observed".to_owned() };
            diff.deferred.extend(desired.roles.keys().map(held));
            return diff;
        }
    };
    diff.unmanaged = unmanaged(desired, seen, inventory);
    if desired.roles.is_empty() {
        return diff;
    }
    let waiting = Waiting::of(migrations, extensions);
    let mut kept = BTreeSet::new();
    for (name, role) in in_order(&desired.roles) {
        let faults = faults(name, role, desired, seen, observed, &waiting);
        if !faults.is_empty() {
            diff.faults.extend(faults);
            continue;
        }
        diff.notes.extend(notes(name, seen));
        let mut difference = difference(name, role, seen);
        if waiting.last.is_some() {
            let (narrowing, rest) = difference.apart();
            diff.changes.extend(defaults::planned(name, role, &narrowing));
            difference = rest;
        }
        let needs_look = waiting.concern(role, seen, observed);
        let version = passwords.asked(role.password_version, (&address(name), name), inventory);
        let found = Found::new(name, role, difference, seen, version, needs_look);
        if found.keeps_unknown_password(name, role, seen) && !passwords.completed.contains(&address(name)) {
            kept.insert(address(name));
        }
        if found.is_nothing() {
            diff.unchanged += 1;
            continue;
        }
        diff.changes.push(found.planned(name, role, seen, waiting.needs(name, role)));
    }
    diff.notes.extend(note_uncompared(&kept));
    let open = seen.schemas.iter().filter(|(_, schema)| schema.open);
    diff.notes.extend(open.map(|(name, _)| {
        format!("anybody may make tables in schema {name}: REVOKE CREATE ON SCHEMA {name} FROM PUBLIC")
    }));
    diff
}

/// Roles before their members. The spec has rejected cycles.
fn in_order(roles: &BTreeMap<String, Role>) -> Vec<(&String, &Role)> {
    let mut done: BTreeSet<&String> = BTreeSet::new();
    let mut order = Vec::with_capacity(roles.len());
    let mut open: Vec<(&String, bool)> = roles.keys().rev().map(|name| (name, false)).collect();
    while let Some((name, parents_done)) = open.pop() {
        let Some(role) = roles.get(name).filter(|_| !done.contains(name)) else { continue };
        if parents_done || role.member_of.is_empty() {
            done.insert(name);
            order.push((name, role));
        } else {
            open.push((name, true));
            open.extend(role.member_of.iter().map(|parent| (parent, false)));
        }
    }
    order
}

/// The comparison of one role.
struct Found {
    difference: Difference,
    sets_password: bool,
    reasons: Vec<&'static str>,
}

impl Found {
    fn new(
        name: &str,
        role: &Role,
        difference: Difference,
        seen: &Roles,
        versioned: Versioned,
        needs_look: bool,
    ) -> Self {
        let differs = match seen.passwords.get(name) {
            Some(PasswordState::Differs) => role.password.is_some(),
            Some(PasswordState::Same | PasswordState::Unknown) | None => false,
        };
        let Difference { create, attributes, leaves, joins, connect, deltas } = &difference;
        let checks = [
            (*create, "missing"),
            (differs && !create, "password differs"),
            (!attributes.is_empty(), "attributes differ"),
            (!(*create || leaves.is_empty() && joins.is_empty()), "membership differs"),
            (!create && (*connect || !deltas.is_empty()), "privileges differ"),
            (!create && needs_look, "migrations are pending"),
        ];
        let version = versioned.reason().filter(|_| !create);
        let reasons = checks.into_iter().filter_map(|(holds, reason)| holds.then_some(reason));
        let reasons = reasons.chain(version).collect();
        Self { difference, sets_password: differs || versioned.sets_password(), reasons }
    }

    /// Whether the role has a password that cannot be compared and is kept.
    fn keeps_unknown_password(&self, name: &str, role: &Role, seen: &Roles) -> bool {
        let is_unknown = seen.passwords.get(name) == Some(&PasswordState::Unknown);
        is_unknown && role.password.is_some() && !self.difference.create && !self.sets_password
    }

    fn is_nothing(&self) -> bool {
        self.reasons.is_empty()
    }

    fn planned(self, name: &str, role: &Role, seen: &Roles, needs: Vec<Address>) -> Planned<RoleChange> {
        let Self { difference, sets_password, reasons } = self;
        let diff = text::diff(&difference);
        let done = text::of_difference(&difference, sets_password);
        let (action, summary) = match (difference.create, done.as_str()) {
            (true, _) => (Action::Create, text::of_role(role)),
            (false, "") if reasons.contains(&"migrations are pending") => {
                (Action::Update, "privileges on what the migrations leave".to_owned())
            }
            (false, "") => (
                Action::Update,
                "records password_version as applied; raise it to set the password again".to_owned(),
            ),
            (false, _) => (Action::Update, done),
        };
        let reason = reasons.join("; ");
        Planned {
            address: address(name),
            action,
            risks: Risks::SAFE,
            needs,
            summary,
            before: before(name, seen),
            after: Some(after(role, difference.create || sets_password)),
            seen: text::seen_of(difference.create, diff.as_deref()),
            reason,
            diff,
            guard: None,
            at: Some(role.at.clone()),
            change: RoleChange {
                address: address(name),
                name: name.to_owned(),
                role: role.clone(),
                sets_password,
                version: role.password_version.unwrap_or(UNNAMED_VERSION),
                extent: Extent::Whole,
            },
        }
    }
}

fn before(name: &str, seen: &Roles) -> Option<Value> {
    let there = seen.roles.get(name)?;
    let limit = u32::try_from(there.connection_limit).ok();
    let member_of: Vec<&String> = there.member_of.keys().collect();
    Some(json!({
        "login": there.login, "inherit": there.inherit, "connection_limit": limit, "member_of": member_of,
    }))
}

fn after(role: &Role, sets_password: bool) -> Value {
    let Role { login, password, password_version, inherit, connection_limit, member_of, grants, at: _ } =
        role;
    let mut after = json!({
        "login": login, "inherit": inherit, "connection_limit": connection_limit, "member_of": member_of,
        "grants": grants,
    });
    if let (Value::Object(after), Some(_)) = (&mut after, password) {
        after.insert("password".to_owned(), json!(if sets_password { "set" } else { "kept" }));
        after.extend(password_version.map(|version| ("password_version".to_owned(), json!(version))));
    }
    after
}

/// Errors of a role that the plan can detect.
fn faults(
    name: &str,
    role: &Role,
    desired: &Desired,
    seen: &Roles,
    observed: Observed<'_>,
    waiting: &Waiting<'_>,
) -> Vec<Fault> {
    let fault = |message: String, help: Option<String>| Fault {
        address: address(name),
        message,
        help,
        at: Some(role.at.clone()),
    };
    if !observed.exists {
        return Vec::new();
    }
    let mut faults = Vec::new();
    if seen.account == name {
        let help = "it makes the tables and may do anything with them: remove it from `roles`".to_owned();
        faults.push(fault("this role is the account of `system.url`".to_owned(), Some(help)));
    }
    let granted: BTreeSet<Privilege> = role.grants.values().flatten().copied().collect();
    for privilege in granted {
        let Some(since) = privilege.since().filter(|since| seen.server / 10_000 < *since) else { continue };
        let help = format!("it came with PostgreSQL {since}: remove it from `grants`, or upgrade the server");
        let server = seen.server / 10_000;
        let word = privilege.as_sql();
        faults.push(fault(format!("PostgreSQL {server} has no privilege {word} to grant"), Some(help)));
    }
    for parent in &role.member_of {
        let is_known = desired.roles.contains_key(parent) || seen.roles.contains_key(parent);
        if !is_known && !waiting.speak_of(parent) {
            let known = desired.roles.keys().chain(seen.roles.keys()).map(String::as_str);
            let help = suggest::meant(parent, known);
            faults.push(fault(format!("there is no role {parent} to be a member of"), help));
        }
    }
    if waiting.last.is_none() {
        for (schema, table, written) in Globs::new(&role.grants).literal() {
            let inside = seen.schemas.get(schema);
            if !inside.is_some_and(|inside| inside.tables.contains_key(table)) {
                let known = inside.into_iter().flat_map(|inside| inside.tables.keys()).map(String::as_str);
                let help = suggest::meant(table, known);
                faults.push(fault(format!("there is no table {written} to grant on"), help));
            }
        }
    }
    faults
}

/// Notes about privileges that grants do not limit.
fn notes(name: &str, seen: &Roles) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(there) = seen.roles.get(name).filter(|there| !there.powers.is_empty()) {
        let powers = there.powers.join(", ");
        let no = there.powers.iter().map(|power| format!("NO{power}")).collect::<Vec<_>>().join(" ");
        notes.push(format!("role {name} has {powers}, whatever is granted: ALTER ROLE {name} {no}"));
    }
    let owns = |rights: &super::observe::Rights| rights.get(name).is_some_and(|held| held.contains(OWNER));
    let tables = seen.schemas.values().flat_map(|schema| schema.tables.values());
    let owned = tables.filter(|table| owns(&table.rights)).count();
    if owned > 0 {
        let tables = if owned == 1 { "a table".to_owned() } else { format!("{owned} tables") };
        notes.push(format!("role {name} owns {tables} and may do anything with what it owns"));
    }
    notes
}

/// Existing roles that this tool created and the spec no longer declares.
fn unmanaged(desired: &Desired, seen: &Roles, inventory: &Inventory) -> Vec<Address> {
    let known = inventory.0.keys().filter(|address| {
        let name = address.name_of(Kind::Role);
        name.is_some_and(|name| seen.roles.contains_key(name) && !desired.roles.contains_key(name))
    });
    known.cloned().collect()
}
