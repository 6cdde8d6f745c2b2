//! What is wanted against what is there, concern by concern. Pure.

use std::collections::BTreeSet;

use super::order::TableOrder;
use super::upcoming::Upcoming;
use super::{Change, Desired, Observed, Presence, database, migrations, roles, rows, users};
use crate::address::{Address, Kind};
use crate::catalog::{Snapshot, Table, TableKind, TableName};
use crate::change::Diff;
use crate::journal::Inventory;

/// Every change of the system database, and what is to be said of it.
pub fn diff(desired: &Desired, observed: &Observed, inventory: &Inventory) -> Diff<Change> {
    let mut diff = database::diff(desired, observed);
    if observed.presence == Presence::Missing && !desired.create_database {
        return diff;
    }
    let migrations = migrations::diff(desired, observed, inventory);
    // What is applied stands in the schema.
    let references = if migrations.changes.is_empty() { &BTreeSet::new() } else { desired.references() };
    let order = TableOrder::of(&observed.schema, references);
    diff.merge(migrations);
    let repeatables = migrations::repeatables(desired, observed, inventory, &diff.changes);
    let last = repeatables.changes.last().map(|planned| planned.address.clone());
    diff.merge(repeatables);
    let upcoming = Upcoming::of(&diff.changes);
    let mut written = users::diff(desired, observed, inventory, &upcoming);
    written.merge(rows::diff(desired, observed, inventory, &order, &upcoming));
    if let Some(last) = last {
        // Rows come last: a view or a trigger may be what they are written through.
        written.changes.iter_mut().for_each(|planned| planned.needs.push(last.clone()));
    }
    // Views are granted like tables, so they are there first.
    let roles = roles::diff(desired, observed, inventory, &diff.changes);
    roles::come_first(&roles.changes, &mut diff.changes);
    diff.merge(roles);
    diff.merge(written);
    order.connect(&mut diff.changes);
    diff.unmanaged.extend(unmanaged_tables(desired, observed));
    diff.unmanaged.sort();
    diff
}

/// Tables that nobody declared. Without migrations nobody declares any, and none is listed.
fn unmanaged_tables(desired: &Desired, observed: &Observed) -> Vec<Address> {
    if desired.migrations.is_empty() {
        return Vec::new();
    }
    let tables = observed.schema.tables.iter();
    let undeclared = tables.filter(|(name, table)| !is_managed(desired, name, table));
    undeclared.map(|(name, _)| Kind::Table.named(name)).collect()
}

/// The part of a schema that is looked after: not the tables that nobody declared.
pub fn managed(desired: &Desired, schema: &Snapshot) -> Snapshot {
    let mut managed = schema.clone();
    managed.tables.retain(|name, table| is_managed(desired, name, table));
    managed
}

/// Whether somebody declared a table. Views follow from tables, and are not spoken of.
pub fn is_managed(desired: &Desired, name: &TableName, table: &Table) -> bool {
    match table.kind {
        TableKind::Table | TableKind::Foreign => desired.declares(name),
        TableKind::View | TableKind::MaterializedView => true,
    }
}
