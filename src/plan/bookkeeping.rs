//! Plans changes of the bookkeeping itself: its tables, the protected addresses, the flags and the
//! environment. Pure.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Options, Work};
use crate::address::{Address, Kind};
use crate::change::{Action, Diff, Planned, Risks};
use crate::digest::Digest;
use crate::journal::{self, Bookkeeping};
use crate::stack::{Flags, Stack};

/// `system.bookkeeping`: the tables, and the protected addresses.
pub(super) fn diff(stack: &Stack, journal: &journal::Observed, options: &Options) -> Diff<Work> {
    let before = &journal.protected;
    // An object whose block was removed stays protected, because only its block can lift the
    // protection.
    let orphans = before.difference(&stack.declared);
    let after: BTreeSet<Address> = stack.protected.iter().chain(orphans).cloned().collect();
    let shown = |set: &BTreeSet<Address>| json!({ "protected": set });
    let (action, reason) = match journal.bookkeeping {
        Bookkeeping::Missing if options.take_back => return Diff::default(),
        Bookkeeping::Missing => (Action::Create, "missing"),
        Bookkeeping::Outdated => (Action::Update, "an older trueup made it"),
        Bookkeeping::Present if *before != after => (Action::Update, "protection differs"),
        Bookkeeping::Present => return Diff { unchanged: 1, ..Diff::default() },
    };
    let seen = match journal.bookkeeping {
        Bookkeeping::Missing => Digest::of("missing"),
        Bookkeeping::Outdated | Bookkeeping::Present => Digest::of_json(&(journal.bookkeeping, before)),
    };
    let summary = match action {
        Action::Create => "tables for runs, steps, inventory and schema versions".to_owned(),
        Action::Update | Action::Delete | Action::Replace | Action::Run => changed(before, &after),
    };
    let planned = Planned {
        address: Kind::Bookkeeping.alone(),
        action,
        risks: Risks::SAFE,
        reason: reason.to_owned(),
        needs: vec![Kind::Database.alone()],
        summary,
        before: (action == Action::Update).then(|| shown(before)),
        after: (action == Action::Update || !after.is_empty()).then(|| shown(&after)),
        diff: None,
        seen,
        guard: None,
        at: None,
        change: Work::Bookkeeping { stack: stack.name.clone(), protected: after },
    };
    Diff { changes: vec![planned], ..Diff::default() }
}

fn changed(before: &BTreeSet<Address>, after: &BTreeSet<Address>) -> String {
    let list =
        |addresses: Vec<&Address>| addresses.into_iter().map(Address::as_str).collect::<Vec<_>>().join(", ");
    let (more, less) = (list(after.difference(before).collect()), list(before.difference(after).collect()));
    match (more.is_empty(), less.is_empty()) {
        (true, true) => "tables that are missing".to_owned(),
        (false, true) => format!("protects {more}"),
        (true, false) => format!("no longer protects {less}"),
        (false, false) => format!("protects {more}; no longer protects {less}"),
    }
}

/// Returns a change that records the stack, its environment and its flags, if they differ from the
/// recorded ones.
pub(super) fn flags(stack: &Stack, before: &journal::Observed, options: &Options) -> Option<Planned<Work>> {
    let other_stack = before.stack.as_ref().filter(|before| **before != stack.name);
    let same_environment = before.environment.as_ref() == Some(&stack.environment);
    if other_stack.is_none() && same_environment && before.flags.as_ref() == Some(&stack.flags) {
        return None;
    }
    let shown = |name: &str, environment: &str, flags: &Flags| match other_stack {
        Some(_) => json!({"stack": name, "environment": environment, "flags": flags}),
        None => json!({"environment": environment, "flags": flags}),
    };
    let was = before.environment.as_deref().zip(before.flags.as_ref());
    if was.is_none() && options.take_back {
        return None;
    }
    Some(Planned {
        address: Kind::Flags.alone(),
        action: if was.is_some() { Action::Update } else { Action::Create },
        risks: Risks::SAFE,
        reason: match (was, other_stack) {
            (_, Some(other)) => format!("last applied as the stack {other}"),
            (None, None) => "never applied".to_owned(),
            (Some(_), None) if same_environment => "flags differ".to_owned(),
            (Some((environment, _)), None) => format!("last applied as {environment}"),
        },
        needs: Vec::new(),
        summary: stack
            .flags
            .0
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect::<Vec<_>>()
            .join(", "),
        before: was.map(|(environment, flags)| {
            shown(other_stack.map_or(stack.name.as_str(), String::as_str), environment, flags)
        }),
        after: Some(shown(&stack.name, &stack.environment, &stack.flags)),
        diff: None,
        seen: Digest::of_json(&(other_stack, &before.environment, &before.flags)),
        guard: None,
        at: None,
        change: Work::Flags {
            stack: stack.name.clone(),
            environment: stack.environment.clone(),
            flags: stack.flags.clone(),
        },
    })
}

/// Makes every change depend on the bookkeeping, where it is recorded, except for the database
/// itself.
pub(super) fn link(changes: &mut [Planned<Work>]) {
    let bookkeeping = Kind::Bookkeeping.alone();
    let planned: BTreeSet<Address> = changes.iter().map(|change| change.address.clone()).collect();
    if !planned.contains(&bookkeeping) {
        return;
    }
    for change in changes {
        // A dependency on a planned step implies one on the bookkeeping, unless that step is the
        // database.
        let leads_there =
            change.needs.iter().any(|need| planned.contains(need) && need.kind() != Kind::Database);
        let before_it = matches!(change.address.kind(), Kind::Database | Kind::Bookkeeping);
        if !before_it && !leads_there {
            change.needs.push(bookkeeping.clone());
        }
    }
}
