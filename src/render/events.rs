//! The events of a run as lines of text or JSON, and the final summary.

use std::time::Duration;

use serde_json::{Value, json};

use super::Tone;
use super::page::{Page, Style};
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

/// Renders an event as text that ends in a newline; `None` for events that only a progress bar shows.
pub fn event_text(event: &Event, style: Style) -> Option<String> {
    let Event::Ended { address, elapsed, outcome } = event else { return None };
    let (tone, word) = match outcome {
        Outcome::Done | Outcome::Warned(_) => (Tone::Good, "done"),
        Outcome::Unchanged => (Tone::Good, "unchanged"),
        Outcome::Skipped(_) => (Tone::Good, "skipped"),
        Outcome::Failed(_) => (Tone::Bad, "failed"),
        Outcome::Blocked(_) => (Tone::Warning, "blocked"),
    };
    let mut page = Page::new(style);
    let (word, address) = (page.tone(tone, word), one_line(address.as_str()));
    let took = elapsed.map_or_else(String::new, |elapsed| {
        format!(" {}", page.tone(Tone::Faint, &format!("{:.2}s", elapsed.as_secs_f64())))
    });
    match outcome {
        Outcome::Done => page.row(4, &format!("  {word} {address}{took}")),
        Outcome::Warned(warnings) => {
            page.row(4, &format!("  {word} {address}{took}"));
            for warning in warnings {
                let label = page.tone(Tone::Warning, "warning:");
                page.row(6, &format!("    {label} {}", one_line(warning)));
            }
        }
        Outcome::Unchanged => page.row(4, &format!("  {word} {address}{took}: already there")),
        Outcome::Skipped(reason) | Outcome::Blocked(reason) => {
            page.row(4, &format!("  {word} {address}: {}", one_line(reason)));
        }
        // The help of an error is on a separate line.
        Outcome::Failed(error) => {
            let error = block(error);
            for (at, line) in error.lines().enumerate() {
                let start = if at == 0 { format!("  {word} {address}: ") } else { String::new() };
                page.row(4, &format!("{start}{line}"));
            }
        }
    }
    Some(page.into_text())
}

/// Renders the summary as one line of text, ending in a newline.
pub fn summary_text(totals: &Totals, took: Duration, style: Style) -> String {
    let tone = if totals.is_clean() { Tone::Good } else { Tone::Bad };
    let mut page = Page::new(style);
    let (extent, counts) = (page.tone(tone, totals.extent()), totals.counts());
    page.row(2, &format!("{extent} {counts}. It took {:.1} s.", took.as_secs_f64()));
    page.into_text()
}
