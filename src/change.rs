//! Types that the components share with the plan: actions, risks, and the result of a `diff`. Plain values
//! without logic or I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::digest::Digest;
use crate::location::Location;

/// What a change does to the item at its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Create what does not exist.
    Create,
    /// Change what exists.
    Update,
    /// Delete what this tool created.
    Delete,
    /// Recreate what cannot be changed in place.
    Replace,
    /// Execute something once: a migration, a retrieval check.
    Run,
}

impl Action {
    /// The form in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Replace => "replace",
            Self::Run => "run",
        }
    }
}

/// What a change may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Loses no data and blocks no other session.
    Safe,
    /// Blocks readers or writers of a table while it runs.
    Locking,
    /// Could not be checked before apply.
    Unvalidated,
    /// Loses data.
    Destructive,
}

impl Risk {
    /// As written in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Locking => "locking",
            Self::Unvalidated => "unvalidated",
            Self::Destructive => "destructive",
        }
    }
}

/// The set of risks of a change; empty means safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Risk>", into = "Vec<Risk>")]
pub struct Risks {
    locking: bool,
    unvalidated: bool,
    destructive: bool,
}

impl Risks {
    pub const SAFE: Self = Self { locking: false, unvalidated: false, destructive: false };

    pub fn worst(self) -> Risk {
        self.into_iter().next().unwrap_or(Risk::Safe)
    }

    /// Whether the set has a risk. `Safe` is in the empty set only.
    pub fn contains(self, risk: Risk) -> bool {
        match risk {
            Risk::Safe => self == Self::SAFE,
            Risk::Locking => self.locking,
            Risk::Unvalidated => self.unvalidated,
            Risk::Destructive => self.destructive,
        }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { locking, unvalidated, destructive } = other;
        Self {
            locking: self.locking || locking,
            unvalidated: self.unvalidated || unvalidated,
            destructive: self.destructive || destructive,
        }
    }

    pub fn are_within(self, other: Self) -> bool {
        self.and(other) == other
    }

    /// The names, the most severe risk first.
    pub fn names(self) -> String {
        let names: Vec<_> = self.into_iter().map(Risk::as_str).collect();
        if names.is_empty() { Risk::Safe.as_str().to_owned() } else { names.join(", ") }
    }
}

impl From<Risk> for Risks {
    fn from(risk: Risk) -> Self {
        Self {
            locking: risk == Risk::Locking,
            unvalidated: risk == Risk::Unvalidated,
            destructive: risk == Risk::Destructive,
        }
    }
}

impl FromIterator<Risk> for Risks {
    fn from_iter<I: IntoIterator<Item = Risk>>(risks: I) -> Self {
        risks.into_iter().fold(Self::SAFE, |all, risk| all.and(risk.into()))
    }
}

impl IntoIterator for Risks {
    type Item = Risk;
    type IntoIter = std::vec::IntoIter<Risk>;

    /// The most severe risk first.
    fn into_iter(self) -> Self::IntoIter {
        let all = [Risk::Destructive, Risk::Unvalidated, Risk::Locking];
        all.into_iter().filter(|risk| self.contains(*risk)).collect::<Vec<_>>().into_iter()
    }
}

impl From<Vec<Risk>> for Risks {
    fn from(risks: Vec<Risk>) -> Self {
        risks.into_iter().collect()
    }
}

impl From<Risks> for Vec<Risk> {
    fn from(risks: Risks) -> Self {
        risks.into_iter().collect()
    }
}

/// A step that a component plans, with the component's own `change` to execute it.
#[derive(Debug, Clone)]
pub struct Planned<C> {
    /// A plan has at most one change for each address.
    pub address: Address,
    pub action: Action,
    pub risks: Risks,
    /// Why it is needed, in a few words: `missing`, `pending`, `role differs`.
    pub reason: String,
    /// The changes that must be done before. Addresses without a change in the plan are satisfied
    /// already.
    pub needs: Vec<Address>,
    /// One line that describes the result, optionally followed by lines about its parts.
    pub summary: String,
    /// The current state, as far as it can be shown. Never values of rows, never secrets.
    pub before: Option<Value>,
    /// The resulting state. Never secrets.
    pub after: Option<Value>,
    /// A unified text diff, where that is clearer than `before` and `after`.
    pub diff: Option<String>,
    /// The digest of the observed facts that led to this change; a saved plan is stale when it
    /// differs.
    pub seen: Digest,
    /// An additional flag that is required to run it.
    pub guard: Option<Guard>,
    /// The location in the spec; `None` when the item was removed from it.
    pub at: Option<Location>,
    pub change: C,
}

