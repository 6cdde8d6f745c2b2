//! `--only`: restricts a plan to some changes and their dependencies, and rejects unknown names.
//! Pure.

use super::{Graph, PlanError, Work};
use crate::address::{Address, Component, Kind};
use crate::change::Diff;
use crate::stack::{MigrationSets, Stack};

/// Keeps the changes that `--only` selects and their dependencies.
pub(super) fn select(diff: &mut Diff<Work>, only: &str, stack: &Stack) -> Result<(), PlanError> {
    let graph = Graph::new(&diff.changes);
    let selected = |address: &Address| address.is_selected_by(only);
    let wanted = diff.changes.iter().map(|change| change.address.clone()).filter(|address| selected(address));
    let kept = graph.closure(wanted);
    if !is_mentioned(diff, only) && !is_known(only, stack) {
        return Err(PlanError::NothingSelected(only.to_owned()));
    }
    diff.changes.retain(|change| kept.contains(&change.address));
    diff.checks.retain(|check| selected(&check.address) || check.address.kind() == Kind::System);
    for held in [&mut diff.deferred, &mut diff.blocked] {
        held.retain(|held| selected(&held.address));
    }
    diff.drift.retain(|drift| selected(&drift.address));
    diff.unmanaged.retain(selected);
    diff.notes.push(format!("only {only} and what it needs"));
    Ok(())
}

/// Whether the plan mentions the name.
fn is_mentioned(diff: &Diff<Work>, only: &str) -> bool {
    let changes = diff.changes.iter().map(|change| &change.address);
    let held = diff.deferred.iter().chain(&diff.blocked).map(|held| &held.address);
    let checks = diff.checks.iter().map(|check| &check.address);
    let drift = diff.drift.iter().map(|drift| &drift.address);
    let mut all = changes.chain(held).chain(checks).chain(drift).chain(&diff.unmanaged);
    all.any(|address| address.is_selected_by(only))
}

/// Whether the spec declares or could declare the name. A typo must not look like a plan without
/// changes.
fn is_known(only: &str, stack: &Stack) -> bool {
    let begins = Component::ALL.iter().map(|component| component.as_str());
    if begins.chain(Kind::ALL.iter().map(|kind| kind.prefix())).any(|begin| only == begin) {
        return true;
    }
    let Ok(address) = Address::parse(only) else {
        return only.strip_prefix("target.").is_some_and(|name| stack.targets.contains_key(name));
    };
    let name = address.name();
    match address.kind() {
        Kind::Config | Kind::RetrievalCheck => true,
        Kind::Migration | Kind::Repeatable => is_file(&address, &stack.system.migrations),
        Kind::Defaults => stack.declared.contains(&Kind::Role.named(name)),
        Kind::Extension => stack.system.extensions.iter().any(|extension| extension == name),
        Kind::Documents => stack.declared.contains(&Kind::Collection.named(name)),
        Kind::Target | Kind::TargetAccess | Kind::TargetContract | Kind::TargetSchema => {
            stack.targets.contains_key(name)
        }
        _ => stack.declared.contains(&address),
    }
}

fn is_file(address: &Address, sets: &MigrationSets) -> bool {
    let MigrationSets { folder: _, common, postgres, sqlite, repeatable } = sets;
    let versions = common.iter().chain(postgres).chain(sqlite).map(|file| (Kind::Migration, &file.stem));
    let repeated = repeatable.common.iter().chain(&repeatable.postgres).chain(&repeatable.sqlite);
    let repeated = repeated.map(|file| (Kind::Repeatable, &file.name));
    versions.chain(repeated).any(|(kind, name)| address.name_of(kind) == Some(name))
}
