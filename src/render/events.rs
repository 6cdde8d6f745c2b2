//! The events of a run: one line of text or JSON each, and the summary that ends it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Paint, Tone};
use crate::apply::{Event, Walked};
use crate::neutral::{block, one_line};

/// The totals of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steps that were done.
    pub applied: usize,
    /// Addresses that were as they should be.
    pub unchanged: usize,
    /// Steps that failed.
    pub failed: usize,
    /// How many of the failed steps have certainly changed nothing.
    pub failed_idly: usize,
    /// Steps that were not started.
    pub blocked: usize,
    /// What could not be planned.
    pub deferred: usize,
}

impl Totals {
    /// Counts what a walk did.
    pub fn take(&mut self, walked: &Walked) {
        self.applied += walked.done.len();
        self.failed += walked.failed.len();
        self.failed_idly += walked.failed_idly;
        self.blocked += walked.blocked.len();
    }
}

/// An event as one object of `apply --format json`; `None` for those that are for people only.
pub fn event_json(event: &Event, at: &str) -> Option<Value> {
    Some(match event {
        Event::Waiting { .. } | Event::Stopping => return None,
        Event::Started { address } => json!({"event": "started", "address": address, "at": at}),
        Event::Finished { address, elapsed } => {
            json!({"event": "finished", "address": address, "at": at, "seconds": elapsed.as_secs_f64()})
        }
        Event::Failed { address, elapsed, error } => {
            json!({"event": "failed", "address": address, "at": at, "seconds": elapsed.as_secs_f64(), "error": error})
        }
        Event::Blocked { address, reason } => {
            json!({"event": "blocked", "address": address, "at": at, "error": reason})
        }
    })
}

/// The last object of `apply --format json`.
pub fn summary_json(totals: &Totals, run: Option<&str>) -> Value {
    let Totals { applied, unchanged, failed, failed_idly: _, blocked, deferred } = totals;
    json!({
        "event": "summary", "applied": applied, "unchanged": unchanged, "failed": failed,
        "blocked": blocked, "deferred": deferred, "run": run,
    })
}

/// An event as a line of text; `None` for those that only a progress display shows.
pub fn event_line(event: &Event, paint: Paint) -> Option<String> {
    match event {
        Event::Started { .. } | Event::Waiting { .. } | Event::Stopping => None,
        Event::Finished { address, elapsed } => {
            let took = paint.tone(Tone::Faint, &format!("{:.2}s", elapsed.as_secs_f64()));
            Some(format!("  {} {} {took}", paint.tone(Tone::Good, "done"), one_line(address.as_str())))
        }
        Event::Failed { address, error, .. } => {
            // Its help stands on a line of its own.
            let (address, error) = (one_line(address.as_str()), block(error));
            Some(format!("  {} {address}: {error}", paint.tone(Tone::Bad, "failed")))
        }
        Event::Blocked { address, reason } => {
            let (address, reason) = (one_line(address.as_str()), one_line(reason));
            Some(format!("  {} {address}: {reason}", paint.tone(Tone::Warning, "blocked")))
        }
    }
}

/// The summary as one line of text, with how long the run took where that is to be said.
pub fn summary_text(totals: &Totals, took: Option<Duration>, paint: Paint) -> String {
    let Totals { applied, unchanged, failed, failed_idly, blocked, deferred } = *totals;
    let head = match (applied, failed, blocked) {
        (_, 0, 0) => paint.tone(Tone::Good, "Applied:"),
        (0, 1.., _) if failed == failed_idly => paint.tone(Tone::Bad, "Nothing applied:"),
        _ => paint.tone(Tone::Bad, "Applied in part:"),
    };
    let deferred = if deferred > 0 { format!(", {deferred} known later") } else { String::new() };
    let took = took.map_or_else(String::new, |took| format!(" It took {:.1} s.", took.as_secs_f64()));
    format!(
        "{head} {applied} done, {unchanged} unchanged, {failed} failed, {blocked} blocked{deferred}.{took}"
    )
}
