//! Reads examples: a YAML list of questions with the SQL that answers them.

use serde::Deserialize;

use super::{FileRef, collect_all, yaml};
use crate::stack::Example;
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::typed;
use crate::stack::typed::field::{Field, Opt};
use crate::suggest::declared;

#[derive(Deserialize)]
struct RawExample {
    question: Opt<String>,
    sql: Opt<String>,
    target: Opt<String>,
}

/// Reads a file of examples on the declared targets and reports errors.
pub(in crate::stack) fn examples(
    cx: &Context<'_>,
    named: FileRef<'_>,
    targets: &[&str],
) -> Option<Vec<Example>> {
    let Some(root) = yaml(cx, named)? else { return Some(Vec::new()) };
    let raw: Vec<Field<RawExample>> = typed::read(cx, &root)?;
    collect_all(raw.into_iter().map(|raw| example(cx, raw, targets)))
}

fn example(cx: &Context<'_>, raw: Field<RawExample>, targets: &[&str]) -> Option<Example> {
    let at = raw.at;
    let RawExample { question, sql, target } = raw.value?;
    for (name, missing) in [("question", question.at().is_none()), ("sql", sql.at().is_none())] {
        if missing {
            cx.fail(
                Code::MissingKey,
                at,
                format!("an example without `{name}`"),
                "this example",
                "an example is `{ question, sql }`",
            );
        }
    }
    let target = match target.0 {
        None => None,
        Some(Field { at, value }) => {
            let value = value?;
            if !targets.contains(&value.as_str()) {
                let help = declared(&value, targets.iter().copied());
                cx.fail(
                    Code::UnknownReference,
                    at,
                    format!("no target is named `{value}`"),
                    "not declared",
                    help,
                );
                return None;
            }
            Some(value)
        }
    };
    Some(Example { question: question.0?.value?, sql: sql.0?.value?, target, at: cx.at(at) })
}
