//! Compares declared accounts with the existing ones. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::apply::{Task, Together, UserChange};
use super::conflict::conflicts;
use super::refusal::{Refusal, refusal, shape_and_row};
use super::{address, declared, desired_columns, stored_fingerprint};
use crate::address::{Address, Kind};
use crate::catalog::{Table, TableName};
use crate::change::{Action, Diff, Fault, Held, Planned, Risk, Risks};
use crate::digest::{Digest, Fingerprint};
use crate::journal::Inventory;
use crate::journal::password_version::{Passwords, UNNAMED_VERSION, Versioned, note_uncompared};
use crate::migrations::Upcoming;
use crate::rows::diff::{cannot_be_checked, renamed_message};
use crate::rows::sample::shown_value;
use crate::rows::{Change, Desired, Lacking, Observed, missing_message, not_given};
use crate::stack::{self, Cell, User};

enum AccountAction {
    Same,
    Unobserved,
    Create,
    /// The columns to update, and whether the password is set.
    Update {
        differs: Vec<String>,
        version: Versioned,
    },
}

/// Plans the accounts, and lists those that this tool created and the spec no longer declares.
pub(crate) fn diff(
    desired: &Desired,
    observed: Observed<'_>,
    inventory: &Inventory,
    passwords: &Passwords,
    upcoming: &Upcoming<'_>,
) -> Diff<Change> {
    let pending = upcoming.last;
    let mut diff = Diff {
        unmanaged: unmanaged(desired, observed, inventory),
        faults: conflicts(desired, observed),
        ..Diff::default()
    };
    let Some(accounts) = desired.accounts.as_ref().filter(|_| !desired.users.is_empty()) else { return diff };
    let name = TableName::parse(&accounts.table);
    if let Some(rename) = upcoming.renamed_away(&name) {
        let (message, help) = renamed_message(rename, &name);
        let first = desired.users.keys().next().map_or("", String::as_str);
        let at = Some(accounts.at.clone());
        diff.faults.push(Fault { address: address(first), message, help: Some(help), at });
        return diff;
    }
    let table = match (find(accounts, &name, desired, observed), pending) {
        (Ok(table), _) => Some(table),
        (Err(Lacking::Table), Some(_)) if !upcoming.is_renamed_to(&name) => None,
        (Err(Lacking::Table | Lacking::Column(_)), Some(pending)) => {
            let reason = format!("known after {pending}");
            let held = |name: &String| Held { address: address(name), reason: reason.clone() };
            diff.deferred.extend(desired.users.keys().map(held));
            return diff;
        }
        (Err(lacking), None) => {
            // A wrong column mapping is reported once, not for each account.
            let (message, help) = missing_message(&lacking, &name, observed.schema);
            let first = desired.users.keys().next().map_or("", String::as_str);
            diff.faults.push(Fault { address: address(first), message, help, at: Some(accounts.at.clone()) });
            return diff;
        }
    };
    let clashes = observed.accounts.into_iter().flat_map(|seen| &seen.clashes);
    let mut clashes = clashes
        .filter(|clash| desired.users.contains_key(&clash.one) && desired.users.contains_key(&clash.other));
    if let Some(clash) = clashes.next().filter(|_| !upcoming.may_change(&name)) {
        let at = |username: &str| desired.users.get(username).map(|user| user.at.clone());
        diff.faults.push(Fault {
            address: address(&clash.other),
            message: clash.message(at),
            help: Some("keep one of them".to_owned()),
            at: at(&clash.other),
        });
        return diff;
    }
    let declared = Arc::new(Together::new(declared(accounts, &desired.users)));
    // A seed or a migration may change the stored account in the same run.
    let is_only_ours =
        !upcoming.may_change(&name) && !desired.sets.iter().any(|set| set.on && set.table == name);
    let taken = observed.accounts.filter(|_| is_only_ours).map(|seen| &seen.taken);
    let mut kept = BTreeSet::new();
    for (username, user) in &desired.users {
        let columns = desired_columns(accounts, user);
        let verdict = match table {
            None => AccountAction::Create,
            Some(table) => {
                let account = (&address(username), username.as_str());
                let version = passwords.asked(user.password_version, account, inventory);
                compare(username, version, &columns, table, (accounts, &name), observed)
            }
        };
        let is_kept = match &verdict {
            AccountAction::Same => true,
            AccountAction::Update { version, .. } => !version.sets_password(),
            AccountAction::Create | AccountAction::Unobserved => false,
        };
        if is_kept && !passwords.completed.contains(&address(username)) {
            kept.insert(address(username));
        }
        let lacking = match (&verdict, table) {
            (AccountAction::Create, Some(table)) if !upcoming.may_change(&name) => {
                lacking_values(accounts, &columns, table)
            }
            _ => Vec::new(),
        };
        let row = shape_and_row(accounts, &name, username, &columns, (observed.schema, observed.dialect));
        let row =
            row.map(|(shape, row)| (shape.with_spelling(observed.accounts.map(|seen| &seen.spelling)), row));
        let remark =
            row.as_ref().and_then(|(shape, row)| shape.stored_as_text(row).or_else(|| shape.rounded(row)));
        diff.notes.extend(remark.map(|remark| format!("{} ({}): {remark}", address(username), user.at)));
        let writes = matches!(verdict, AccountAction::Create | AccountAction::Update { .. });
        let refused = row.filter(|_| writes).and_then(|(shape, row)| refusal(accounts, &shape, &row));
        let unchecked = match refused {
            Some(refusal) if upcoming.may_change_column(&name, refusal.column) => {
                Some(refusal.message).zip(upcoming.last_of_all)
            }
            Some(Refusal { message, help, .. }) => {
                diff.faults.push(Fault {
                    address: address(username),
                    message,
                    help,
                    at: Some(user.at.clone()),
                });
                continue;
            }
            None => None,
        };
        if let (AccountAction::Create, Some(reason)) = (&verdict, taken.and_then(|taken| taken.get(username)))
        {
            diff.faults.push(Fault {
                address: address(username),
                message: format!("{name} has this account under another spelling of {username:?}: {reason}"),
                help: Some("declare the account with the name that is stored".to_owned()),
                at: Some(user.at.clone()),
            });
            continue;
        }
        match verdict {
            AccountAction::Same => match upcoming.last_of_all.filter(|_| upcoming.may_change_rows(&name)) {
                Some(last) => {
                    let reason =
                        format!("compared again after {last}, as migrations may change rows of {name}");
                    diff.deferred.push(Held { address: address(username), reason });
                }
                None => diff.unchanged += 1,
            },
            AccountAction::Unobserved => {
                diff.deferred.push(Held { address: address(username), reason: "not observed".to_owned() });
            }
            AccountAction::Create if !lacking.is_empty() => diff.faults.push(Fault {
                address: address(username),
                message: format!(
                    "{name} needs a value for {}, which the account does not have",
                    lacking.join(", ")
                ),
                help: Some("give it under the account's `columns`, or give the column a default".to_owned()),
                at: Some(user.at.clone()),
            }),
            AccountAction::Create | AccountAction::Update { .. } => {
                let mut change = planned(accounts, username, user, columns, verdict, pending, &declared);
                if let Some((message, last)) = unchecked {
                    change.risks = Risk::Unvalidated.into();
                    change.summary = format!("{}\n{}", change.summary, cannot_be_checked(&message, last));
                }
                diff.changes.push(change);
            }
        }
    }
    diff.notes.extend(note_uncompared(&kept));
    diff
}

