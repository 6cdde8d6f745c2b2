//! `--only`: keeps a part of a plan with what it needs, and refuses a name that nothing has. Pure.

use super::{Failure, Graph, Work};
use crate::change::{Address, Diff};
use crate::spec::{MigrationSets, Stack};

const COMPONENTS: [&str; 5] = ["system", "target", "vector", "cache", "flags"];

/// Kinds of things that an address may name, below their components.
const KINDS: [&str; 19] = [
    "system.bookkeeping",
    "system.database",
    "system.defaults",
    "system.extension",
    "system.index",
    "system.migration",
    "system.ontology",
    "system.repeatable",
    "system.role",
    "system.schema",
    "system.seed",
    "system.table",
    "system.user",
    "vector.collection",
    "vector.documents",
    "cache.config",
    "cache.acl",
    "cache.namespace",
    "cache.stream",
];

/// Keeps what `--only` selects and what that needs.
pub(super) fn select(diff: &mut Diff<Work>, only: &str, stack: &Stack) -> Result<(), Failure> {
    let graph = Graph::new(&diff.changes);
    let selected = |address: &Address| address.is_selected_by(only);
    let wanted = diff.changes.iter().map(|change| change.address.clone()).filter(|address| selected(address));
    let kept = graph.closure(wanted);
    if !is_spoken_of(diff, only) && !is_known(only, stack) {
        return Err(Failure::NothingSelected(only.to_owned()));
    }
    diff.changes.retain(|change| kept.contains(&change.address));
    diff.checks.retain(|check| selected(&check.address) || check.address.as_str() == "system");
    for held in [&mut diff.deferred, &mut diff.blocked] {
        held.retain(|held| selected(&held.address));
    }
    diff.drift.retain(|drift| selected(&drift.address));
    diff.unmanaged.retain(selected);
    diff.notes.push(format!("only {only} and what it needs"));
    Ok(())
}

/// Whether the plan has something of that name.
fn is_spoken_of(diff: &Diff<Work>, only: &str) -> bool {
    let changes = diff.changes.iter().map(|change| &change.address);
    let held = diff.deferred.iter().chain(&diff.blocked).map(|held| &held.address);
    let checks = diff.checks.iter().map(|check| &check.address);
    let drift = diff.drift.iter().map(|drift| &drift.address);
    let mut all = changes.chain(held).chain(checks).chain(drift).chain(&diff.unmanaged);
    all.any(|address| address.is_selected_by(only))
}

/// Whether the spec has something of that name, or could have: a slip of the pen must not look like
/// a plan without changes.
fn is_known(only: &str, stack: &Stack) -> bool {
    match only.split('.').collect::<Vec<_>>().as_slice() {
        [component] => COMPONENTS.contains(component),
        ["target", name, ..] => stack.targets.contains_key(*name),
        ["cache", "config", ..] | ["vector", "check", ..] => true,
        [component, kind] => KINDS.contains(&format!("{component}.{kind}").as_str()),
        ["system", "migration" | "repeatable", ..] => is_file(only, &stack.system.migrations),
        ["system", "defaults", name @ ..] => {
            stack.declared.contains(&Address::new(format!("system.role.{}", name.join("."))))
        }
        ["system", "extension", name] => stack.system.extensions.iter().any(|extension| extension == name),
        ["vector", "documents", name] => {
            stack.declared.contains(&Address::new(format!("vector.collection.{name}")))
        }
        _ => stack.declared.contains(&Address::new(only)),
    }
}

fn is_file(only: &str, sets: &MigrationSets) -> bool {
    let MigrationSets { folder: _, common, postgres, sqlite, repeatable } = sets;
    let versions = common.iter().chain(postgres).chain(sqlite).map(|file| ("migration", &file.stem));
    let repeated = repeatable.common.iter().chain(&repeatable.postgres).chain(&repeatable.sqlite);
    let repeated = repeated.map(|file| ("repeatable", &file.name));
    versions.chain(repeated).any(|(kind, name)| only == format!("system.{kind}.{name}"))
}
