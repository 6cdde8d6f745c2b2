//! Flags: the three built-in ones with their defaults, and the constraints between them.

use std::collections::BTreeMap;

use super::values::plain_key;
use crate::stack::context::Context;
use crate::stack::error::{Code, Reported};
use crate::stack::raw::Spec;
use crate::stack::typed::field::Opt;
use crate::stack::yaml::tree::Span;
use crate::stack::{Flags, When, is_production};
use crate::suggest::declared;

const SEED: &str = "seed_demo_data";
const TARGETS: &str = "enable_target_db";
const TRAIN: &str = "auto_train_vector";

/// The flags, with the locations of those in the spec.
pub(super) struct Declared {
    pub values: Flags,
    places: BTreeMap<String, Span>,
}

impl Declared {
    fn at(&self, flag: &str, otherwise: Span) -> Span {
        self.places.get(flag).copied().unwrap_or(otherwise)
    }

    /// Whether a flag is declared; reports it otherwise.
    pub(super) fn is_declared(&self, cx: &Context<'_>, flag: &str, at: Span) -> bool {
        let known = self.values.0.contains_key(flag);
        if !known {
            let at = cx.within(at, flag);
            let help = declared(flag, self.values.0.keys().map(String::as_str));
            cx.fail(Code::UnknownReference, at, format!("no flag is named `{flag}`"), "not declared", help);
        }
        known
    }

    /// Parses `flag` or `not flag`.
    pub(super) fn when(&self, cx: &Context<'_>, when: &Opt<String>) -> Result<Option<When>, Reported> {
        let Some(field) = when.field() else { return Ok(None) };
        let (text, at) = (field.value.as_deref().ok_or(Reported)?.trim(), field.at);
        let (flag, negated) = match text.strip_prefix("not ") {
            Some(flag) => (flag.trim(), true),
            None => (text, false),
        };
        if flag.is_empty() || flag.contains(char::is_whitespace) {
            let help = "accepted are `flag` and `not flag`";
            cx.fail(Code::BadValue, at, "not a condition", "this value", help);
            return Err(Reported);
        }
        if self.is_declared(cx, flag, at) {
            Ok(Some(When { flag: flag.to_owned(), negated }))
        } else {
            Err(Reported)
        }
    }
}

/// Reads the flags and validates their combination.
pub(super) fn flags(cx: &Context<'_>, spec: &Spec, environment: Option<(&String, Span)>) -> Declared {
    let mut values = BTreeMap::from([SEED, TARGETS, TRAIN].map(|flag| (flag.to_owned(), flag == SEED)));
    let mut places = BTreeMap::new();
    let mut wrong = Vec::new();
    for (key, field) in spec.flags.value().into_iter().flat_map(|flags| &flags.0) {
        plain_key(cx, "flag", key);
        places.insert(key.name.clone(), key.at);
        if let Some(value) = field.value {
            values.insert(key.name.clone(), value);
        } else {
            values.entry(key.name.clone()).or_insert(false);
            wrong.push(key.name.as_str());
        }
    }
    let flags = Declared { values: Flags(values), places };
    // A flag that could not be read is not checked further.
    let known = |flag: &str| !wrong.contains(&flag);
    if known(SEED) {
        no_demo_data_in_production(cx, &flags, environment);
    }
    if known(TARGETS) && known(TRAIN) {
        check_together(cx, spec, &flags);
    }
    flags
}

fn no_demo_data_in_production(cx: &Context<'_>, flags: &Declared, environment: Option<(&String, Span)>) {
    let Some((name, named_at)) = environment else { return };
    if !is_production(name) || !flags.values.is_on(SEED) {
        return;
    }
    let label = if flags.places.contains_key(SEED) { "true here" } else { "its default is true" };
    let message = format!("`{SEED}` is true in the environment `{name}`");
    let help = format!("production has no demo data: write `flags: {{ {SEED}: false }}`");
    cx.fail(Code::DemoDataInProduction, flags.at(SEED, named_at), message, label, help);
}

fn check_together(cx: &Context<'_>, spec: &Spec, flags: &Declared) {
    let Some(top) = spec.flags.at() else {
        warn_of_targets_that_are_off(cx, spec);
        return;
    };
    let targets = spec.targets.field().map(|field| field.value.as_ref().map(|targets| targets.0.len()));
    let enabled = flags.values.is_on(TARGETS);
    if enabled && matches!(targets, None | Some(Some(0))) {
        let message = format!("`{TARGETS}` is on, and there is no target");
        let help = format!("add one under `targets:`, or write `{TARGETS}: false`");
        cx.fail(Code::Flags, flags.at(TARGETS, top), message, "needs a target", help);
    }
    if !enabled {
        warn_of_targets_that_are_off(cx, spec);
    }
    if flags.values.is_on(TRAIN) {
        let at = flags.at(TRAIN, top);
        if !enabled {
            let message = format!("`{TRAIN}` needs `{TARGETS}`, which is off");
            let help = format!(
                "the vector store is trained from the schema of targets: write `{TARGETS}: true`, or `{TRAIN}: false`"
            );
            cx.fail(Code::Flags, at, message, "nothing to train from", help);
        }
        if spec.vector.at().is_none() {
            let message = format!("`{TRAIN}` is on, and there is no vector store");
            cx.fail(
                Code::Flags,
                at,
                message,
                "nothing to train",
                format!("add `vector:`, or write `{TRAIN}: false`"),
            );
        }
    }
}

fn warn_of_targets_that_are_off(cx: &Context<'_>, spec: &Spec) {
    let targets = spec.targets.value();
    for (key, _) in targets.into_iter().flat_map(|targets| &targets.0) {
        let message = format!("the target `{}` has an address, and `{TARGETS}` is off", key.name);
        cx.warn(key.at, message, format!("it is not read; write `{TARGETS}: true` to read it"));
    }
}
