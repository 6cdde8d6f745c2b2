//! The only writer: the answer goes to stdout, everything about it to stderr.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::exit::Failure;
use crate::redact::redact_own;
use crate::render::{Paint, Tone};

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

/// Where a command writes. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Ui {
    stdout: Paint,
    stderr: Paint,
    is_quiet: bool,
    /// Why a part of the answer could not be written.
    unwritten: Arc<OnceLock<std::io::Error>>,
}

impl Ui {
    /// A writer with the user's wishes.
    pub(super) fn new(colour: Colour, is_quiet: bool) -> Self {
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
            unwritten: Arc::default(),
        }
    }

    /// How to paint what goes to stdout.
    pub(super) fn paint(&self) -> Paint {
        self.stdout
    }

    /// Whether diagnostics are in colour.
    pub(super) fn colours_errors(&self) -> bool {
        self.stderr == Paint::Colour
    }

    /// Whether a person is there to see progress.
    pub(super) fn shows_progress(&self) -> bool {
        !self.is_quiet && std::io::stderr().is_terminal()
    }

    /// The answer. What cannot be written is no reason to leave off half-way: the end of the command
    /// asks for it. A reader that has gone away (`trueup plan | head`) is no error.
    pub(super) fn answer(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = stdout.write_all(redact_own(text).as_bytes()).and_then(|()| stdout.flush())
            && error.kind() != ErrorKind::BrokenPipe
        {
            // The first says why.
            let _ = self.unwritten.set(error);
        }
    }

    /// Why the answer, or a part of it, could not be written.
    pub(super) fn unwritten(&self) -> Option<&std::io::Error> {
        self.unwritten.get()
    }

    /// A remark on the answer; not with `--quiet`.
    pub(super) fn note(&self, text: &str) {
        if !self.is_quiet {
            self.say(&format!("{} {text}", self.stderr.tone(Tone::Name, "note:")));
        }
    }

    /// Something that should be looked at.
    pub(super) fn warn(&self, text: &str) {
        self.say(&format!("{} {text}", self.stderr.tone(Tone::Warning, "warning:")));
    }

    /// A line to stderr, whatever is wished.
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", redact_own(text));
    }

    /// What ended a command.
    pub(super) fn report(&self, failure: &Failure) {
        self.diagnostic(failure.diagnostic());
    }

    /// A diagnostic with its snippet and help; those that it gathers come first, one by one.
    pub(super) fn diagnostic(&self, diagnostic: &dyn Diagnostic) {
        let related: Vec<&dyn Diagnostic> = diagnostic.related().into_iter().flatten().collect();
        for related in &related {
            self.diagnostic(*related);
        }
        if related.len() == 1 {
            return;
        }
        let (mut theme, style) = match self.stderr {
            Paint::Colour => (GraphicalTheme::unicode(), true),
            Paint::Plain => (GraphicalTheme::unicode_nocolor(), false),
        };
        for (sign, word) in [
            (&mut theme.characters.error, "error:"),
            (&mut theme.characters.warning, "warning:"),
            (&mut theme.characters.advice, "note:"),
        ] {
            word.clone_into(sign);
        }
        // A log is searched: what is one line stays one line there, ids and paths whole.
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(style)
            .with_width(width())
            .with_wrap_lines(std::io::stderr().is_terminal());
        let mut text = String::new();
        // Rendering into a String fails only where a source gives no text; the message remains.
        if handler.render_report(&mut text, &Alone(diagnostic)).is_err() {
            text = format!("error: {diagnostic}");
        }
        self.say(&format!("{}\n", text.trim()));
    }

    /// Asks a question that `yes` answers. `None` without a terminal to ask on.
    pub(super) async fn confirm(&self, question: &str) -> Option<bool> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "{question} Only `yes` is taken as approval: ").and_then(|()| stderr.flush());
        // On a thread of its own: Ctrl-C has to be heard meanwhile.
        let read = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        Some(matches!(read.await, Ok(Ok(answer)) if answer.trim() == "yes"))
    }

    /// Says that Ctrl-C was heard, and what was done until then.
    pub(super) fn interrupted(&self, done: &str) {
        if std::io::stderr().is_terminal() {
            // A question may stand on this line.
            self.say("");
        }
        self.warn(&format!("interrupted; {done}"));
    }
}

/// Columns of a diagnostic: the terminal's, within reason.
fn width() -> usize {
    const USUAL: usize = 100;
    let columns =
        terminal_size::terminal_size_of(std::io::stderr()).map(|(columns, _)| usize::from(columns.0));
    columns.map_or(USUAL, |columns| columns.clamp(60, 140))
}

/// A diagnostic without those that it gathers, its code behind its message.
#[derive(Debug)]
struct Alone<'d>(&'d dyn Diagnostic);

impl std::fmt::Display for Alone<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.code() {
            Some(code) => write!(f, "{} [{code}]", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for Alone<'_> {
    /// The first cause that the message does not speak of already.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let message = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(known) = cause.filter(|cause| message.contains(&cause.to_string())) {
            cause = known.source();
        }
        cause
    }
}

impl Diagnostic for Alone<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        self.0.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.help()
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        self.0.labels()
    }
}
