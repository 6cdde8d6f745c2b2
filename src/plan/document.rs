//! The plan as a document: the JSON of `plan --format json`, and the saved file. A test compares
//! these types with `schemas/plan.schema.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::change::{Action, Check, Drift, Held, Risk, Risks};
use crate::digest::Digest;

/// Version of the format. Readers reject other versions.
pub const FORMAT_VERSION: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of the format.
    pub format_version: u32,
    /// Version of trueup that made the plan.
    pub trueup_version: String,
    /// Name of the stack.
    pub stack: String,
    /// The stack last applied to this database, if it is a different one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_before: Option<String>,
    /// Name of the environment.
    pub environment: String,
    /// The environment last applied, if it is a different one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_before: Option<String>,
    /// False if something could not be planned yet; see `deferred`.
    pub complete: bool,
    /// Digest of the spec and the files that it names, with placeholders in place of secrets.
    pub spec_digest: Digest,
    /// Digest of the observed state.
    pub world_digest: Digest,
    /// Digest of this document without this field, to detect modified files.
    pub plan_digest: Digest,
    /// Number of changes by action.
    pub summary: Summary,
    /// Notes for human readers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The steps, in a valid execution order.
    pub changes: Vec<ChangeEntry>,
    /// Results of checks.
    pub checks: Vec<Check>,
    /// Differences from the recorded state that no change of this plan removes, although the spec
    /// did not change.
    pub drift: Vec<Drift>,
    /// Changes that must not run, with the reason.
    pub blocked: Vec<Held>,
    /// Objects that could not be planned yet, with the reason.
    pub deferred: Vec<Held>,
    /// Existing objects that are not declared.
    pub unmanaged: Vec<Address>,
}

/// Number of changes by action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Objects to create.
    pub create: usize,
    /// Objects to update.
    pub update: usize,
    /// Objects to delete.
    pub delete: usize,
    /// Objects to delete and create again.
    pub replace: usize,
    /// Scripts to run.
    pub run: usize,
    /// Objects without changes.
    pub unchanged: usize,
}

impl Summary {
    pub(super) fn count(&mut self, action: Action) {
        match action {
            Action::Create => self.create += 1,
            Action::Update => self.update += 1,
            Action::Delete => self.delete += 1,
            Action::Replace => self.replace += 1,
            Action::Run => self.run += 1,
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeEntry {
    /// The object that the step changes.
    pub address: Address,
    /// The action on the object.
    pub action: Action,
    /// The worst risk.
    pub risk: Risk,
    /// All risks, the worst first; omitted if `risk` is the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// Why the change is needed.
    pub reason: String,
    /// Steps of this plan that must be done first.
    pub depends_on: Vec<Address>,
    /// One line for human readers, optionally followed by lines about details.
    pub summary: String,
    /// The observed state, without secrets and data.
    pub before: Option<Value>,
    /// The state after the change.
    pub after: Option<Value>,
    /// A unified text diff, if the change is to a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Digest of the observed state that led to this step; a saved plan is stale if it differs.
    pub seen: Digest,
}

impl ChangeEntry {
    /// Returns all risks.
    pub fn risks(&self) -> Risks {
        self.risks.iter().copied().chain([self.risk]).collect()
    }
}

impl Document {
    /// Sets the digest of the document. Must be called again after every modification.
    pub(super) fn seal(&mut self) {
        self.plan_digest = Digest::of("");
        self.plan_digest = Digest::of_json(self);
    }

    /// Whether the document is unmodified since it was sealed.
    pub(super) fn is_sealed(&self) -> bool {
        let mut again = self.clone();
        again.seal();
        again.plan_digest == self.plan_digest
    }

    /// Whether there is any change.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }
}

/// The JSON Schema of a plan.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Document);
    schema.insert("title".to_owned(), "trueup plan".into());
    schema.to_value()
}
