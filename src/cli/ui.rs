//! The only writer of output: results go to stdout, everything else to stderr.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use terminal_size::{Height, Width, terminal_size_of};

use super::diagnostic::SingleDiagnostic;
use super::exit::Failure;
use crate::apply::Answer;
use crate::neutral::{self, one_line};
use crate::redact::redact_own;
use crate::render::{Detail, Paint, Style, Tone, wrapped};

/// Texts are not wrapped to fewer columns than this, even on a narrower terminal.
const NARROWEST: usize = 60;
/// Diagnostics are wrapped to this many columns on a wider terminal.
const WIDEST: usize = 140;
/// The width of diagnostics without a terminal.
const USUAL: usize = 100;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// The output of a command. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct Ui {
    stdout: Paint,
    stderr: Paint,
    is_quiet: bool,
    detail: Detail,
    /// The first error of writing the result.
    write_error: Arc<OnceLock<std::io::Error>>,
}

impl Ui {
    /// Creates the output with the options of the command line.
    pub(super) fn new(colour: Colour, is_quiet: bool, is_verbose: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint = |is_terminal: bool| match colour {
            Colour::Always => Paint::Colour,
            Colour::Auto if is_terminal && !no_colour => Paint::Colour,
            Colour::Auto | Colour::Never => Paint::Plain,
        };
        Self {
            stdout: paint(std::io::stdout().is_terminal()),
            stderr: paint(std::io::stderr().is_terminal()),
            is_quiet,
            detail: if is_verbose { Detail::Full } else { Detail::Short },
            write_error: Arc::default(),
        }
    }

    /// Returns the colours for stdout.
    pub(super) fn paint(&self) -> Paint {
        self.stdout
    }

    /// Returns the page style for stdout: wrapped if it is a terminal.
    pub(super) fn style(&self) -> Style {
        Style { paint: self.stdout, width: columns(terminal_size_of(std::io::stdout())), detail: self.detail }
    }

    /// Whether to show progress to a user.
    pub(super) fn shows_progress(&self) -> bool {
        !self.is_quiet && std::io::stderr().is_terminal()
    }

    /// Prints the result. A write error does not stop the command; it is reported at its end. A closed pipe, as
    /// of `trueup plan | head`, is not an error.
    pub(super) fn answer(&self, text: &str) {
        let text = neutral::output(&redact_own(text), &self.stdout.sequences());
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            && error.kind() != ErrorKind::BrokenPipe
        {
            // Only the first error is kept, because it is the cause.
            let _ = self.write_error.set(error);
        }
    }

    /// Returns the error that prevented writing all of the result.
    pub(super) fn write_error(&self) -> Option<&std::io::Error> {
        self.write_error.get()
    }

    /// Prints a note about the result; not with `--quiet`.
    pub(super) fn note(&self, text: &str) {
        if !self.is_quiet {
            self.write(&format!("{} {}", self.stderr.tone(Tone::Name, "note:"), one_line(text)));
        }
    }

    /// Prints a warning.
    pub(super) fn warn(&self, text: &str) {
        self.write(&format!("{} {}", self.stderr.tone(Tone::Warning, "warning:"), one_line(text)));
    }

    /// Prints the help for the line before.
    pub(super) fn help(&self, text: &str) {
        self.write(&format!("  help: {}", one_line(text)));
    }

    /// Prints a line to stderr, even with `--quiet`.
    pub(super) fn print_line(&self, text: &str) {
        self.write(&one_line(text));
    }

    /// Neutralizes control sequences of foreign text; only the line breaks and colours of this tool
    /// are kept.
    fn write(&self, text: &str) {
        let text = neutral::output(&redact_own(text), &self.stderr.sequences());
        let style = Style {
            paint: self.stderr,
            width: columns(terminal_size_of(std::io::stderr())),
            detail: self.detail,
        };
        let _ = write!(std::io::stderr().lock(), "{}", wrapped(&text, 2, style));
    }

    /// Reports the error that ended a command.
    pub(super) fn report(&self, failure: &Failure) {
        self.diagnostic(failure.diagnostic());
    }

    /// Prints a diagnostic with its snippet and help, after its related diagnostics.
    pub(super) fn diagnostic(&self, diagnostic: &dyn Diagnostic) {
        let related: Vec<&dyn Diagnostic> = diagnostic.related().into_iter().flatten().collect();
        for related in &related {
            self.diagnostic(*related);
        }
        if related.len() == 1 {
            return;
        }
        let mut theme = match self.stderr {
            Paint::Colour => GraphicalTheme::unicode(),
            Paint::Plain => GraphicalTheme::unicode_nocolor(),
        };
        for (sign, word) in [
            (&mut theme.characters.error, "error:"),
            (&mut theme.characters.warning, "warning:"),
            (&mut theme.characters.advice, "note:"),
        ] {
            word.clone_into(sign);
        }
        let columns = columns(terminal_size_of(std::io::stderr()));
        // Logs are searched line by line, so messages are not wrapped in them, and ids and paths
        // not broken.
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_width(columns.map_or(USUAL, |columns| columns.min(WIDEST)))
            .with_wrap_lines(columns.is_some());
        let mut text = String::new();
        // Rendering into a String fails only if a source has no text; the message is still printed.
        if handler.render_report(&mut text, &SingleDiagnostic::new(diagnostic)).is_err() {
            text = format!("error: {}", one_line(&diagnostic.to_string()));
        }
        // The report uses the colours of its own theme, and its texts were neutralized before.
        let text = if self.stderr == Paint::Plain { neutral::output(&text, &[]) } else { text };
        let _ = writeln!(std::io::stderr().lock(), "{}\n", text.trim());
    }

    /// Asks a question that is answered with `yes`.
    pub(super) async fn confirm(&self, question: &str) -> Answer {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Answer::NoTerminal;
        }
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "{question} Only `yes` is taken as approval: ").and_then(|()| stderr.flush());
        // Reads on another thread, so that Ctrl-C works meanwhile.
        let read = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        match read.await {
            Ok(Ok(answer)) if answer.trim() == "yes" => Answer::Approved,
            _ => Answer::Declined,
        }
    }

    /// Reports the interruption, and what was done before it.
    pub(super) fn interrupted(&self, done: &str) {
        if std::io::stderr().is_terminal() {
            // The cursor may be behind a question.
            self.print_line("");
        }
        self.warn(&format!("interrupted; {done}"));
    }
}

/// Returns the columns of a terminal of this size; `None` stays, for a stream that is not a terminal.
fn columns(size: Option<(Width, Height)>) -> Option<usize> {
    size.map(|(columns, _)| usize::from(columns.0).max(NARROWEST))
}
