//! The events of a run: one line of text or JSON each, and the summary that ends it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Paint, Tone};
use crate::apply::{Event, Walked};
use crate::journal::Outcome;
use crate::neutral::{block, one_line};

/// The totals of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub applied: usize,
    /// Addresses that were as they should be.
    pub unchanged: usize,
    /// Steps of a saved plan that an earlier run of it did.
    pub skipped: usize,
    pub failed: usize,
    /// How many of the failed steps have certainly changed nothing.
    pub failed_idly: usize,
    /// Steps that were not started.
    pub blocked: usize,
    /// What could not be planned.
    pub deferred: usize,
    /// What of the steps that were done is to be looked at.
    pub warnings: usize,
}

impl Totals {
    /// Counts what a walk did.
    pub fn take(&mut self, walked: &Walked) {
        self.failed_idly += walked.failed_idly;
        for ended in &walked.ended {
            match &ended.outcome {
                Outcome::Done => self.applied += 1,
                Outcome::Warned(warnings) => {
                    self.applied += 1;
                    self.warnings += warnings.len();
                }
                Outcome::Unchanged => self.unchanged += 1,
                Outcome::Skipped(_) => self.skipped += 1,
                Outcome::Failed(_) => self.failed += 1,
                Outcome::Blocked(_) => self.blocked += 1,
            }
        }
    }
}

/// An event as one object of `apply --format json`; `None` for those that are for people only.
pub fn event_json(event: &Event, at: &str) -> Option<Value> {
    let (address, elapsed, outcome) = match event {
        Event::Waiting { .. } | Event::Stopping => return None,
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
    let mut said = json!({"event": name, "address": address, "at": at});
    if let Value::Object(said) = &mut said {
        said.extend(elapsed.map(|elapsed| ("seconds".to_owned(), json!(elapsed.as_secs_f64()))));
        said.extend(error.map(|error| ("error".to_owned(), json!(error))));
        if *outcome == Outcome::Unchanged {
            said.insert("unchanged".to_owned(), json!(true));
        }
        if !warnings.is_empty() {
            said.insert("warnings".to_owned(), json!(warnings));
        }
    }
    Some(said)
}

/// The last object of `apply --format json`.
pub fn summary_json(totals: &Totals, run: Option<&str>) -> Value {
    let Totals { applied, unchanged, skipped, failed, failed_idly: _, blocked, deferred, warnings } = totals;
    json!({
        "event": "summary", "applied": applied, "unchanged": unchanged, "skipped": skipped, "failed": failed,
        "blocked": blocked, "deferred": deferred, "warnings": warnings, "run": run,
    })
}

/// An event as a line of text; `None` for those that only a progress display shows.
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
            format!("  {} {address}{took}: it was there already", paint.tone(Tone::Good, "unchanged"))
        }
        Outcome::Skipped(reason) => {
            format!("  {} {address}: {}", paint.tone(Tone::Good, "skipped"), one_line(reason))
        }
        // Its help stands on a line of its own.
        Outcome::Failed(error) => {
            format!("  {} {address}: {}", paint.tone(Tone::Bad, "failed"), block(error))
        }
        Outcome::Blocked(reason) => {
            format!("  {} {address}: {}", paint.tone(Tone::Warning, "blocked"), one_line(reason))
        }
    })
}

/// The summary as one line of text, with how long the run took where that is to be said.
pub fn summary_text(totals: &Totals, took: Option<Duration>, paint: Paint) -> String {
    let Totals { applied, unchanged, skipped, failed, failed_idly, blocked, deferred, warnings } = *totals;
    let head = match (applied, failed, blocked) {
        (_, 0, 0) => paint.tone(Tone::Good, "Applied:"),
        (0, 1.., _) if failed == failed_idly => paint.tone(Tone::Bad, "Nothing applied:"),
        _ => paint.tone(Tone::Bad, "Applied in part:"),
    };
    let more = [(skipped, "skipped"), (deferred, "known later"), (warnings, "to look at")];
    let more = more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let more: String = more.collect();
    let took = took.map_or_else(String::new, |took| format!(" It took {:.1} s.", took.as_secs_f64()));
    format!("{head} {applied} done, {unchanged} unchanged, {failed} failed, {blocked} blocked{more}.{took}")
}
