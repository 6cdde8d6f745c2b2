//! A plan for a terminal: what changes, in order, then what was looked at, then one line of counts.

use serde_json::{Map, Value};

use super::{Paint, Tone};
use crate::address::Kind;
use crate::change::{Action, Check, Drift, Held, Risk, Status};
use crate::neutral::{block, one_line};
use crate::plan::{ChangeEntry, Document, Summary};

/// A diff longer than this is cut in text; JSON has it whole.
const MOST_DIFF_LINES: usize = 60;
/// A first plan has many migrations that are safe: when all of them together are longer than this,
/// their lines are counted and not shown.
const MOST_SAFE_LINES: usize = 60;

/// The plan as text, ending in a newline.
pub fn plan_text(plan: &Document, paint: Paint) -> String {
    let mut out = String::new();
    head(&mut out, plan, paint);
    changes(&mut out, &plan.changes, paint);
    held(&mut out, "Blocked", &plan.blocked, paint);
    held(&mut out, "Known later", &plan.deferred, paint);
    drift(&mut out, &plan.drift, paint);
    checks(&mut out, &plan.checks, paint);
    unmanaged(&mut out, plan, paint);
    line(&mut out, &counts(plan, paint));
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn head(out: &mut String, plan: &Document, paint: Paint) {
    if let Some(before) = &plan.stack_before {
        let text = format!("! the stack changes from {before} to {}", plan.stack);
        line(out, &paint.tone(Tone::Warning, &text));
    }
    if let Some(before) = &plan.environment_before {
        let text = format!("! the environment changes from {before} to {}", plan.environment);
        line(out, &paint.tone(Tone::Warning, &text));
    }
    let name = paint.tone(Tone::Strong, &plan.stack);
    line(out, &format!("{name}, environment {}", paint.tone(Tone::Name, &plan.environment)));
    for note in &plan.notes {
        line(out, &paint.tone(Tone::Faint, &format!("note: {note}")));
    }
    out.push('\n');
}

/// The sign and tone of an action.
pub(super) fn sign(action: Action) -> (&'static str, Tone) {
    match action {
        Action::Create => ("+", Tone::Good),
        Action::Update => ("~", Tone::Warning),
        Action::Delete => ("-", Tone::Bad),
        Action::Replace => ("±", Tone::Bad),
        Action::Run => (">", Tone::Good),
    }
}

/// Each change on a line, with what differs below it.
pub(super) fn changes(out: &mut String, changes: &[ChangeEntry], paint: Paint) {
    let width =
        changes.iter().map(|change| one_line(change.address.as_str()).chars().count()).max().unwrap_or(0);
    let safe_lines: usize = changes.iter().filter(|change| is_safe_sql(change)).filter_map(diff_length).sum();
    let is_short = safe_lines <= MOST_SAFE_LINES;
    for change in changes {
        let (sign, tone) = sign(change.action);
        let address = format!("{:width$}", one_line(change.address.as_str()));
        let risks = format!("[{}]", change.risks().names());
        let risk = match change.risk {
            Risk::Safe => String::new(),
            Risk::Locking | Risk::Unvalidated => format!(" {}", paint.tone(Tone::Warning, &risks)),
            Risk::Destructive => format!(" {}", paint.tone(Tone::Bad, &risks)),
        };
        let head = paint.tone(tone, &format!("  {sign} {address}"));
        let why = paint.tone(Tone::Faint, &format!("({})", change.reason));
        // Findings of the lint stand below what a migration does; any other summary has one line.
        let has_findings = matches!(change.address.kind(), Kind::Migration | Kind::Repeatable);
        let (first, findings) = match change.summary.split_once('\n') {
            Some((first, findings)) if has_findings => (first, findings),
            _ => (change.summary.as_str(), ""),
        };
        line(out, &format!("{head}  {}{risk} {why}", one_line(first)));
        for more in findings.lines() {
            line(out, &format!("      {}", paint.tone(Tone::Warning, more)));
        }
        details(out, change, is_short, paint);
    }
    if !changes.is_empty() {
        out.push('\n');
    }
}

/// Whether a change runs a text that needs no reading line by line.
fn is_safe_sql(change: &ChangeEntry) -> bool {
    change.action == Action::Run && change.risk == Risk::Safe
}

fn diff_length(change: &ChangeEntry) -> Option<usize> {
    change.diff.as_ref().map(|diff| diff.lines().count())
}

/// What differs, under an update or where a change brings a diff.
fn details(out: &mut String, change: &ChangeEntry, is_short: bool, paint: Paint) {
    if let Some(diff) = &change.diff {
        if is_safe_sql(change) && !is_short {
            let count = diff.lines().count();
            let plural = if count == 1 { "" } else { "s" };
            let text = format!("{count} line{plural} of SQL; `--format json` has all");
            line(out, &format!("      {}", paint.tone(Tone::Faint, &text)));
        } else {
            diff_lines(out, diff, paint);
        }
        return;
    }
    let (Action::Update | Action::Replace, Some(Value::Object(before)), Some(Value::Object(after))) =
        (change.action, &change.before, &change.after)
    else {
        return;
    };
    differences(out, "", before, after);
}

/// The keys whose values differ, those of nested objects by their path.
fn differences(out: &mut String, path: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
    // Rows are compared by digests: which columns differ is known, and what they hold is not shown.
    let differs = before.get("differs").and_then(Value::as_array);
    let is_shown = |key: &String| {
        // A digest tells a person nothing.
        key != "digest" && differs.is_none_or(|differs| differs.iter().any(|name| name == key))
    };
    for (key, new) in after.iter().filter(|(key, _)| is_shown(key)) {
        match (before.get(key), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                differences(out, &format!("{path}{}.", one_line(key)), old, new);
            }
            (Some(old), new) => {
                line(out, &format!("      {path}{}: {} → {}", one_line(key), short(old), short(new)));
            }
            (None, new) => line(out, &format!("      {path}{}: {}", one_line(key), short(new))),
        }
    }
}