/// Resolves the table and every column that the accounts use.
fn find<'a>(
    accounts: &stack::Accounts,
    name: &TableName,
    desired: &Desired,
    observed: Observed<'a>,
) -> Result<&'a Table, Lacking> {
    let table = observed.schema.tables.get(name).ok_or(Lacking::Table)?;
    let mut used: BTreeSet<String> = [&accounts.username, &accounts.password].into_iter().cloned().collect();
    used.extend(
        desired.users.values().flat_map(|user| desired_columns(accounts, user)).map(|(column, _)| column),
    );
    match used.into_iter().find(|column| table.column(column).is_none()) {
        Some(column) => Err(Lacking::Column(column)),
        None => Ok(table),
    }
}

fn lacking_values(accounts: &stack::Accounts, columns: &[(String, Cell)], table: &Table) -> Vec<String> {
    let mut given: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
    given.extend([accounts.username.as_str(), accounts.password.as_str()]);
    not_given(table, &given)
}

fn compare(
    username: &str,
    version: Versioned,
    columns: &[(String, Cell)],
    table: &Table,
    (accounts, name): (&stack::Accounts, &TableName),
    observed: Observed<'_>,
) -> AccountAction {
    let seen = observed.accounts.filter(|seen| seen.table == *name && seen.username == accounts.username);
    let (prints, spelling) = match seen.and_then(|seen| Some((seen.users.get(username)?, &seen.spelling))) {
        None => return AccountAction::Unobserved,
        Some((None, _)) => return AccountAction::Create,
        Some((Some(prints), spelling)) => (prints, spelling),
    };
    let mut differs = Vec::new();
    for (column, cell) in columns {
        let Some((print, column)) = prints.get(column).zip(table.column(column)) else {
            return AccountAction::Unobserved;
        };
        if *print != stored_fingerprint(observed.dialect, column, cell.text(), spelling) {
            differs.push(column.name.clone());
        }
    }
    if differs.is_empty() && version == Versioned::Settled {
        AccountAction::Same
    } else {
        AccountAction::Update { differs, version }
    }
}

