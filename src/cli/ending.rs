//! Reports how a run ended, and determines the exit code.

use std::ffi::OsString;

use super::console::Console;
use super::exit::Exit;
use super::load;
use super::ui::Ui;
use super::values::EventFormat;
use crate::apply::{Command, End, Finished};
use crate::journal::{Bookkeeping, RunStatus};
use crate::render;

/// Reports the end of a run and returns its exit code.
pub(super) fn report(end: End, console: &Console) -> Exit {
    let ui = &console.ui;
    console.clear();
    match end {
        End::Interrupted => report_interrupted(ui),
        End::StoppedAtOnce => Exit::Interrupted,
        End::Refused { has_made_database } => {
            if has_made_database {
                Exit::Partial
            } else {
                Exit::Denied
            }
        }
        End::Idle { totals, is_incomplete, bookkeeping } => {
            if console.command == Command::Destroy {
                ui.note(match bookkeeping {
                    None => "the system database does not exist: nothing was put there",
                    Some(Bookkeeping::Missing) => "the bookkeeping lists nothing to take back",
                    Some(Bookkeeping::Outdated | Bookkeeping::Present) => {
                        "there is nothing left to take back"
                    }
                });
            }
            if console.format == EventFormat::Json {
                ui.answer(&format!("{}\n", render::summary_json(&totals, None)));
            }
            if is_incomplete { Exit::Partial } else { Exit::Done }
        }
        End::Finished(finished) => finish(*finished, console),
    }
}

/// Reports a run that was interrupted before it could change anything.
pub(super) fn report_interrupted(ui: &Ui) -> Exit {
    ui.interrupted("nothing was applied");
    Exit::Interrupted
}

/// Reports a run that executed steps.
fn finish(finished: Finished, console: &Console) -> Exit {
    let ui = &console.ui;
    let Finished { run, status, totals, verified, has_changed, stopped, failure, unrecorded } = finished;
    let is_verified = verified.unverified.is_none();
    let failure = verified.unverified.or(failure).map(|error| load::failure(error, ui));
    let mut exit = match (status, &failure) {
        (RunStatus::Succeeded, _) => Exit::Done,
        (RunStatus::Interrupted, _) => Exit::Interrupted,
        _ if stopped.is_some() => Exit::Partial,
        (_, Some(failure)) if has_changed => failure.exit().after_changes(),
        (_, Some(failure)) => failure.exit(),
        (_, None) if totals.failed > 0 && !has_changed => Exit::Failed,
        (_, None) => Exit::Partial,
    };
    if let Some(reason) = stopped {
        ui.print_line(&format!(
            "error: {reason}; this run stopped at once, and another may be at work: `trueup lock status` tells, \
             and the same command goes on from what is there"
        ));
    }
    if let Some(failure) = &failure {
        ui.report(failure);
    }
    if !is_verified && has_changed {
        ui.print_line("error: what this run did could not be verified");
    }
    for address in &verified.left {
        ui.print_line(&format!("error: {address} still differs after it was applied"));
    }
    for check in &verified.failed_checks {
        ui.print_line(&format!("error: {}: {}", check.address, check.message));
    }
    for note in &verified.notes {
        ui.note(note);
    }
    ui.answer(&match console.format {
        EventFormat::Json => format!("{}\n", render::summary_json(&totals, Some(run.as_str()))),
        EventFormat::Text => {
            format!("\n{}", render::summary_text(&totals, console.elapsed(), ui.style()))
        }
    });
    if let Some(error) = &unrecorded {
        ui.diagnostic(error);
        ui.print_line("error: how this run ended could not be recorded; `history` will not have all of it");
        if exit == Exit::Done {
            exit = Exit::Partial;
        }
    }
    let going_on = format!("`{}` goes on from here", command_line(std::env::args_os()));
    match exit {
        // The help of an error is part of it, so it is printed with `--quiet` too.
        Exit::Partial => ui.print_line(&format!("help: {going_on}")),
        Exit::Interrupted => ui.note(&going_on),
        _ => {}
    }
    exit
}

/// Returns the command as typed, quoted for a shell.
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
