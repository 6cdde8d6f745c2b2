//! What a run shows and asks. The command line implements it.

use futures_util::future::LocalBoxFuture;

use super::{Event, TextChanges};
use crate::address::Address;
use crate::plan::{Allow, Plan, ToRun};

/// Shows the plans and events of a run and asks for approval.
pub trait Frontend: Send {
    fn event(&mut self, event: &Event);
    /// Whether [`Self::show`] shows the changes of the plan, with those of texts.
    fn shows_changes(&self, revision: Revision) -> bool;
    /// Shows a plan. What is `guarded` runs only if `--allow` names it; what the plan denies, no option allows.
    fn show(
        &mut self,
        plan: (&Plan, &TextChanges),
        to_run: &ToRun,
        revision: Revision,
        guarded: &[(Address, Allow)],
    );
    /// Asks whether the shown plan may run.
    fn ask(&mut self) -> LocalBoxFuture<'_, Answer>;
}

/// The answer to the question whether a plan may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Approved,
    Declined,
    /// There is no terminal to ask on.
    NoTerminal,
}

/// Whether a plan was shown before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// It is the first plan of this run.
    First,
    /// It has a change that the approved plan did not have.
    Changed,
    /// All of its changes were approved before.
    Again,
}
