//! The verification of a run by its last look.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Recorder;
use super::{Error, Request};
use crate::address::Address;
use crate::change::{Check, Held, Status};
use crate::plan::{Allow, Document, Plan, ToRun};

/// The result of the last look.
#[derive(Debug, Default)]
pub struct Verified {
    /// Addresses that were applied and still differ.
    pub left: Vec<Address>,
    /// Failed checks, which block their dependents.
    pub failed_checks: Vec<Check>,
    /// Number of planned changes that must not run.
    pub blocked: usize,
    /// Changes that could run and were not done in this run, with the reason.
    pub undone: Vec<Held>,
    /// Number of objects that could not be planned.
    pub deferred: usize,
    /// Notes of the final plan that the first one did not have, such as rows that could not be
    /// deleted.
    pub notes: Vec<String>,
    /// Whether the final plan is empty: everything matches the spec.
    pub converged: bool,
    /// Why there was no final observation.
    pub unverified: Option<Error>,
}

impl Verified {
    /// Whether nothing that was applied, or could be applied, is left.
    pub(super) fn is_complete(&self) -> bool {
        self.left.is_empty()
            && self.failed_checks.is_empty()
            && self.blocked == 0
            && self.undone.is_empty()
            && self.unverified.is_none()
    }

    /// Compares the final plan with what the run applied.
    pub(super) fn judge(
        recorder: &Recorder,
        first: &Document,
        last: &Plan,
        to_run: &ToRun,
        request: &Request,
    ) -> Self {
        let Document { changes, checks, blocked, deferred, notes, .. } = &last.document;
        let done: BTreeSet<&Address> = recorder.done.iter().map(|step| &step.address).collect();
        let counted = &recorder.not_done;
        // The rest of a saved change that was planned in part needs a new plan.
        let needs_new_plan = if request.may_grow() { BTreeSet::new() } else { deferred_of(first) };
        let left = changes
            .iter()
            .map(|change| &change.address)
            .filter(|address| done.contains(address) && !needs_new_plan.contains(*address));
        let is_expected =
            |address: &Address| request.may_grow() || to_run.held.iter().any(|held| held.address == *address);
        let refusals = refusals_of(last, &request.allowed);
        let undone = changes
            .iter()
            .map(|change| &change.address)
            .filter(|address| !done.contains(address) && !counted.contains(*address) && is_expected(address))
            .map(|address| Held { address: address.clone(), reason: why_undone(address, first, &refusals) })
            .collect();
        let blocked = blocked
            .iter()
            .map(|held| &held.address)
            .filter(|address| !counted.contains(address) && !refusals.contains_key(*address))
            .collect::<BTreeSet<_>>();
        let failed_checks = checks.iter().filter(|check| check.status == Status::Fail);
        let mut verified = Self {
            left: left.cloned().collect(),
            failed_checks: failed_checks.cloned().collect(),
            blocked: blocked.len(),
            undone,
            deferred: deferred.len(),
            notes: notes.iter().filter(|note| !first.notes.contains(note)).cloned().collect(),
            ..Self::default()
        };
        verified.converged = recorder.is_complete() && verified.is_complete() && last.is_empty();
        verified
    }
}

/// Returns the changes that must not run, with the reason: a policy or protection denies them, or
/// they need `--allow`.
pub(super) fn refusals_of(plan: &Plan, allowed: &[Allow]) -> BTreeMap<Address, String> {
    let guarded = plan.refusals(allowed).into_iter().map(|(address, allow)| {
        let reason = format!("runs only with `--allow {}`", allow.as_str());
        (address, reason)
    });
    let denied = plan.denied.iter().map(|held| (held.address.clone(), held.reason.clone()));
    guarded.chain(denied).collect()
}

/// Returns why a change of the final plan was not done.
fn why_undone(address: &Address, first: &Document, refusals: &BTreeMap<Address, String>) -> String {
    if let Some(reason) = refusals.get(address) {
        return reason.clone();
    }
    let was_held = first.blocked.iter().chain(&first.deferred).find(|held| held.address == *address);
    match was_held {
        Some(held) => format!("it was blocked when this run began: {}", held.reason),
        None => "it could be planned only at the end of this run".to_owned(),
    }
}

/// Returns the addresses that could not be planned.
pub(super) fn deferred_of(plan: &Document) -> BTreeSet<Address> {
    plan.deferred.iter().map(|held| held.address.clone()).collect()
}