fn planned(
    accounts: &stack::Accounts,
    username: &str,
    user: &User,
    columns: Vec<(String, Cell)>,
    verdict: AccountAction,
    pending: Option<&Address>,
    declared: &Arc<Together>,
) -> Planned<Change> {
    let mut needs = vec![Kind::Database.alone()];
    needs.extend(pending.cloned());
    let version = user.password_version.unwrap_or(UNNAMED_VERSION);
    let mut after: Map<String, Value> = columns
        .iter()
        .map(|(column, cell)| (column.clone(), Value::from(shown_value(column, cell.text()))))
        .collect();
    if columns.iter().any(|(column, cell)| shown_value(column, cell.text()) != cell.text()) {
        // A saved plan is stale when a value changes that it does not show.
        let values: Vec<_> = columns.iter().map(|(column, cell)| (column, cell.text())).collect();
        after.insert("digest".to_owned(), Value::from(Digest::of_json(&values).to_string()));
    }
    after.extend(user.password_version.map(|version| ("password_version".to_owned(), Value::from(version))));
    let hash = match user.hash {
        stack::PasswordHash::Argon2id => "argon2id",
        stack::PasswordHash::Bcrypt => "bcrypt",
    };
    let (action, reason, summary, before, differs, task) = match verdict {
        AccountAction::Update { differs, version: versioned } => {
            let plural = if differs.len() == 1 { "s" } else { "" };
            let differ = (!differs.is_empty()).then(|| format!("{} differ{plural}", differs.join(", ")));
            let reasons: Vec<String> =
                differ.into_iter().chain(versioned.reason().map(str::to_owned)).collect();
            let summary = match versioned {
                Versioned::Unrecorded if differs.is_empty() => {
                    format!(
                        "records password_version {version} as applied; raise it to set the password again"
                    )
                }
                Versioned::Named | Versioned::Raised => {
                    format!("account in {}: password set again", accounts.table)
                }
                Versioned::Unrecorded | Versioned::Settled => {
                    format!("account in {}: password untouched", accounts.table)
                }
            };
            let before = Some(json!({ "differs": differs }));
            let password = versioned.sets_password().then(|| (user.password.clone(), user.hash));
            (
                Action::Update,
                reasons.join("; "),
                summary,
                before,
                differs.clone(),
                Task::Update { differs, password },
            )
        }
        AccountAction::Create | AccountAction::Same | AccountAction::Unobserved => (
            Action::Create,
            "missing".to_owned(),
            format!("account in {}, password hashed with {hash}", accounts.table),
            None,
            Vec::new(),
            Task::Create { password: user.password.clone(), hash: user.hash },
        ),
    };
    Planned {
        address: address(username),
        action,
        risks: Risks::SAFE,
        reason,
        needs,
        summary,
        before,
        after: Some(Value::Object(after)),
        diff: None,
        seen: Digest::of_json(&(action, differs)),
        guard: None,
        at: Some(user.at.clone()),
        change: Change::User(Box::new(UserChange {
            address: address(username),
            accounts: accounts.clone(),
            username: username.to_owned(),
            declared: Arc::clone(declared),
            columns,
            version,
            records: user.password_version.is_some(),
            task,
        })),
    }
}

/// Existing accounts that this tool created and the spec no longer declares.
fn unmanaged(desired: &Desired, observed: Observed<'_>, inventory: &Inventory) -> Vec<Address> {
    let seen: Option<&BTreeMap<String, Option<BTreeMap<String, Fingerprint>>>> =
        observed.accounts.map(|accounts| &accounts.users);
    let known = inventory.0.keys().filter(|address| {
        address.name_of(Kind::User).is_some_and(|name| {
            let there = seen.and_then(|seen| seen.get(name)).is_some_and(Option::is_some);
            there && !desired.users.contains_key(name)
        })
    });
    known.cloned().collect()
}
