//! Progress bars on a terminal: one for the steps of a run, and one for each step that counts rows or documents
//! and takes long. Hidden where no user is present.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::address::Address;
use crate::neutral::one_line;
use crate::progress::Progress;

/// A step that ends earlier has no bar.
const SHORT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    steps: ProgressBar,
    running: BTreeMap<Address, RunningStep>,
}

#[derive(Debug)]
struct RunningStep {
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Bars {
    pub(super) fn hidden() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self { all, steps: ProgressBar::hidden(), running: BTreeMap::new() }
    }

    /// Shows a bar for the steps of a run.
    pub(super) fn show(steps: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let steps = all.add(bar(steps, "  {bar:30} {pos}/{len} {elapsed} {wide_msg}"));
        // A step may take minutes without an event.
        steps.enable_steady_tick(SHORT);
        Self { all, steps, running: BTreeMap::new() }
    }

    pub(super) fn step_started(&mut self, address: &Address) {
        self.steps.set_message(one_line(address.as_str()).into_owned());
        self.running.insert(address.clone(), RunningStep { since: Instant::now(), bar: None });
    }

    pub(super) fn step_counted(&mut self, address: &Address, progress: Progress) {
        let Some(step) = self.running.get_mut(address) else { return };
        let Progress { done, total, unit } = progress;
        if step.bar.is_none() && step.since.elapsed() < SHORT {
            return;
        }
        let bar = step
            .bar
            .get_or_insert_with(|| self.all.add(bar(total, "  {bar:30} {human_pos}/{human_len} {wide_msg}")));
        bar.set_message(format!("{unit}: {}", one_line(address.as_str())));
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }

    pub(super) fn step_ended(&mut self, address: &Address) {
        if let Some(bar) = self.running.remove(address).and_then(|step| step.bar) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        self.steps.inc(1);
        if self.running.is_empty() && self.steps.length() == Some(self.steps.position()) {
            self.steps.set_message("observing the result");
        }
    }

    /// Prints above the bars.
    pub(super) fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Removes all bars.
    pub(super) fn clear(&self) {
        self.running.values().filter_map(|step| step.bar.as_ref()).for_each(ProgressBar::finish_and_clear);
        self.steps.finish_and_clear();
    }
}

fn bar(length: usize, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("━╸─")),
        Err(_) => bar,
    }
}
