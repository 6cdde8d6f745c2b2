//! Revokes default privileges beyond the spec before the migrations run. Otherwise the objects that these
//! create would be accessible until the step for the role, or for good if a migration fails. Pure.

use std::collections::BTreeMap;

use serde_json::json;

use super::apply::{Extent, RoleChange};
use super::rights::Difference;
use super::text;
use crate::address::Kind;
use crate::change::{Action, Planned, Risks};
use crate::journal::password_version::UNNAMED_VERSION;
use crate::migrations;
use crate::stack::Role;

/// The step, if there is something to revoke. It depends neither on migrations nor on the
/// dependencies of the role.
pub(super) fn planned(name: &str, role: &Role, narrowing: &Difference) -> Option<Planned<RoleChange>> {
    if narrowing.is_empty() {
        return None;
    }
    let address = Kind::Defaults.named(name);
    let held = |deltas: BTreeMap<String, _>| Some(json!(deltas));
    let deltas = || narrowing.deltas.iter();
    let diff = text::diff(narrowing);
    Some(Planned {
        address: address.clone(),
        action: Action::Update,
        risks: Risks::SAFE,
        needs: vec![Kind::Database.alone()],
        summary: text::of_difference(narrowing, false),
        before: held(deltas().map(|delta| (text::object(&delta.on), &delta.before)).collect()),
        after: held(deltas().map(|delta| (text::object(&delta.on), &delta.after)).collect()),
        seen: text::seen_of(false, diff.as_deref()),
        reason: "default privileges give more than the spec".to_owned(),
        diff,
        guard: None,
        at: Some(role.at.clone()),
        change: RoleChange {
            address,
            name: name.to_owned(),
            role: role.clone(),
            sets_password: false,
            version: UNNAMED_VERSION,
            extent: Extent::Defaults,
        },
    })
}

/// Makes the first migration depend on these steps, and each step on the previous one.
pub(crate) fn come_first(roles: &[Planned<RoleChange>], migrations: &mut [Planned<migrations::Change>]) {
    if let Some(first) = migrations.first_mut() {
        let steps = roles.iter().map(|planned| &planned.address);
        first.needs.extend(steps.filter(|address| address.kind() == Kind::Defaults).cloned());
    }
}
