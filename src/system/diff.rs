//! Compares the desired system database with the observed one, part by part. Pure.

use std::collections::BTreeSet;

use super::{Change, Desired, Observed, database};
use crate::address::{Address, Kind};
use crate::catalog::{Snapshot, Table, TableKind, TableName};
use crate::change::Diff;
use crate::connection::Presence;
use crate::journal::Inventory;
use crate::migrations::{self, Upcoming};
use crate::{roles, rows};

/// Plans every change of the system database, with checks and notes.
pub fn diff(desired: &Desired, observed: &Observed, inventory: &Inventory) -> Diff<Change> {
    let mut diff = database::diff(desired, observed);
    if observed.presence == Presence::Missing && !desired.create_database {
        return diff;
    }
    let extensions = desired.extension_addresses();
    let mut before = vec![Kind::Database.alone()];
    before.extend(extensions.iter().cloned());
    let seen = observed.for_migrations();
    let mut migrations = migrations::diff(&desired.migrations, seen, inventory, &before);
    let is_migrating = !migrations.changes.is_empty();
    let repeatables =
        migrations::diff_repeatables(&desired.migrations, seen, inventory, (&before, &migrations.changes));
    let last = repeatables.changes.last().map(|planned| planned.address.clone());
    migrations.merge(repeatables);
    let upcoming = Upcoming::of(&migrations.changes, observed.for_rows().dialect);
    // The foreign keys of applied migrations are part of the schema already.
    let none = BTreeSet::new();
    let references = if is_migrating { desired.migrations.references() } else { &none };
    let recorded = (inventory, &desired.passwords);
    let mut rows = rows::diff(&desired.rows, observed.for_rows(), recorded, references, &upcoming);
    if let Some(last) = last {
        // Rows are written last: they may be written through a view or trigger that a repeatable file
        // creates.
        rows.changes.iter_mut().for_each(|planned| planned.needs.push(last.clone()));
    }
    // Views can be granted like tables, so they are created before grants.
    let planned = (migrations.changes.as_slice(), extensions.as_slice());
    let roles = roles::diff(&desired.roles, observed.for_roles(), recorded, planned);
    roles::come_first(&roles.changes, &mut migrations.changes);
    diff.merge(migrations.map(Change::Migration));
    diff.merge(roles.map(|change| Change::Role(Box::new(change))));
    diff.merge(rows.map(Change::Rows));
    diff.unmanaged.extend(unmanaged_tables(desired, observed));
    diff.unmanaged.sort();
    diff
}

/// Existing tables that nothing declares. Without migrations, none is listed.
fn unmanaged_tables(desired: &Desired, observed: &Observed) -> Vec<Address> {
    if desired.migrations().is_empty() {
        return Vec::new();
    }
    let tables = observed.schema.tables.iter();
    let undeclared = tables.filter(|(name, table)| !is_managed(desired, name, table));
    undeclared.map(|(name, _)| Kind::Table.named(name)).collect()
}

/// The part of a schema that is compared for drift: without tables that nothing declares.
pub fn managed(desired: &Desired, schema: &Snapshot) -> Snapshot {
    let mut managed = schema.clone();
    managed.tables.retain(|name, table| is_managed(desired, name, table));
    managed
}

/// Whether a table is declared. Views are not listed on their own, because they depend on tables.
pub fn is_managed(desired: &Desired, name: &TableName, table: &Table) -> bool {
    match table.kind {
        TableKind::Table | TableKind::Foreign => desired.declares(name),
        TableKind::View | TableKind::MaterializedView => true,
    }
}
