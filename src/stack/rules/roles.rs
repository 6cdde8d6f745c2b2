//! PostgreSQL roles: login, privileges and memberships.

use std::collections::{BTreeMap, BTreeSet};

use super::users::check_password;
use super::values::{distinct, is_visible, name_of};
use crate::stack::context::Context;
use crate::stack::error::{Code, SpecError};
use crate::stack::raw::{Role as Raw, System as RawSystem};
use crate::stack::typed::field::{Field, Key};
use crate::stack::yaml::tree::Span;
use crate::stack::{Endpoint, Privilege, Role, SystemUrl};

/// PostgreSQL truncates longer names.
const NAME_BYTES: usize = 63;
/// PostgreSQL stores the limit as a signed 32-bit number.
const MOST_CONNECTIONS: u32 = i32::MAX as u32;

/// Returns all roles; `None` if one is invalid.
pub(super) fn roles(
    cx: &Context<'_>,
    raw: &RawSystem,
    endpoint: Option<&Endpoint<SystemUrl>>,
) -> Option<BTreeMap<String, Role>> {
    let mut is_valid = true;
    let mut roles = BTreeMap::new();
    let account = endpoint.and_then(account);
    for (key, field) in raw.roles.entries() {
        check_name(cx, key, account.as_deref());
        match field.value.as_ref().and_then(|raw| role(cx, key, raw)) {
            Some(role) => {
                roles.insert(key.name.clone(), role);
            }
            None => is_valid = false,
        }
    }
    no_circles(cx, raw, &roles);
    is_valid.then_some(roles)
}

/// Returns the role that the address logs in as.
fn account(endpoint: &Endpoint<SystemUrl>) -> Option<String> {
    match &endpoint.to {
        Ok(SystemUrl::Postgres(url)) => url.user(),
        Ok(SystemUrl::Sqlite(_)) | Err(_) => None,
    }
}

fn check_name(cx: &Context<'_>, key: &Key, account: Option<&str>) {
    let Key { name, at } = key;
    let good = |name: &str| {
        let reserved = name.starts_with("pg_") || matches!(name, "public" | "none");
        is_visible(name) && name.len() <= NAME_BYTES && !reserved
    };
    let pattern =
        "any text without blanks, of 63 bytes at most; `pg_…`, `public` and `none` are the server's own";
    if name_of(cx, "role", name, *at, good, pattern) && account == Some(name) {
        let help = "it makes the tables and may do anything with them: remove it here, or log in as another";
        cx.fail(Code::Same, *at, "this role is the account of `system.url`", "manages itself", help);
    }
}

fn role(cx: &Context<'_>, key: &Key, raw: &Raw) -> Option<Role> {
    let Raw { login, password, password_version, inherit, connection_limit, member_of, grants, protect: _ } =
        raw;
    let login = login.or(false);
    let password = match password.field() {
        None => None,
        Some(Field { at, value }) => {
            let password = cx.secret(*at, value.as_ref()?, true)?;
            check_password(cx, &password, *at);
            if !login {
                let message = format!("the role `{}` has a password and may not log in", key.name);
                cx.warn(*at, message, "add `login: true`, or remove the password");
            }
            Some(password)
        }
    };
    if let (Some(at), None) = (password_version.at(), &password) {
        let help = "add `password:`, or remove it";
        cx.fail(Code::MissingKey, at, "`password_version` without a password", "of no password", help);
    }
    if let Some((limit, at)) = connection_limit.located()
        && *limit > MOST_CONNECTIONS
    {
        let help = "remove it for no limit";
        cx.fail(Code::BadValue, at, "more connections than PostgreSQL can count", "too large", help);
    }
    let member_of = distinct(cx, member_of, "the role");
    Some(Role {
        login,
        password,
        password_version: password_version.value().copied(),
        inherit: inherit.or(true),
        connection_limit: connection_limit.value().copied(),
        member_of: member_of.into_iter().collect(),
        grants: self::grants(cx, grants.entries())?,
        at: cx.at(key.at),
    })
}

fn grants(
    cx: &Context<'_>,
    entries: &[(Key, Field<Vec<Field<Privilege>>>)],
) -> Option<BTreeMap<String, BTreeSet<Privilege>>> {
    let mut grants = BTreeMap::new();
    for (key, field) in entries {
        let parts =
            key.name.split_once('.').map_or(vec![key.name.as_str()], |(schema, name)| vec![schema, name]);
        let is_glob = |part: &&str| !part.is_empty() && globset::Glob::new(part).is_ok();
        if !parts.iter().all(is_glob) {
            let help = "accepted are `*` for every table, `table`, `report_*`, `schema.table` and `schema.*`";
            cx.fail(Code::BadName, key.at, "not a glob of tables", "this pattern", help);
        }
        let mut seen: BTreeMap<Privilege, Span> = BTreeMap::new();
        for privilege in field.value.as_ref()? {
            let Some(what) = privilege.value else { continue };
            if let Some(first) = seen.insert(what, privilege.at) {
                let message = format!("the privilege `{}` stands twice", what.as_sql().to_lowercase());
                let error = SpecError::new(Code::Same, message).at(cx.at(privilege.at), "again here");
                cx.report(error.and(cx.at(first), "first here").help("remove one of them"));
            }
        }
        grants.insert(key.name.clone(), seen.into_keys().collect());
    }
    Some(grants)
}

/// PostgreSQL rejects a role that is directly or indirectly its own member.
fn no_circles(cx: &Context<'_>, raw: &RawSystem, roles: &BTreeMap<String, Role>) {
    let of_spec = |name: &str| roles.get(name).into_iter().flat_map(|role| &role.member_of);
    for (key, field) in raw.roles.entries() {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = of_spec(&key.name).collect();
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(of_spec(name));
            }
        }
        if reached.contains(&key.name) {
            let at = field.value.as_ref().map_or(key.at, |raw| raw.member_of.at().unwrap_or(key.at));
            let message = format!("the role `{}` is a member of itself", key.name);
            cx.fail(Code::Cycle, at, message, "leads back to it", "remove one membership of the circle");
        }
    }
}