/// A reason why a change requires a flag, independent of its risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A source that is still in the spec yields nothing: `--allow mass-delete`.
    MassDelete,
    /// Another bookkeeping of the same stack created it, and may be lost: `--allow takeover`.
    Takeover {
        /// Whether `MassDelete` applies too.
        mass_delete: bool,
    },
}

/// The result of executing a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Done as planned, with warnings of one line each.
    Done { warnings: Vec<String> },
    /// Its effect existed already when it ran.
    Unchanged,
}

impl Effect {
    pub const DONE: Self = Self::Done { warnings: Vec::new() };
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The check passed.
    Pass,
    /// Shown, but blocks nothing.
    Warn,
    /// Blocks what depends on it.
    Fail,
}

/// A fact that was checked and is not a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked: `system`, `vector`, `cache`, `target.NAME.access`, …
    pub address: Address,
    /// The result of the check.
    pub status: Status,
    /// The finding, and for a failure what to do.
    pub message: String,
}

impl Check {
    pub fn new(address: impl Into<Address>, status: Status, message: impl Into<String>) -> Self {
        Self { address: address.into(), status, message: message.into() }
    }
}

/// A difference that the spec did not cause, and that no change repairs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The item that differs.
    pub address: Address,
    /// One line that describes the difference.
    pub summary: String,
    /// A unified text diff.
    pub diff: String,
}

/// An item that cannot be planned yet or must not run, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// The item that is held back.
    pub address: Address,
    /// For example `known after system.database`, or `policy no_data_loss denies destructive`.
    pub reason: String,
}

/// An error of the plan: the observed state makes it impossible to do what the spec says.
///
/// Examples are a missing table without a pending migration, or an edited migration. No plan is made; all
/// faults are reported together.
#[derive(Debug, Clone)]
pub struct Fault {
    pub address: Address,
    /// The error, as a sentence fragment.
    pub message: String,
    pub help: Option<String>,
    /// The location in the spec, or in a file that it names.
    pub at: Option<Location>,
}

/// What a component's `diff` returns: a pure function of the desired and the observed state.
#[derive(Debug, Clone)]
pub struct Diff<C> {
    /// In any order; the plan sorts them by their dependencies.
    pub changes: Vec<Planned<C>>,
    /// The number of addresses without a difference.
    pub unchanged: usize,
    pub checks: Vec<Check>,
    pub drift: Vec<Drift>,
    /// Items that cannot be planned yet.
    pub deferred: Vec<Held>,
    /// Items that cannot be done because a dependency has failed its check.
    pub blocked: Vec<Held>,
    /// Existing items that this tool did not create and that are not in the spec.
    pub unmanaged: Vec<Address>,
    /// One-line notes for the head of the plan.
    pub notes: Vec<String>,
    pub faults: Vec<Fault>,
}

impl<C> Default for Diff<C> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            unchanged: 0,
            checks: Vec::new(),
            drift: Vec::new(),
            deferred: Vec::new(),
            blocked: Vec::new(),
            unmanaged: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl<C> Diff<C> {
    pub fn merge(&mut self, other: Self) {
        let Self { changes, unchanged, checks, drift, deferred, blocked, unmanaged, notes, faults } = other;
        self.changes.extend(changes);
        self.unchanged += unchanged;
        self.checks.extend(checks);
        self.drift.extend(drift);
        self.deferred.extend(deferred);
        self.blocked.extend(blocked);
        self.unmanaged.extend(unmanaged);
        self.notes.extend(notes);
        self.faults.extend(faults);
    }

    /// Wraps the component's changes into the plan's own enum.
    pub fn map<D>(self, wrap: impl Fn(C) -> D) -> Diff<D> {
        let Self { changes, unchanged, checks, drift, deferred, blocked, unmanaged, notes, faults } = self;
        let wrapped = |planned: Planned<C>| Planned {
            address: planned.address,
            action: planned.action,
            risks: planned.risks,
            reason: planned.reason,
            needs: planned.needs,
            summary: planned.summary,
            before: planned.before,
            after: planned.after,
            diff: planned.diff,
            seen: planned.seen,
            guard: planned.guard,
            at: planned.at,
            change: wrap(planned.change),
        };
        let changes = changes.into_iter().map(wrapped).collect();
        Diff { changes, unchanged, checks, drift, deferred, blocked, unmanaged, notes, faults }
    }
}
