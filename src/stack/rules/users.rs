//! Application accounts: the mapping to a table, and the users. A password is validated if its
//! value is known, and never shown.

use std::collections::BTreeMap;

use super::values::{column, read_each, required, table, visible_key};
use crate::stack::context::Context;
use crate::stack::error::{Code, Reported, SpecError};
use crate::stack::raw::{AccountColumns, Accounts as RawAccounts, System as Raw, User as RawUser};
use crate::stack::typed::field::{Field, Key, OrFalse, Value};
use crate::stack::yaml::tree::Span;
use crate::stack::{Accounts, Cell, PasswordHash, Secret, User};

const MIN_CHARACTERS: usize = 12;
/// bcrypt ignores all bytes after these.
const BCRYPT_BYTES: usize = 72;

/// Returns the mapping of accounts to a table; `None` for `false`.
pub(super) fn accounts(cx: &Context<'_>, raw: &Raw, system_at: Span) -> Result<Option<Accounts>, Reported> {
    let otherwise = raw.users.at().unwrap_or(system_at);
    let spared = RawAccounts::default();
    let spared_columns = AccountColumns::default();
    let (written, at) = match raw.accounts.field() {
        None => (&spared, otherwise),
        Some(Field { at, value: Some(OrFalse::Value(written)) }) => (written, *at),
        Some(Field { value: None, .. }) => return Err(Reported),
        Some(Field { at, value: Some(OrFalse::Off) }) => {
            if let Some((key, _)) = raw.users.entries().first() {
                let message = "`accounts` is false, and there are users";
                let help = format!("remove `accounts: false`, or the user `{}` and all others", key.name);
                cx.fail(Code::BadValue, *at, message, "no table for them", help);
            }
            return Ok(None);
        }
    };
    let columns = written.columns.value().unwrap_or(&spared_columns);
    let AccountColumns { username, email, password, role, active } = columns;
    Ok(Some(Accounts {
        table: table(cx, &written.table, "users"),
        username: username.or("username".to_owned()),
        email: email.or("email".to_owned()),
        password: password.or("password_hash".to_owned()),
        role: column(role, "role"),
        active: column(active, "is_active"),
        at: cx.at(at),
    }))
}

/// Returns all users; `None` if one is invalid.
pub(super) fn users(
    cx: &Context<'_>,
    raw: &Raw,
    accounts: Option<&Accounts>,
) -> Option<BTreeMap<String, User>> {
    read_each(raw.users.entries(), |key, field| {
        visible_key(cx, "user", key);
        user(cx, key, field.value.as_ref()?, accounts)
    })
}

fn user(cx: &Context<'_>, key: &Key, raw: &RawUser, accounts: Option<&Accounts>) -> Option<User> {
    let RawUser { email, role, active, password, hash, password_version, columns, protect: _ } = raw;
    if let Some(accounts) = accounts {
        further_columns_are_further(cx, columns.entries(), accounts);
    }
    let hash = hash.or(PasswordHash::Argon2id);
    let (password, at) = required(cx, password, "password", key.at, "such as `password: ${ADMIN_PASSWORD}`")?;
    let password = cx.secret(at, password, true)?;
    check_password(cx, &password, at);
    if hash == PasswordHash::Bcrypt {
        check_bcrypt(cx, &password, at);
    }
    let columns = columns.entries().iter().map(|(key, field)| {
        let cell = field.value.as_ref().map_or(Cell::Null, |value| value.0.clone());
        (key.name.clone(), cell)
    });
    Some(User {
        email: email.value().cloned(),
        role: role.value().cloned(),
        active: active.or(true),
        password,
        hash,
        password_version: password_version.value().copied(),
        columns: columns.collect(),
        at: cx.at(key.at),
    })
}

/// Rejects columns that the mapping already writes.
fn further_columns_are_further(cx: &Context<'_>, columns: &[(Key, Field<Value>)], accounts: &Accounts) {
    let Accounts { table: _, username, email, password, role, active, at } = accounts;
    let mapped = [
        ("the user's name", Some(username)),
        ("`email`", Some(email)),
        ("`password`", Some(password)),
        ("`role`", role.as_ref()),
        ("`active`", active.as_ref()),
    ];
    for (key, _) in columns {
        if let Some((what, _)) = mapped.iter().find(|(_, column)| *column == Some(&key.name)) {
            let message = format!("the column `{}` holds {what} already", key.name);
            let error = SpecError::new(Code::Same, message).at(cx.at(key.at), "written twice");
            cx.report(
                error
                    .and(at.clone(), "mapped for here")
                    .help(format!("write it as {what}, outside of `columns`")),
            );
        }
    }
}

/// Reports a known password that is too short.
pub(super) fn check_password(cx: &Context<'_>, password: &Secret, at: Span) {
    if password.expose().is_ok_and(|value| value.chars().count() < MIN_CHARACTERS) {
        let message = format!("a password of fewer than {MIN_CHARACTERS} characters");
        cx.fail(Code::BadPassword, at, message, "too short", "choose a longer one");
    }
}

fn check_bcrypt(cx: &Context<'_>, password: &Secret, at: Span) {
    if password.expose().is_ok_and(|value| value.len() > BCRYPT_BYTES) {
        let message =
            format!("a password of more than {BCRYPT_BYTES} bytes, of which bcrypt ignores the rest");
        let help = "choose a shorter one, or `hash: argon2id`";
        cx.fail(Code::BadPassword, at, message, "too long for bcrypt", help);
    }
}
