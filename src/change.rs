//! The vocabulary that the four components share with the plan: actions, risks and what a `diff`
//! returns. Plain values; this room does no I/O and decides nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::digest::Digest;
use crate::location::Location;

/// What a change does to the thing at its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Make what is not there.
    Create,
    /// Change what is there.
    Update,
    /// Take back what this tool put there.
    Delete,
    /// Make anew what cannot be changed in place.
    Replace,
    /// Execute something once: a migration, a retrieval check.
    Run,
}

impl Action {
    /// As written in a plan.
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
    /// Loses nothing and blocks nobody.
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

/// All that a change may cost. One that costs nothing is safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Risk>", into = "Vec<Risk>")]
pub struct Risks {
    locking: bool,
    unvalidated: bool,
    destructive: bool,
}

impl Risks {
    pub const SAFE: Self = Self { locking: false, unvalidated: false, destructive: false };

    /// The worst of them.
    pub fn worst(self) -> Risk {
        self.into_iter().next().unwrap_or(Risk::Safe)
    }

    /// Whether a risk is one of them; `Safe` is where there is no other.
    pub fn contains(self, risk: Risk) -> bool {
        match risk {
            Risk::Safe => self == Self::SAFE,
            Risk::Locking => self.locking,
            Risk::Unvalidated => self.unvalidated,
            Risk::Destructive => self.destructive,
        }
    }

    /// These and those of another one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { locking, unvalidated, destructive } = other;
        Self {
            locking: self.locking || locking,
            unvalidated: self.unvalidated || unvalidated,
            destructive: self.destructive || destructive,
        }
    }

    /// Whether another one has all of them.
    pub fn are_within(self, other: Self) -> bool {
        self.and(other) == other
    }

    /// Their names, the worst first.
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

    /// The worst first.
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

/// One step that a component wants taken, with the component's own `change` to execute it.
#[derive(Debug, Clone)]
pub struct Planned<C> {
    /// What it is about. One plan has at most one change for an address.
    pub address: Address,
    pub action: Action,
    /// All that it may cost.
    pub risks: Risks,
    /// Why it is needed, in a few words: `missing`, `pending`, `role differs`.
    pub reason: String,
    /// What must be done before it. Addresses without a change in the plan are already satisfied.
    pub needs: Vec<Address>,
    /// One line for people: what will be different afterwards. Lines below it say what is worth
    /// knowing about parts of it.
    pub summary: String,
    /// What is there now, as far as it may be shown. Never values of rows, never secrets.
    pub before: Option<Value>,
    /// What will be there. Never secrets.
    pub after: Option<Value>,
    /// A unified text diff, where one helps more than `before` and `after`.
    pub diff: Option<String>,
    /// Digest of what was observed and led to this change; a saved plan is stale when it differs.
    pub seen: Digest,
    /// What must be allowed by name before it runs, beyond its risk.
    pub guard: Option<Guard>,
    /// Where in the spec it is asked for; `None` when it is no longer in the spec.
    pub at: Option<Location>,
    /// What apply executes.
    pub change: C,
}

/// A change that is suspicious whatever its risk, and runs only when it is allowed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A source that is still in the spec yields nothing: `--allow mass-delete`.
    MassDelete,
    /// Another bookkeeping of the same stack made it, and is perhaps lost: `--allow takeover`.
    Takeover {
        /// Whether a source of it yields nothing as well.
        mass_delete: bool,
    },
}

/// What executing a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It did what was planned; with what is to be looked at, one line each.
    Done { warnings: Vec<String> },
    /// All of it was there already when it ran.
    Unchanged,
}

impl Effect {
    /// It did what was planned.
    pub const DONE: Self = Self::Done { warnings: Vec::new() };
}

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Pass,
    /// Worth knowing; stops nothing.
    Warn,
    /// Not as it should be: what needs it is blocked.
    Fail,
}

/// Something that was looked at and is not a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked: `system`, `vector`, `cache`, `target.NAME.access`, …
    pub address: Address,
    /// The verdict.
    pub status: Status,
    /// What was found, and for a failure what to do.
    pub message: String,
}

impl Check {
    pub fn new(address: impl Into<Address>, status: Status, message: impl Into<String>) -> Self {
        Self { address: address.into(), status, message: message.into() }
    }
}

/// Something that differs though the spec did not change, and that no change will mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// What differs.
    pub address: Address,
    /// One line for people.
    pub summary: String,
    /// A unified text diff.
    pub diff: String,
}

/// Something that cannot be planned yet, or may not run, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// What is held.
    pub address: Address,
    /// Why: `known after system.database`, `policy no_data_loss denies destructive`.
    pub reason: String,
}

/// An error of the plan: the spec asks for what the world shows to be impossible.
///
/// A table that does not exist with no migration pending, an edited migration, and so on. The plan
/// is not made; all of them are reported together.
#[derive(Debug, Clone)]
pub struct Fault {
    pub address: Address,
    /// What is wrong, in a sentence fragment.
    pub message: String,
    pub help: Option<String>,
    /// Where in the spec, or in a file that it names.
    pub at: Option<Location>,
}

/// What a component's `diff` returns: a pure function of what is desired and what was observed.
#[derive(Debug, Clone)]
pub struct Diff<C> {
    /// The steps, in any order; the plan sorts them by their needs.
    pub changes: Vec<Planned<C>>,
    /// How many addresses are as they should be.
    pub unchanged: usize,
    /// Things looked at, with a verdict.
    pub checks: Vec<Check>,
    /// What differs and will not be mended.
    pub drift: Vec<Drift>,
    /// What cannot be planned yet.
    pub deferred: Vec<Held>,
    /// What cannot be done because something it needs is out of order.
    pub blocked: Vec<Held>,
    /// What is there, is not this tool's, and is not in the spec.
    pub unmanaged: Vec<Address>,
    /// One-line remarks for people, in the plan's head.
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
    /// Appends another diff of the same component.
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

    /// The same diff with the component's changes wrapped into the plan's own enum.
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
