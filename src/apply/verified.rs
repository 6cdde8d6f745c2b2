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
    /// Addresses that were done and still differ.
    pub left: Vec<Address>,
    /// Checks that fail: what needs them is blocked.
    pub failed_checks: Vec<Check>,
    /// What is planned and may not run.
    pub blocked: usize,
    /// What could run and was not done in this run, with the reason.
    pub undone: Vec<Held>,
    /// How much could not be planned.
    pub deferred: usize,
    /// What the last look has to say and the plan did not: rows that were to go and stay.
    pub notes: Vec<String>,
    /// Whether the last look found nothing at all to do: what is there is what the spec says.
    pub converged: bool,
    /// Why there was no last look, where there was none.
    pub unverified: Option<Error>,
}

impl Verified {
    /// Whether nothing of what was done, or could be, is left.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
            && self.failed_checks.is_empty()
            && self.blocked == 0
            && self.undone.is_empty()
            && self.unverified.is_none()
    }

    /// Judges a run by its last look.
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
        verified.converged = recorder.is_whole() && verified.is_whole() && last.is_empty();
        verified
    }
}

/// What of a plan may not run, with the reason: a policy or protection denies it, or it was not allowed
/// by name.
pub(super) fn refusals_of(plan: &Plan, allowed: &[Allow]) -> BTreeMap<Address, String> {
    let guarded = plan.refusals(allowed).into_iter().map(|(address, allow)| {
        let reason = format!("runs only with `--allow {}`", allow.as_str());
        (address, reason)
    });
    let denied = plan.denied.iter().map(|held| (held.address.clone(), held.reason.clone()));
    guarded.chain(denied).collect()
}

/// Why a change of the last look was not done.
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

/// What could not be planned.
pub(super) fn deferred_of(plan: &Document) -> BTreeSet<Address> {
    plan.deferred.iter().map(|held| held.address.clone()).collect()
}
