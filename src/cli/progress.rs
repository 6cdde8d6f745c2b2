//! What is seen while a run goes on: a line per step that ended, and on a terminal a bar below.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::EventFormat;
use super::ui::Ui;
use crate::apply::Event;
use crate::journal;
use crate::neutral::one_line;
use crate::render;

/// The reporter of one run.
#[derive(Debug)]
pub(super) struct Progress {
    ui: Ui,
    format: EventFormat,
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    /// A reporter of this many steps.
    pub(super) fn new(ui: &Ui, format: EventFormat, steps: usize) -> Self {
        let shown = ui.shows_progress() && format == EventFormat::Text;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        if let Ok(style) = ProgressStyle::with_template("  {bar:30} {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { ui: ui.clone(), format, bar, started: Instant::now() }
    }

    pub(super) fn event(&mut self, event: &Event) {
        let note = match event {
            Event::Waiting { address, on } => Some(format!("{address} waits for {on}")),
            Event::Stopping => Some(
                "interrupted: the steps that run are finished and no other one begins; \
                 another Ctrl-C stops at once"
                    .to_owned(),
            ),
            Event::Started { .. } | Event::Ended { .. } => None,
        };
        if let Some(note) = note {
            self.bar.suspend(|| self.ui.note(&note));
        }
        match self.format {
            EventFormat::Json => {
                if let Some(event) = render::event_json(event, &journal::now()) {
                    self.ui.answer(&format!("{event}\n"));
                }
            }
            EventFormat::Text => {
                if let Event::Started { address } = event {
                    self.bar.set_message(one_line(address.as_str()).into_owned());
                }
                if let Some(line) = render::event_line(event, self.ui.paint()) {
                    self.bar.suspend(|| self.ui.answer(&format!("{line}\n")));
                    self.bar.inc(1);
                }
            }
        }
    }

    /// How long the run has taken since its first step could begin.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
