//! Detects seed rows that contradict a declared account. Pure.

use super::{address, declared_fingerprint, desired_columns};
use crate::catalog::{Table, TableName, ValueKind, canonical};
use crate::change::Fault;
use crate::rows::{Desired, Observed};
use crate::stack::SeedMode;

/// A fault for each seed row that has other values than the account of the same name, where both would be
/// written. A seed in `insert` mode with the username as its key never changes an existing account.
pub(super) fn conflicts(desired: &Desired, observed: Observed<'_>) -> Vec<Fault> {
    let Some(accounts) = &desired.accounts else { return Vec::new() };
    let name = TableName::parse(&accounts.table);
    let table = observed.schema.tables.get(&name);
    let mut faults = Vec::new();
    for set in desired.sets.iter().filter(|set| set.on && set.table == name) {
        let at = set.columns.iter().position(|asked| asked.name == accounts.username);
        let declared = set.rows().filter_map(|row| {
            let (username, user) = desired.users.get_key_value(row.get(at?).copied().flatten()?)?;
            Some((row, username, user))
        });
        for (row, username, user) in declared {
            let account = desired_columns(accounts, user);
            let is_other = |name: &str, value: Option<&str>| {
                let is_key = set.key.iter().any(|key| key == name);
                let is_written = is_key || set.mode != SeedMode::Insert;
                let differs = match account.iter().find(|(column, _)| column == name) {
                    Some((_, said)) => !is_equal(observed, table, name, said.text(), value),
                    None => is_key || name == accounts.password,
                };
                name != accounts.username && is_written && differs
            };
            let values = set.columns.iter().zip(row).map(|(asked, value)| (asked.name.as_str(), value));
            let others: Vec<&str> =
                values.filter(|(name, value)| is_other(name, *value)).map(|(name, _)| name).collect();
            if !others.is_empty() {
                let (others, user) = (others.join(", "), address(username));
                faults.push(Fault {
                    address: set.address.clone(),
                    message: format!("its row of {username} gives {others}, which is up to {user}"),
                    help: Some(format!(
                        "leave it out of the seed; with `key: [{}]` and `mode: insert`, a seed leaves an \
                         account that is there alone",
                        accounts.username
                    )),
                    at: Some(set.at.clone()),
                });
            }
        }
    }
    faults
}

/// Whether two texts are the same value. The types of a table that does not exist yet are unknown, except
/// that accounts have a boolean.
fn is_equal(
    observed: Observed<'_>,
    table: Option<&Table>,
    column: &str,
    one: Option<&str>,
    other: Option<&str>,
) -> bool {
    let column = table.and_then(|table| table.column(column));
    let truth = |text: &str| canonical(ValueKind::Boolean, text);
    column.map_or_else(
        || one.map(truth) == other.map(truth),
        |column| {
            declared_fingerprint(observed.dialect, column, one)
                == declared_fingerprint(observed.dialect, column, other)
        },
    )
}
