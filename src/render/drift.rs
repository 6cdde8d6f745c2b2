//! Drift as text and as JSON.

use serde_json::json;

use super::Tone;
use super::changes::{changes, drift};
use super::page::{Page, Style};
use crate::address::Component;
use crate::apply::TextChanges;
use crate::plan::{Baseline, ChangeEntry, DriftReport, SchemaBaseline};

/// Renders drift as text, ending in a newline.
pub fn drift_text(drifted: &DriftReport, style: Style) -> String {
    let DriftReport {
        stack,
        environment,
        baseline,
        changes: to_change,
        drift: left,
        unlisted,
        schema,
        failed_checks,
    } = drifted;
    let mut page = Page::new(style);
    let (name, environment) = (page.tone(Tone::Strong, stack), page.tone(Tone::Name, environment));
    page.line(&format!("{name}, environment {environment}"));
    changes(&mut page, to_change, &TextChanges::new());
    drift(&mut page, left);
    page.gap();
    if let SchemaBaseline::Recorded { run_elsewhere } = schema {
        for stem in run_elsewhere {
            page.row(2, &format!("another tool ran {stem}; its schema changes are not drift."));
        }
    }
    let ending = match (to_change.len(), left.len(), baseline) {
        (0, 0, Baseline::NeverApplied) => {
            "No run has succeeded yet, so there is nothing to compare with.".to_owned()
        }
        (0, 0, _) if *schema == SchemaBaseline::NotRecorded => {
            "No schema of the system database is recorded: nothing is known to compare it with. `trueup apply` \
             records it. Nothing else differs."
                .to_owned()
        }
        (0, 0, _) if *unlisted > 0 => {
            let changes = if *unlisted == 1 { "change" } else { "changes" };
            format!("No drift found. {unlisted} planned {changes} may come from the spec or be drift.")
        }
        (0, 0, _) if !failed_checks.is_empty() => {
            let checks = if failed_checks.len() == 1 { "check" } else { "checks" };
            format!(
                "No drift found, but {} {checks} failed: what they are about could not be examined.",
                failed_checks.len()
            )
        }
        (0, 0, _) => page.tone(Tone::Good, "No drift."),
        (0, _, _) => {
            "`trueup apply` does not fix this: undo it, write it as a migration, or run `trueup drift accept`.".to_owned()
        }
        (count, _, _) => changed(count, to_change),
    };
    page.row(2, &ending);
    page.into_text()
}

/// Describes the drifted objects, and what `apply` does about them: it never writes to a target.
fn changed(count: usize, changes: &[ChangeEntry]) -> String {
    let what = if count == 1 {
        "1 object differs from what was".to_owned()
    } else {
        format!("{count} objects differ from what was")
    };
    let of_targets = changes.iter().filter(|change| change.address.component() == Component::Target).count();
    let it = if count == 1 { "it" } else { "them" };
    match of_targets {
        0 => format!("{what} applied; `trueup apply` changes {it} back."),
        _ if of_targets == count => format!(
            "{what} applied; a target is never written: `trueup apply` records its schema as it is now."
        ),
        _ => format!(
            "{what} applied; `trueup apply` records the schemas of targets as they are now, and brings the rest \
             in line with them and with the spec."
        ),
    }
}

/// Renders drift as one JSON object, ending in a newline.
pub fn drift_json(drifted: &DriftReport) -> String {
    format!("{}\n", json!(drifted))
}
