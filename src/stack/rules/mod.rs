//! Validates the spec section by section, across keys, and fills in defaults. All errors are
//! reported; only a spec without errors becomes a stack.

mod address;
mod cache;
mod connection;
mod embedder;
mod flags;
mod objects;
mod policies;
mod roles;
mod seeds;
mod system;
mod targets;
mod users;
mod values;

pub use values::parse_duration;
mod vector;

use std::path::Path;

use super::context::Context;
use super::error::Code;
use super::raw::Spec;
use super::yaml::tree::{Node, Span};
use super::{Stack, raw};
use crate::digest::Digest;
use crate::redact::Redactor;
use values::{name_of, required};

/// Validates a spec that was read from `root` and converts it to a stack, without digest and
/// warnings.
pub(super) fn check(cx: &Context<'_>, file: &Path, root: &Node, spec: &Spec) -> Option<Stack> {
    let top = root.at;
    version(cx, spec, top);
    let name = required(cx, &spec.stack, "stack", top, "such as `stack: insight`");
    let name =
        name.filter(|(name, at)| name_of(cx, "stack", name, *at, values::is_lower_name, "[a-z][a-z0-9-]*"));
    let environment = required(cx, &spec.environment, "environment", top, "such as `environment: dev`");
    let environment = environment
        .filter(|(name, at)| name_of(cx, "environment", name, *at, values::is_lower_name, "[a-z][a-z0-9-]*"));
    let flags = flags::flags(cx, spec, environment);
    let objects::Objects { declared, protected, moved } = objects::objects(cx, spec);
    let system = required(cx, &spec.system, "system", top, "the application's own database");
    let system = system.and_then(|(raw, at)| system::system(cx, raw, at, &flags));
    let targets = targets::targets(cx, spec, &flags);
    let ontologies: Vec<&str> = named(spec.system.value());
    let target_names: Vec<&str> = match spec.targets.value() {
        Some(targets) => targets.0.iter().map(|(key, _)| key.name.as_str()).collect(),
        None => Vec::new(),
    };
    let vector = match spec.vector.field() {
        None => Some(None),
        Some(field) => field
            .value
            .as_ref()
            .and_then(|raw| vector::vector(cx, raw, field.at, &target_names, &ontologies))
            .map(Some),
    };
    let cache = match spec.cache.field() {
        None => Some(None),
        Some(field) => field.value.as_ref().and_then(|raw| cache::cache(cx, raw, field.at)).map(Some),
    };
    let policies = policies::policies(cx, spec, &flags);
    address::check_distinct(cx, system.as_ref(), targets.as_ref(), vector.as_ref(), cache.as_ref());
    Some(Stack {
        name: name?.0.clone(),
        environment: environment?.0.clone(),
        file: file.to_owned(),
        flags: flags.values,
        system: system?,
        targets: targets?,
        vector: vector?,
        cache: cache?,
        policies: policies?,
        declared,
        protected,
        moved: moved?,
        digest: Digest::of(""),
        warnings: Vec::new(),
        secrets: Redactor::default(),
    })
}

fn version(cx: &Context<'_>, spec: &Spec, top: Span) {
    if let Some((version, at)) =
        required(cx, &spec.version, "version", top, "the version of this language: `version: 1`")
        && *version != 1
    {
        let help = "this version of trueup reads `version: 1`";
        cx.fail(Code::BadValue, at, format!("version {version} of the spec is not known"), "not known", help);
    }
}

fn named(system: Option<&raw::System>) -> Vec<&str> {
    let ontologies = system.and_then(|system| system.ontologies.value());
    ontologies.into_iter().flat_map(|all| &all.0).map(|(key, _)| key.name.as_str()).collect()
}
