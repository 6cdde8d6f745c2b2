//! The totals of a run.

use std::fmt;

use crate::journal::Outcome;

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub applied: usize,
    /// Addresses that needed no change.
    pub unchanged: usize,
    /// Steps of a saved plan that an earlier run of it did.
    pub skipped: usize,
    pub failed: usize,
    /// Failed steps that certainly changed nothing.
    pub failed_idly: usize,
    /// Steps that did not start.
    pub blocked: usize,
    /// Objects that could not be planned.
    pub deferred: usize,
    /// Warnings of steps that succeeded.
    pub warnings: usize,
}

impl Totals {
    /// Counts a step.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.applied += 1,
            Outcome::Warned(warnings) => {
                self.applied += 1;
                self.warnings += warnings.len();
            }
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Blocked(_) => self.blocked += 1,
        }
    }

    /// Whether a step succeeded, or one that failed may have changed something.
    pub(super) fn has_changed(&self) -> bool {
        self.applied > 0 || self.failed > self.failed_idly
    }

    /// Whether no step failed or was blocked.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.blocked == 0
    }

    /// The first words of a summary: whether everything, something or nothing was applied.
    pub fn extent(&self) -> &'static str {
        if self.is_clean() {
            "Applied:"
        } else if self.failed > 0 && !self.has_changed() {
            "Nothing applied:"
        } else {
            "Applied in part:"
        }
    }

    /// The numbers of a summary.
    pub fn counts(&self) -> String {
        let Self { applied, unchanged, skipped, failed, failed_idly: _, blocked, deferred, warnings } = self;
        let more = [
            (skipped, "skipped"),
            (deferred, "deferred"),
            (warnings, if *warnings == 1 { "warning" } else { "warnings" }),
        ];
        let more =
            more.iter().filter(|(count, _)| **count > 0).map(|(count, what)| format!(", {count} {what}"));
        let more: String = more.collect();
        format!("{applied} done, {unchanged} unchanged, {failed} failed, {blocked} blocked{more}")
    }
}

/// The format used by `history`.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.", self.extent(), self.counts())
    }
}
