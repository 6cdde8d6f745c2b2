//! The events of a run as lines of text or JSON, and the final summary.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Paint, Tone};
use crate::apply::{Event, Note, Totals};
use crate::journal::{Move, Outcome};
use crate::neutral::{block, one_line};

/// Renders a note for human readers.
pub fn note_text(note: &Note) -> String {
    match note {
        Note::Unreachable { error, patience } => format!("{error}; waiting up to {patience:?}"),
        Note::Waiting { address, on } => format!("{address} waits for {on}"),
        Note::LockLost { reason } => {
            format!("the lock was lost while the question was open ({reason}): it is taken again")
        }
        Note::TextsUnread { address, error } => {
            format!("the former texts of {address} are not shown: {error}")
        }
        Note::Crashed(run) => format!(
            "run {} of {}, by {}, crashed; this run continues from the current state",
            run.id, run.started_at, run.who
        ),
        Note::Renamed(Move { from, to }) => format!("{from} is now named {to} in the bookkeeping"),
        Note::Stopping => {
            "interrupted: running steps finish and no other step starts; press Ctrl-C again to stop at once"
                .to_owned()
        }
    }
}

/// Renders an event for `apply --format json`; `None` for events that are only for human readers.
pub fn event_json(event: &Event, at: &str) -> Option<Value> {
    let (address, elapsed, outcome) = match event {
        Event::Note(_) | Event::Begun { .. } | Event::Counted { .. } => return None,
        Event::Started { address } => {
            return Some(json!({"event": "started", "address": address, "at": at}));
        }
        Event::Ended { address, elapsed, outcome } => (address, elapsed, outcome),
    };
    let (name, error, warnings): (&str, Option<&String>, &[String]) = match outcome {
        Outcome::Warned(warnings) => ("finished", None, warnings),
        Outcome::Done | Outcome::Unchanged => ("finished", None, &[]),
        Outcome::Skipped(reason) => ("skipped", Some(reason), &[]),
        Outcome::Failed(error) => ("failed", Some(error), &[]),
        Outcome::Blocked(reason) => ("blocked", Some(reason), &[]),
    };
    let mut object = json!({"event": name, "address": address, "at": at});
    if let Value::Object(object) = &mut object {
        object.extend(elapsed.map(|elapsed| ("seconds".to_owned(), json!(elapsed.as_secs_f64()))));
        object.extend(error.map(|error| ("error".to_owned(), json!(error))));
        if *outcome == Outcome::Unchanged {
            object.insert("unchanged".to_owned(), json!(true));
        }
        if !warnings.is_empty() {
            object.insert("warnings".to_owned(), json!(warnings));
        }
    }
    Some(object)
}

/// Renders the last object of `apply --format json`.
pub fn summary_json(totals: &Totals, run: Option<&str>) -> Value {
    let Totals { applied, unchanged, skipped, failed, failed_idly: _, blocked, deferred, warnings } = totals;
    json!({
        "event": "summary", "applied": applied, "unchanged": unchanged, "skipped": skipped, "failed": failed,
        "blocked": blocked, "deferred": deferred, "warnings": warnings, "run": run,
    })
}

/// Renders an event as a line of text; `None` for events that only a progress bar shows.
pub fn event_line(event: &Event, paint: Paint) -> Option<String> {
    let Event::Ended { address, elapsed, outcome } = event else { return None };
    let address = one_line(address.as_str());
    let took = elapsed.map_or_else(String::new, |elapsed| {
        format!(" {}", paint.tone(Tone::Faint, &format!("{:.2}s", elapsed.as_secs_f64())))
    });
    Some(match outcome {
        Outcome::Done => format!("  {} {address}{took}", paint.tone(Tone::Good, "done")),
        Outcome::Warned(warnings) => {
            let mut line = format!("  {} {address}{took}", paint.tone(Tone::Good, "done"));
            for warning in warnings {
                let word = paint.tone(Tone::Warning, "warning:");
                line = format!("{line}\n    {word} {}", one_line(warning));
            }
            line
        }
        Outcome::Unchanged => {
            format!("  {} {address}{took}: already there", paint.tone(Tone::Good, "unchanged"))
        }
        Outcome::Skipped(reason) => {
            format!("  {} {address}: {}", paint.tone(Tone::Good, "skipped"), one_line(reason))
        }
        // The help of an error is on a separate line.
        Outcome::Failed(error) => {
            format!("  {} {address}: {}", paint.tone(Tone::Bad, "failed"), block(error))
        }
        Outcome::Blocked(reason) => {
            format!("  {} {address}: {}", paint.tone(Tone::Warning, "blocked"), one_line(reason))
        }
    })
}

/// Renders the summary as one line of text.
pub fn summary_text(totals: &Totals, took: Duration, paint: Paint) -> String {
    let tone = if totals.is_clean() { Tone::Good } else { Tone::Bad };
    let (extent, counts) = (paint.tone(tone, totals.extent()), totals.counts());
    format!("{extent} {counts}. It took {:.1} s.", took.as_secs_f64())
}
