//! Changes that must not run: policies of the spec, and changes that need `--allow`. Pure.

use crate::address::{Address, Component, Kind};
use crate::change::{Guard, Held, Planned, Risk};
use crate::stack::{Denies, Stack};

/// The values of `--allow`, which apply to one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allow {
    /// Changes at risk `destructive`.
    Destructive,
    /// Deletes caused by an empty source.
    MassDelete,
    /// A change of the stack, or of the environment away from production.
    Environment,
    /// Taking over objects of a lost bookkeeping of the same stack and environment.
    Takeover,
}

impl Allow {
    /// Returns the value as written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destructive => "destructive",
            Self::MassDelete => "mass-delete",
            Self::Environment => "environment",
            Self::Takeover => "takeover",
        }
    }
}

/// Returns the changes that the policies deny, one entry per change and policy.
pub(super) fn denied<C>(stack: &Stack, changes: &[Planned<C>]) -> Vec<Held> {
    let mut held = Vec::new();
    for (name, policy) in &stack.policies {
        match policy {
            Denies::Risk(risk) => {
                let hit = changes.iter().filter(|change| change.risks.contains(*risk));
                held.extend(hit.map(|change| Held {
                    address: change.address.clone(),
                    reason: format!("policy {name} denies: {}", risk.as_str()),
                }));
            }
            Denies::Flag(flag) if stack.flags.is_on(flag) => {
                let reason = format!("policy {name} denies the flag {flag}");
                held.push(Held { address: Kind::Flags.alone(), reason: reason.clone() });
                let hit = changes.iter().filter(|change| switched_by(stack, flag, &change.address));
                held.extend(
                    hit.map(|change| Held { address: change.address.clone(), reason: reason.clone() }),
                );
            }
            Denies::Flag(_) => {}
        }
    }
    held
}

/// Whether a flag enables the object at an address.
fn switched_by(stack: &Stack, flag: &str, address: &Address) -> bool {
    let names =
        |when: Option<&crate::stack::When>| when.is_some_and(|when| when.flag == flag && !when.negated);
    match (address.component(), address.name()) {
        (Component::System, name) if address.kind() == Kind::Seed => {
            stack.system.seeds.get(name).is_some_and(|seed| names(seed.when.as_ref()))
        }
        (Component::Target, name) => {
            flag == "enable_target_db"
                || stack.targets.get(name).is_some_and(|target| names(target.when.as_ref()))
        }
        (Component::Vector, _) => flag == "auto_train_vector",
        (Component::System | Component::Cache | Component::Flags, _) => false,
    }
}

/// Returns the changes that need `--allow`, with the value that permits each.
pub(super) fn guarded<C>(changes: &[Planned<C>]) -> Vec<(Address, Allow)> {
    let allows: fn(&Planned<C>) -> &'static [Allow] = |change| match change.guard {
        Some(Guard::MassDelete) => &[Allow::MassDelete],
        Some(Guard::Takeover { mass_delete: false }) => &[Allow::Takeover],
        Some(Guard::Takeover { mass_delete: true }) => &[Allow::Takeover, Allow::MassDelete],
        None if change.risks.contains(Risk::Destructive) => &[Allow::Destructive],
        None => &[],
    };
    let of = |change: &Planned<C>| {
        let address = change.address.clone();
        allows(change).iter().map(move |allow| (address.clone(), *allow)).collect::<Vec<_>>()
    };
    changes.iter().flat_map(of).collect()
}
