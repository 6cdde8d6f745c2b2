//! Drift of the system's schema: what differs from the schema that this tool's own migrations left,
//! though no migration is pending. Shown, never mended.

use crate::catalog::{self, Snapshot};
use crate::change::{Address, Check, Diff, Drift, Status};
use crate::spec::{SchemaDrift, Stack};
use crate::world::World;

use super::Work;

/// Compares the schema with the one recorded after the last migration. Nothing is known of a
/// database that this tool never migrated, and pending migrations are a difference of their own.
pub(super) fn of_system(stack: &Stack, world: &World, planned: &Diff<Work>) -> Diff<Work> {
    let mut diff = Diff::default();
    let migrations = ["system.migration", "system.repeatable"];
    let is_migration = |address: &Address| migrations.iter().any(|prefix| address.is_selected_by(prefix));
    let is_pending = planned.changes.iter().any(|change| is_migration(&change.address));
    let Some(recorded) = world.journal.snapshots.get(crate::journal::SYSTEM_SCHEMA) else { return diff };
    let is_judged = match stack.system.schema_drift {
        SchemaDrift::Ignore => false,
        SchemaDrift::Warn | SchemaDrift::Fail => true,
    };
    if !is_judged || is_pending {
        return diff;
    }
    let now = without_unmanaged(&world.system.schema, &planned.unmanaged);
    let objects = catalog::diff(recorded, &now).len();
    if objects == 0 {
        return diff;
    }
    let summary = match objects {
        1 => "one table was changed by hand".to_owned(),
        _ => format!("{objects} tables were changed by hand"),
    };
    if stack.system.schema_drift == SchemaDrift::Fail {
        let help = "undo it, write it as a migration, or set `schema_drift: warn`";
        diff.checks.push(Check::new("system.schema", Status::Fail, format!("{summary}: {help}")));
    }
    let text = catalog::text_diff(recorded, &now);
    diff.drift.push(Drift { address: Address::new("system.schema"), summary, diff: text });
    diff
}

/// The schema without the tables that are listed as unmanaged already.
fn without_unmanaged(schema: &Snapshot, unmanaged: &[Address]) -> Snapshot {
    let mut schema = schema.clone();
    schema.tables.retain(|name, _| !unmanaged.contains(&Address::new(format!("system.table.{name}"))));
    schema
}
