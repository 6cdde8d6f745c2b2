//! How a run ends: what is said and recorded of it, and the exit code.

use std::ffi::OsString;
use std::path::Path;

use super::apply::ApplyArgs;
use super::args::EventFormat;
use super::exit::{Exit, Failure};
use super::load;
use super::progress::Progress;
use super::ui::Ui;
use crate::apply::{Cancel, Recorder, Verified};
use crate::digest::Digest;
use crate::journal::{self, Run, RunId, RunStatus, lock};
use crate::plan::Plan;
use crate::render::{self, Totals};
use crate::stack::Stack;

/// The end of a run that found nothing to do.
pub(super) fn nothing_to_do(plan: &Plan, args: &ApplyArgs, ui: &Ui) -> Exit {
    let totals = Totals {
        unchanged: plan.document.summary.unchanged,
        blocked: plan.document.blocked.len(),
        deferred: plan.document.deferred.len(),
        ..Totals::default()
    };
    let exit = of_nothing(&totals, args, ui);
    if plan.has_failed_check() || totals.blocked > 0 { Exit::Partial } else { exit }
}

/// The end of a run that did nothing.
pub(super) fn of_nothing(totals: &Totals, args: &ApplyArgs, ui: &Ui) -> Exit {
    if args.format == EventFormat::Json {
        ui.answer(&format!("{}\n", render::summary_json(totals, None)));
    }
    Exit::Done
}

/// The end of a run that was interrupted while it could do nothing yet.
pub(super) fn before_the_first_step(ui: &Ui) -> Exit {
    ui.interrupted("nothing was applied");
    Exit::Interrupted
}

/// A run that begins now.
pub(super) fn run_record(
    command: &str,
    run: &RunId,
    stack: &Stack,
    spec_digest: &Digest,
    plan_digest: &Digest,
) -> Run {
    Run {
        id: run.clone(),
        command: command.to_owned(),
        stack: stack.name.clone(),
        environment: stack.environment.clone(),
        status: RunStatus::Running,
        started_at: journal::now(),
        finished_at: None,
        who: lock::who(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: git_commit(&stack.file),
        spec_digest: spec_digest.to_string(),
        plan_digest: plan_digest.to_string(),
        summary: None,
    }
}

/// The commit that the spec was read from; `None` outside of a git checkout, or without git.
pub(super) fn git_commit(spec: &Path) -> Option<String> {
    let folder = spec.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Outside of one git takes as long to say so as two migrations.
    let is_checkout = std::env::var_os("GIT_DIR").is_some()
        || std::path::absolute(folder).ok()?.ancestors().any(|folder| folder.join(".git").exists());
    if !is_checkout {
        return None;
    }
    let git =
        std::process::Command::new("git").arg("-C").arg(folder).args(["rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(git.stdout).ok()?.trim().to_owned();
    (git.status.success() && !commit.is_empty()).then_some(commit)
}

/// The command as it was typed, for a shell.
fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    let quoted = |argument: OsString| {
        let text = argument.to_string_lossy().into_owned();
        if !text.is_empty() && text.chars().all(plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let arguments = arguments.skip(1).map(quoted);
    std::iter::once("trueup".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// What a run comes to.
pub(super) struct Ending<'a> {
    /// What the last look found.
    pub verified: Verified,
    /// What was done.
    pub totals: Totals,
    /// Whether something was written that is no step: new names in the bookkeeping.
    pub has_written: bool,
    /// What ended the run before its last look, or went wrong after it.
    pub failure: Option<Failure>,
    /// Whether, and why, it was stopped.
    pub cancel: &'a Cancel,
}

impl Ending<'_> {
    /// Reports how it ended and records it. The exit code follows what was done.
    pub(super) async fn finish(
        self,
        recorder: Recorder,
        progress: &Progress,
        args: &ApplyArgs,
        ui: &Ui,
    ) -> Result<Exit, Failure> {
        let Self { mut verified, totals, has_written, mut failure, cancel } = self;
        progress.clear();
        let run = recorder.run().clone();
        let unverified = verified.unverified.take();
        let is_verified = unverified.is_none();
        if let Some(error) = unverified {
            failure = Some(load::no_look(error, ui));
        }
        let has_changed = has_written || totals.applied > 0 || totals.failed > totals.failed_idly;
        let (status, mut exit) = if cancel.reason().is_some() {
            (RunStatus::Failed, Exit::Partial)
        } else if verified.walked.interrupted {
            (RunStatus::Interrupted, Exit::Interrupted)
        } else if let Some(failure) = &failure {
            let exit = failure.exit();
            (RunStatus::Failed, if has_changed { exit.after_changes() } else { exit })
        } else if verified.is_whole() {
            (RunStatus::Succeeded, Exit::Done)
        } else if totals.failed > 0 && !has_changed {
            (RunStatus::Failed, Exit::Failed)
        } else {
            (RunStatus::Failed, Exit::Partial)
        };
        let summary = render::summary_text(&totals, None, render::Paint::Plain);
        let recorded = recorder.finish(status, &summary, cancel).await;
        if let Some(reason) = cancel.reason() {
            ui.say(&format!(
                "error: {reason}; this run stopped at once, and another may be at work: `trueup lock status` tells, \
                 and the same command goes on from what is there"
            ));
        }
        if let Some(failure) = &failure {
            ui.report(failure);
        }
        if !is_verified && has_changed {
            ui.say("error: what this run did could not be verified");
        }
        for address in &verified.left {
            ui.say(&format!("error: {address} still differs after it was applied"));
        }
        for check in &verified.failed_checks {
            ui.say(&format!("error: {}: {}", check.address, check.message));
        }
        for note in &verified.notes {
            ui.note(note);
        }
        ui.answer(&match args.format {
            EventFormat::Json => format!("{}\n", render::summary_json(&totals, Some(run.as_str()))),
            EventFormat::Text => {
                format!("\n{}\n", render::summary_text(&totals, Some(progress.elapsed()), ui.paint()))
            }
        });
        if let Err(error) = recorded {
            ui.diagnostic(&error);
            ui.say("error: how this run ended could not be recorded; `history` will not have all of it");
            if exit == Exit::Done {
                exit = Exit::Partial;
            }
        }
        let going_on = format!("`{}` goes on from here", command_line(std::env::args_os()));
        match exit {
            // What to do after an error is part of it, also where notes are not wanted.
            Exit::Partial => ui.say(&format!("help: {going_on}")),
            Exit::Interrupted => ui.note(&going_on),
            _ => {}
        }
        Ok(exit)
    }
}
