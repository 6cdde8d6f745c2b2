//! How the steps of a run ended, in the order in which they did.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Event;
use crate::address::Address;
use crate::journal::Outcome;
use crate::plan::{Plan, Step};

/// A step that ended, or was not started.
#[derive(Debug, Clone)]
pub struct Ended {
    pub step: Step,
    /// How long it took; `None` where it did not start.
    pub elapsed: Option<Duration>,
    pub outcome: Outcome,
}

/// How a walk ended.
#[derive(Debug, Clone, Default)]
pub struct Walked {
    /// Its steps, in the order in which they ended.
    pub ended: Vec<Ended>,
    /// How many of the failed steps have certainly changed nothing.
    pub failed_idly: usize,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Walked {
    /// Steps after which all that they are about is there.
    pub fn done(&self) -> impl Iterator<Item = &Step> {
        self.of(|outcome| matches!(outcome, Outcome::Done | Outcome::Warned(_) | Outcome::Unchanged))
    }

    /// Steps that failed or were not started.
    pub fn not_done(&self) -> impl Iterator<Item = &Step> {
        self.of(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Blocked(_)))
    }

    /// Whether a step failed.
    pub fn has_failure(&self) -> bool {
        self.of(|outcome| matches!(outcome, Outcome::Failed(_))).next().is_some()
    }

    fn of(&self, is_meant: impl Fn(&Outcome) -> bool) -> impl Iterator<Item = &Step> {
        self.ended.iter().filter(move |ended| is_meant(&ended.outcome)).map(|ended| &ended.step)
    }

    /// Adds a later walk of the same run.
    pub(super) fn extend(&mut self, later: Self) {
        self.ended.extend(later.ended);
        self.failed_idly += later.failed_idly;
        self.interrupted |= later.interrupted;
    }

    /// Whether a step about an address failed or was not started.
    pub(super) fn has_failed(&self, address: &Address) -> bool {
        self.not_done().any(|step| step.address == *address)
    }

    /// Adds the approved steps of a plan that were not walked at all.
    pub fn block_rest(
        &mut self,
        plan: &Plan,
        approved: &BTreeSet<Address>,
        why: &str,
        on_event: &mut (dyn FnMut(&Event) + Send),
    ) {
        let walked: BTreeSet<&Address> = self.ended.iter().map(|ended| &ended.step.address).collect();
        let steps = plan.steps.iter().filter(|step| approved.contains(&step.address));
        let rest: Vec<Step> = steps.filter(|step| !walked.contains(&step.address)).cloned().collect();
        self.block(rest, why, on_event);
    }

    /// Adds steps that are not started at all.
    pub(super) fn block(&mut self, steps: Vec<Step>, why: &str, on_event: &mut (dyn FnMut(&Event) + Send)) {
        for step in steps {
            self.end(step, None, Outcome::Blocked(why.to_owned()), on_event);
        }
    }

    /// Adds a step, and tells of it.
    pub(super) fn end(
        &mut self,
        step: Step,
        elapsed: Option<Duration>,
        outcome: Outcome,
        on_event: &mut (dyn FnMut(&Event) + Send),
    ) {
        on_event(&Event::Ended { address: step.address.clone(), elapsed, outcome: outcome.clone() });
        self.ended.push(Ended { step, elapsed, outcome });
    }
}
