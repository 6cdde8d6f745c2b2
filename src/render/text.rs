//! A plan as text: changes, blocked and deferred objects, checks, and a final line with counts.

use std::collections::BTreeMap;

use super::Tone;
use super::changes::{changes, drift};
use super::page::{Detail, Page, Style};
use crate::address::Kind;
use crate::apply::TextChanges;
use crate::change::{Check, Held, Status};
use crate::neutral::one_line;
use crate::plan::{Document, Summary};

/// Renders the plan as one indented JSON object, ending in a newline.
pub fn plan_json(plan: &Document) -> String {
    format!("{:#}\n", serde_json::json!(plan))
}

/// Renders the plan as text, ending in a newline.
pub fn plan_text(plan: &Document, style: Style) -> String {
    live_plan_text(plan, &TextChanges::new(), style)
}

/// Like [`plan_text`], with the changes of texts, which are read from the store and not part of the plan.
pub fn live_plan_text(plan: &Document, texts: &TextChanges, style: Style) -> String {
    let mut page = Page::new(style);
    head(&mut page, plan);
    changes(&mut page, &plan.changes, texts);
    held(&mut page, "Blocked", &plan.blocked);
    held(&mut page, "Deferred", &plan.deferred);
    drift(&mut page, &plan.drift);
    checks(&mut page, &plan.checks);
    unmanaged(&mut page, plan);
    page.gap();
    let counts = counts(plan, &page);
    page.row(2, &counts);
    page.into_text()
}

fn head(page: &mut Page, plan: &Document) {
    let moves = [
        ("stack", &plan.stack_before, &plan.stack),
        ("environment", &plan.environment_before, &plan.environment),
    ];
    for (what, before, now) in moves {
        if let Some(before) = before {
            let text = page.tone(Tone::Warning, &format!("! the {what} changes from {before} to {now}"));
            page.row(2, &text);
        }
    }
    let (name, environment) =
        (page.tone(Tone::Strong, &plan.stack), page.tone(Tone::Name, &plan.environment));
    page.line(&format!("{name}, environment {environment}"));
    for note in &plan.notes {
        let note = page.tone(Tone::Faint, &format!("note: {note}"));
        page.row(6, &note);
    }
}

/// Renders blocked or deferred objects, grouped by reason.
fn held(page: &mut Page, title: &str, entries: &[Held]) {
    if entries.is_empty() {
        return;
    }
    page.heading(title);
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Held { address, reason } in entries {
        by_reason.entry(reason).or_default().push(address.as_str());
    }
    for (reason, addresses) in by_reason {
        let mark = page.tone(Tone::Warning, "!");
        let addresses = one_line(&addresses.join(", ")).into_owned();
        page.row(6, &format!("  {mark} {addresses}: {}", one_line(reason)));
    }
}

/// Renders warnings and failures individually, and counts passed checks.
fn checks(page: &mut Page, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    page.heading("Checks");
    // A passed rehearsal is shown, because the user asked for it and it reports how much was run.
    let is_counted = |check: &&Check| {
        let is_plain = check.status == Status::Pass && check.address.kind() != Kind::Rehearsal;
        is_plain && page.style.detail == Detail::Short
    };
    let (passed, shown): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(is_counted);
    for Check { address, status, message } in shown {
        let word = match status {
            Status::Pass => page.tone(Tone::Good, "pass"),
            Status::Warn => page.tone(Tone::Warning, "warn"),
            Status::Fail => page.tone(Tone::Bad, "fail"),
        };
        page.row(8, &format!("  {word}  {}: {}", one_line(address.as_str()), one_line(message)));
    }
    if !passed.is_empty() {
        let word = page.tone(Tone::Good, "pass");
        let names: Vec<_> = passed.iter().map(|check| one_line(check.address.as_str())).collect();
        let hint = page.tone(Tone::Faint, "(`-v` says more)");
        page.row(8, &format!("  {word}  {}: {} {hint}", passed.len(), names.join(", ")));
    }
}

fn unmanaged(page: &mut Page, plan: &Document) {
    if plan.unmanaged.is_empty() {
        return;
    }
    page.gap();
    let names: Vec<_> = plan.unmanaged.iter().map(|address| one_line(address.as_str())).collect();
    let title = page.tone(Tone::Strong, "Not managed:");
    page.row(2, &format!("{title} {}", names.join(", ")));
}

fn counts(plan: &Document, page: &Page) -> String {
    let Summary { create, update, delete, replace, run, unchanged } = plan.summary;
    let counted = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let later = counted(plan.deferred.len(), "deferred");
    let blocked = counted(plan.blocked.len(), "blocked");
    if !plan.changes.is_empty() {
        let replace = counted(replace, "to replace").map_or_else(String::new, |text| format!(", {text}"));
        let held: Vec<String> =
            [Some(format!("{unchanged} unchanged")), blocked, later].into_iter().flatten().collect();
        let word = page.tone(Tone::Strong, "Plan:");
        return format!(
            "{word} {create} to create, {update} to update, {delete} to delete{replace}, {run} to run; \
             {}.",
            held.join(", ")
        );
    }
    let failed = plan.checks.iter().filter(|check| check.status == Status::Fail).count();
    if failed > 0 || !plan.blocked.is_empty() {
        let checks =
            if failed == 1 { "1 failed check".to_owned() } else { format!("{failed} failed checks") };
        let nothing = page.tone(Tone::Bad, "Nothing can be changed now:");
        return format!(
            "{nothing} {} blocked, {} deferred, {checks}; {unchanged} unchanged.",
            plan.blocked.len(),
            plan.deferred.len()
        );
    }
    if let Some(later) = later {
        let nothing = page.tone(Tone::Warning, "Nothing to do yet:");
        return format!("{nothing} {later}; {unchanged} unchanged.");
    }
    let nothing = page.tone(Tone::Good, "No changes.");
    if plan.drift.is_empty() {
        format!("{nothing} Everything matches the spec ({unchanged} unchanged).")
    } else {
        format!("{nothing} {unchanged} unchanged; the manual changes listed above are left as they are.")
    }
}
