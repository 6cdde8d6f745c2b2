//! Drift for a terminal and for programs.

use serde_json::json;

use super::text::{changes, drift};
use super::{Paint, Tone};
use crate::plan::{Baseline, ChangeEntry, Drifted, SchemaBaseline};

/// Drift as text, ending in a newline.
pub fn drift_text(drifted: &Drifted, paint: Paint) -> String {
    let Drifted { stack, environment, baseline, changes: to_change, drift: left, untold, schema } = drifted;
    let name = paint.tone(Tone::Strong, stack);
    let mut out = format!("{name}, environment {}\n\n", paint.tone(Tone::Name, environment));
    changes(&mut out, to_change, paint);
    drift(&mut out, left, paint);
    if let SchemaBaseline::Recorded { run_elsewhere } = schema {
        for stem in run_elsewhere {
            out.push_str(stem);
            out.push_str(" was run by another tool; what it changed in the schema is no drift.\n");
        }
    }
    let ending = match (to_change.len(), left.len(), baseline) {
        (0, 0, Baseline::NeverApplied) => {
            "Nothing was applied whole yet: there is nothing to drift from.".to_owned()
        }
        (0, 0, _) if *schema == SchemaBaseline::NotRecorded => {
            "No schema of the system database is recorded: nothing is known to compare it with. `trueup apply` \
             records it. Nothing else differs."
                .to_owned()
        }
        (0, 0, _) if *untold > 0 => {
            format!("No drift is known; whether {untold} planned changes are drift cannot be told.")
        }
        (0, 0, _) => paint.tone(Tone::Good, "No drift."),
        (0, _, _) => {
            "No change will mend this: undo it, write it as a migration, or `trueup drift accept`.".to_owned()
        }
        (count, _, _) => changed(count, to_change),
    };
    out.push_str(&ending);
    out.push('\n');
    out
}

/// What was changed, and what `apply` does about it: a target is never written.
fn changed(count: usize, changes: &[ChangeEntry]) -> String {
    let what =
        if count == 1 { "1 thing was changed since it was" } else { "things were changed since they were" };
    let what = if count == 1 { what.to_owned() } else { format!("{count} {what}") };
    let of_targets = changes.iter().filter(|change| change.address.is_selected_by("target")).count();
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

/// Drift as one JSON object, ending in a newline.
pub fn drift_json(drifted: &Drifted) -> String {
    format!("{}\n", json!(drifted))
}
