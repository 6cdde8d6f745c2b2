//! Policies: each denies one risk or one flag.

use std::collections::BTreeMap;

use super::flags::Declared;
use super::values::{plain_key, read_each};
use crate::change::Risk;
use crate::stack::Denies;
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::raw::{DeniedRisk, Policy as Raw, Spec};
use crate::stack::yaml::tree::Span;

/// Returns all policies; `None` if one is invalid.
pub(super) fn policies(cx: &Context<'_>, spec: &Spec, flags: &Declared) -> Option<BTreeMap<String, Denies>> {
    read_each(spec.policies.entries(), |key, field| {
        plain_key(cx, "policy", key);
        denies(cx, field.value.as_ref()?, key.at, flags)
    })
}

fn denies(cx: &Context<'_>, raw: &Raw, at: Span, flags: &Declared) -> Option<Denies> {
    match (raw.deny.field(), raw.deny_flag.field()) {
        (Some(risk), None) => Some(Denies::Risk(match risk.value? {
            DeniedRisk::Destructive => Risk::Destructive,
            DeniedRisk::Locking => Risk::Locking,
            DeniedRisk::Unvalidated => Risk::Unvalidated,
        })),
        (None, Some(flag)) => {
            let name = flag.value.as_ref()?;
            flags.is_declared(cx, name, flag.at).then(|| Denies::Flag(name.clone()))
        }
        (Some(_), Some(_)) => {
            cx.fail(
                Code::BadValue,
                at,
                "a policy with both `deny` and `deny_flag`",
                "this policy",
                "write two policies",
            );
            None
        }
        (None, None) => {
            let help = "write `deny: destructive` or `deny_flag: seed_demo_data`";
            cx.fail(Code::MissingKey, at, "a policy that denies nothing", "this policy", help);
            None
        }
    }
}
