//! Drift for a terminal and for programs.

use serde_json::json;

use super::text::{changes, drift};
use super::{Paint, Tone};
use crate::plan::{Baseline, Drifted, SchemaBaseline};

/// Drift as text, ending in a newline.
pub fn drift_text(drifted: &Drifted, paint: Paint) -> String {
    let Drifted { stack, environment, baseline, changes: to_change, drift: left, untold: _, schema } =
        drifted;
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
        (0, 0, _) => paint.tone(Tone::Good, "No drift."),
        (0, _, _) => {
            "No change will mend this: undo it, write it as a migration, or `trueup drift accept`.".to_owned()
        }
        (1, _, _) => "1 thing was changed since it was applied; `trueup apply` changes it back.".to_owned(),
        (count, _, _) => {
            format!("{count} things were changed since they were applied; `trueup apply` changes them back.")
        }
    };
    out.push_str(&ending);
    out.push('\n');
    out
}

/// Drift as one JSON object, ending in a newline.
pub fn drift_json(drifted: &Drifted) -> String {
    format!("{}\n", json!(drifted))
}
