//! The plan as people and pipelines read it: the JSON of `plan --format json`, and the saved file.
//! Described by `schemas/plan.schema.json`, which a test holds equal to these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::change::{Action, Check, Drift, Held, Risk, Risks};
use crate::digest::Digest;

/// Version of the form. A reader refuses another one.
pub const FORMAT_VERSION: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of this form.
    pub format_version: u32,
    /// The trueup that made it.
    pub trueup_version: String,
    /// The stack.
    pub stack: String,
    /// The stack last applied to this database, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_before: Option<String>,
    /// The environment.
    pub environment: String,
    /// The environment last applied, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_before: Option<String>,
    /// False when something could not be planned yet; see `deferred`.
    pub complete: bool,
    /// Digest of the spec and the files that it names; placeholders in place of secrets.
    pub spec_digest: Digest,
    /// Digest of everything that was observed.
    pub world_digest: Digest,
    /// Digest of this document without this field; an altered file is refused.
    pub plan_digest: Digest,
    /// Counts.
    pub summary: Summary,
    /// Remarks for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The steps, in a valid execution order.
    pub changes: Vec<ChangeEntry>,
    /// What was looked at, with a verdict.
    pub checks: Vec<Check>,
    /// What differs though the spec did not change and no change will mend.
    pub drift: Vec<Drift>,
    /// What may not run, with the reason.
    pub blocked: Vec<Held>,
    /// What could not be planned yet, with what it waits for.
    pub deferred: Vec<Held>,
    /// What is there and nobody declared.
    pub unmanaged: Vec<Address>,
}

/// How many changes of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// To make.
    pub create: usize,
    /// To change.
    pub update: usize,
    /// To take back.
    pub delete: usize,
    /// To make anew.
    pub replace: usize,
    /// To execute.
    pub run: usize,
    /// As they should be.
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
    /// What it is about.
    pub address: Address,
    /// What it does.
    pub action: Action,
    /// The worst of what it may cost.
    pub risk: Risk,
    /// All that it may cost, the worst first; left out where `risk` says all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// Why it is needed.
    pub reason: String,
    /// Steps of this plan that come first.
    pub depends_on: Vec<Address>,
    /// One line for people; lines below it say what is worth knowing about parts of it.
    pub summary: String,
    /// What is there, as far as it may be shown.
    pub before: Option<Value>,
    /// What will be there.
    pub after: Option<Value>,
    /// A unified text diff, where one helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Digest of what was observed and led to this step; a saved plan is stale when it differs.
    pub seen: Digest,
}

impl ChangeEntry {
    /// All that it may cost.
    pub fn risks(&self) -> Risks {
        self.risks.iter().copied().chain([self.risk]).collect()
    }
}

impl Document {
    /// Gives it the digest of what it says. Whatever changes a plan seals it again.
    pub(super) fn seal(&mut self) {
        self.plan_digest = Digest::of("");
        self.plan_digest = Digest::of_json(self);
    }

    /// Whether it says what it said when it was sealed.
    pub(super) fn is_sealed(&self) -> bool {
        let mut again = self.clone();
        again.seal();
        again.plan_digest == self.plan_digest
    }

    /// Whether there is anything to do.
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