/// One value on one line, cut where it is long.
fn short(value: &Value) -> String {
    const MOST: usize = 72;
    let text = one_line(&value.to_string()).into_owned();
    if text.chars().count() <= MOST {
        return text;
    }
    let cut: String = text.chars().take(MOST).collect();
    format!("{cut}…")
}

fn diff_lines(out: &mut String, diff: &str, paint: Paint) {
    for text in block(diff).lines().take(MOST_DIFF_LINES) {
        let painted = match text.chars().next() {
            Some('+') => paint.tone(Tone::Good, text),
            Some('-') => paint.tone(Tone::Bad, text),
            Some('~') => paint.tone(Tone::Warning, text),
            _ => paint.tone(Tone::Faint, text),
        };
        line(out, &format!("      {painted}"));
    }
    let rest = diff.lines().count().saturating_sub(MOST_DIFF_LINES);
    if rest > 0 {
        let plural = if rest == 1 { "" } else { "s" };
        line(out, &format!("      … {rest} more line{plural}; `--format json` has all"));
    }
}

fn held(out: &mut String, title: &str, entries: &[Held], paint: Paint) {
    if entries.is_empty() {
        return;
    }
    line(out, &paint.tone(Tone::Strong, title));
    for Held { address, reason } in entries {
        line(
            out,
            &format!(
                "  {} {}: {}",
                paint.tone(Tone::Warning, "!"),
                one_line(address.as_str()),
                one_line(reason)
            ),
        );
    }
    out.push('\n');
}

/// What differs and no change will mend.
pub(super) fn drift(out: &mut String, drift: &[Drift], paint: Paint) {
    if drift.is_empty() {
        return;
    }
    line(out, &paint.tone(Tone::Strong, "Drift"));
    for drift in drift {
        line(
            out,
            &format!(
                "  {} {}: {}",
                paint.tone(Tone::Warning, "!"),
                one_line(drift.address.as_str()),
                one_line(&drift.summary)
            ),
        );
        diff_lines(out, &drift.diff, paint);
    }
    out.push('\n');
}

fn checks(out: &mut String, checks: &[Check], paint: Paint) {
    if checks.is_empty() {
        return;
    }
    line(out, &paint.tone(Tone::Strong, "Checks"));
    for Check { address, status, message } in checks {
        let word = match status {
            Status::Pass => paint.tone(Tone::Good, "pass"),
            Status::Warn => paint.tone(Tone::Warning, "warn"),
            Status::Fail => paint.tone(Tone::Bad, "fail"),
        };
        line(out, &format!("  {word}  {}: {}", one_line(address.as_str()), one_line(message)));
    }
    out.push('\n');
}

fn unmanaged(out: &mut String, plan: &Document, paint: Paint) {
    if plan.unmanaged.is_empty() {
        return;
    }
    let names: Vec<_> = plan.unmanaged.iter().map(|address| one_line(address.as_str())).collect();
    line(out, &format!("{} {}", paint.tone(Tone::Strong, "Not managed:"), names.join(", ")));
    out.push('\n');
}

fn counts(plan: &Document, paint: Paint) -> String {
    let Summary { create, update, delete, replace, run, unchanged } = plan.summary;
    if plan.changes.is_empty() {
        let failed = plan.checks.iter().filter(|check| check.status == Status::Fail).count();
        if failed > 0 || !plan.blocked.is_empty() {
            let checks =
                if failed == 1 { "1 failed check".to_owned() } else { format!("{failed} failed checks") };
            let nothing = paint.tone(Tone::Bad, "Nothing can be changed now:");
            return format!(
                "{nothing} {} blocked, {} known later, {checks}; {unchanged} unchanged.",
                plan.blocked.len(),
                plan.deferred.len()
            );
        }
        let nothing = paint.tone(Tone::Good, "No changes.");
        return if !plan.drift.is_empty() {
            format!(
                "{nothing} {unchanged} unchanged; what was changed by hand is shown above and is left alone."
            )
        } else if plan.complete {
            format!("{nothing} What is there is what the spec says ({unchanged} unchanged).")
        } else {
            format!("{nothing} {unchanged} unchanged, {} known later.", plan.deferred.len())
        };
    }
    let replace = if replace > 0 { format!(", {replace} to replace") } else { String::new() };
    let plan_word = paint.tone(Tone::Strong, "Plan:");
    format!(
        "{plan_word} {create} to create, {update} to update, {delete} to delete{replace}, {run} to run; {unchanged} unchanged."
    )
}
