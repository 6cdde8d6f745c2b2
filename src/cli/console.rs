//! The interactive side of a run: the plan, refusals, the question, then a line per step that
//! ended, and progress bars on a terminal.

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use super::bars::Bars;
use super::ui::Ui;
use super::values::EventFormat;
use crate::address::Address;
use crate::apply::{Answer, Command, Event, Frontend, Revision, TextChanges};
use crate::change::Held;
use crate::journal;
use crate::plan::{Allow, Plan, ToRun};
use crate::render;

/// Shows the plan of a run, asks for approval and prints progress events.
#[derive(Debug)]
pub(super) struct Console {
    pub command: Command,
    pub format: EventFormat,
    pub ui: Ui,
    bars: Bars,
    started: Instant,
}

impl Console {
    pub(super) fn new(command: Command, format: EventFormat, ui: &Ui) -> Self {
        Self { command, format, ui: ui.clone(), bars: Bars::hidden(), started: Instant::now() }
    }

    /// Starts a progress bar, if a user is present.
    fn begin(&mut self, steps: usize) {
        self.started = Instant::now();
        if self.ui.shows_progress() && self.format == EventFormat::Text {
            self.bars = Bars::show(steps);
        }
    }

    /// Returns the time since the first step could start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Removes the progress bars.
    pub(super) fn clear(&self) {
        self.bars.clear();
    }
}

impl Frontend for Console {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Begun { steps } => self.begin(*steps),
            Event::Started { address } => self.bars.step_started(address),
            Event::Counted { address, progress } => self.bars.step_counted(address, *progress),
            Event::Ended { address, .. } => self.bars.step_ended(address),
            Event::Note(note) => self.bars.above(|| self.ui.note(&render::note_text(note))),
        }
        match self.format {
            EventFormat::Json => {
                if let Some(event) = render::event_json(event, &journal::now()) {
                    self.ui.answer(&format!("{event}\n"));
                }
            }
            EventFormat::Text => {
                if let Some(text) = render::event_text(event, self.ui.style()) {
                    self.bars.above(|| self.ui.answer(&text));
                }
            }
        }
    }

    /// Events in JSON have no plan.
    fn shows_changes(&self, revision: Revision) -> bool {
        revision != Revision::Again && self.format == EventFormat::Text
    }

    fn show(
        &mut self,
        (plan, texts): (&Plan, &TextChanges),
        to_run: &ToRun,
        revision: Revision,
        guarded: &[(Address, Allow)],
    ) {
        let ui = &self.ui;
        if revision != Revision::Again {
            // A question may follow.
            self.clear();
        }
        self.bars.above(|| {
            for address in &to_run.extra {
                ui.note(&format!("{address} is not in the saved plan and is not run"));
            }
            for Held { address, reason } in &to_run.held {
                ui.warn(&format!("{address} cannot be done now: {reason}"));
            }
            if revision == Revision::Changed {
                ui.note("the plan changed in the meantime; this is the new one");
            }
            if self.shows_changes(revision) {
                ui.answer(&render::live_plan_text(&plan.document, texts, ui.style()));
            }
            for Held { address, reason } in &plan.denied {
                ui.print_line(&format!("error: {address}: {reason}"));
            }
            for (address, allow) in guarded {
                ui.print_line(&format!("error: {}", refusal(plan, address, *allow)));
                ui.help(&allow_help(*allow));
            }
        });
    }

    fn ask(&mut self) -> LocalBoxFuture<'_, Answer> {
        let question = match self.command {
            Command::Apply => "Apply this plan?",
            Command::Destroy => "Take all this back?",
        };
        Box::pin(self.ui.confirm(question))
    }
}

/// Returns the help for a change that needs `--allow`.
fn allow_help(allow: Allow) -> String {
    let meant = format!("if that is meant, add `--allow {}`", allow.as_str());
    match allow {
        Allow::Destructive | Allow::MassDelete | Allow::Environment => meant,
        Allow::Takeover => format!(
            "{meant}: the bookkeeping that created it is lost, or this environment was renamed. If another \
             environment uses it, give this one a `prefix`, a `tenant` or a `database` of its own under `vector:`"
        ),
    }
}

/// Returns why a change needs `--allow`.
fn refusal(plan: &Plan, address: &Address, allow: Allow) -> String {
    match (allow, plan.document.foreign_database()) {
        (Allow::Destructive, _) => format!("{address} loses data"),
        (Allow::MassDelete, _) => {
            format!("{address} would delete rows or documents because a source in the spec is empty")
        }
        (Allow::Takeover, _) => format!("{address} takes over data that another bookkeeping created"),
        (Allow::Environment, Some(foreign)) => foreign.to_string(),
        (Allow::Environment, None) => "this system database is another environment's".to_owned(),
    }
}
