//! The state of one load: the files read, the variables and all errors so far. It knows no key of
//! the spec.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::error::{Code, SpecError};
use super::text_file::{Unread, read_marked};
use super::yaml::tree::{self, Node, Problem, Span};
use super::{Contact, Warning, mask};
use crate::digest::Digest;
use crate::location::{Location, Source};
use crate::redact::Redactor;
use crate::sql::FileTables;

/// Hand-written specs are much smaller.
const MAX_SPEC_BYTES: u64 = 8 * 1024 * 1024;
/// Limit for data, prose and migrations that a spec names.
pub(super) const MAX_DATA_BYTES: u64 = 64 * 1024 * 1024;
/// Limit for CSV rows, which are read one at a time.
pub(super) const MAX_ROWS_BYTES: u64 = 1024 * 1024 * 1024;

/// Help text for a path with a line feed or a tab in it, which is usually an unintended escape.
pub(super) const ESCAPED: &str = "in double quotes `\\n` is a line feed and `\\t` a tab: write a text with `\\` in it in \
                                  single quotes";

/// Help text for a literal secret.
pub(super) const KEEP_OUT: &str =
    "write `${NAME}` or `${file:/path}`, and keep the secret out of version control";

/// Limits the stored errors, so that a file with an error in every line is reported quickly.
const MAX_ERRORS: usize = 1000;

/// How a YAML file is interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yaml {
    /// A spec or a layer of it: placeholders are replaced.
    Spec,
    /// Data that a spec names: every value is used as written.
    Data,
}

impl Yaml {
    fn max_bytes(self) -> u64 {
        match self {
            Self::Spec => MAX_SPEC_BYTES,
            Self::Data => MAX_DATA_BYTES,
        }
    }
}

/// A file that was read.
pub(super) struct File {
    /// The path as the user wrote it, or relative to the file that names it.
    pub path: PathBuf,
    /// The content without a byte-order mark.
    pub text: String,
    /// Whether the file began with a byte-order mark.
    is_marked: bool,
    /// Whether its values are used as written.
    is_data: bool,
    /// The masked content for diagnostics.
    pub source: Arc<Source>,
}

impl File {
    /// The folder that relative paths in this file are resolved from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Returns the content as on disk, with its byte-order mark.
    pub(super) fn marked_text(&self) -> String {
        let mark = if self.is_marked { "\u{feff}" } else { "" };
        format!("{mark}{}", self.text)
    }
}

pub(super) struct Context<'a> {
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    pub contact: Contact,
    files: RefCell<Vec<Rc<File>>>,
    errors: RefCell<Vec<SpecError>>,
    uncounted: Cell<usize>,
    warnings: RefCell<Vec<Warning>>,
    defaults_of_secrets: RefCell<Vec<Span>>,
    contents: RefCell<Vec<(String, Digest)>>,
    secrets: RefCell<HashSet<Span>>,
    redactor: RefCell<Redactor>,
    /// The tables of all SQL files.
    pub tables: FileTables,
}

impl<'a> Context<'a> {
    pub(super) fn new(variables: &'a dyn Fn(&str) -> Option<String>, contact: Contact) -> Self {
        let (files, errors) = (RefCell::default(), RefCell::default());
        Self {
            variables,
            contact,
            files,
            errors,
            uncounted: Cell::default(),
            warnings: RefCell::default(),
            defaults_of_secrets: RefCell::default(),
            contents: RefCell::default(),
            secrets: RefCell::default(),
            redactor: RefCell::default(),
            tables: FileTables::default(),
        }
    }

    /// Records an error.
    pub(super) fn report(&self, error: SpecError) {
        if self.is_full() {
            self.uncounted.set(self.uncounted.get() + 1);
        } else {
            self.errors.borrow_mut().push(error);
        }
    }

    /// Whether the limit of errors is reached.
    pub(super) fn is_full(&self) -> bool {
        self.errors.borrow().len() >= MAX_ERRORS
    }

    /// Records an error at a location: the message, the label under the location, and the help
    /// text.
    pub(super) fn fail(
        &self,
        code: Code,
        at: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.is_full() {
            self.uncounted.set(self.uncounted.get() + 1);
            return;
        }
        self.report(SpecError::new(code, message).at(self.at(at), label).help(help));
    }

    /// Records a warning.
    pub(super) fn warn(&self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        let (message, help, at) = (message.into(), Some(help.into()), Some(self.at(at)));
        self.warnings.borrow_mut().push(Warning { message, help, at });
    }

    /// Records a secret with a default in the file. That is convenient in development, so it
    /// becomes a warning only in production.
    pub(super) fn default_of_secret(&self, at: Span) {
        self.defaults_of_secrets.borrow_mut().push(at);
    }

    /// Turns the recorded defaults of secrets into warnings.
    pub(super) fn warn_of_defaults(&self) {
        for at in self.defaults_of_secrets.take() {
            self.warn(at, "a secret has a default in the file itself", KEEP_OUT);
        }
    }

    /// Records the location of a secret.
    pub(super) fn note_secret(&self, at: Span) {
        self.secrets.borrow_mut().insert(at);
    }

    /// Returns the locations of all secrets.
    pub(super) fn secrets(&self) -> Ref<'_, HashSet<Span>> {
        self.secrets.borrow()
    }

    /// Adds the values of a secret to those that are removed from messages.
    pub(super) fn redact(&self, add: impl FnOnce(&mut Redactor)) {
        add(&mut self.redactor.borrow_mut());
    }

    pub(super) fn take_redactor(&self) -> Redactor {
        self.redactor.take()
    }

    /// Adds the content of a file to the digest, under a name that does not depend on its folder.
    /// Line endings do not count.
    pub(super) fn content(&self, name: String, text: &str) {
        let digest =
            if text.contains('\r') { Digest::of(text.replace("\r\n", "\n")) } else { Digest::of(text) };
        self.contents.borrow_mut().push((name, digest));
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Returns the errors, and the number of errors beyond the limit.
    pub(super) fn take_errors(&self) -> (Vec<SpecError>, usize) {
        (self.errors.take(), self.uncounted.take())
    }

    pub(super) fn take_warnings(&self) -> Vec<Warning> {
        self.warnings.take()
    }

    /// Returns the recorded contents, sorted.
    pub(super) fn take_contents(&self) -> Vec<(String, Digest)> {
        let mut contents = self.contents.take();
        contents.sort();
        contents
    }

    /// Returns the file of a span.
    pub(super) fn file(&self, at: Span) -> Option<Rc<File>> {
        self.files.borrow().get(at.file as usize).cloned()
    }

    /// Whether a location is in a data file, whose values are used as written.
    pub(super) fn is_data(&self, at: Span) -> bool {
        self.files.borrow().get(at.file as usize).is_some_and(|file| file.is_data)
    }

    /// Returns a value of a data file as written. A value with a NUL character is an error.
    pub(super) fn data(&self, at: Span, text: &str) -> Option<String> {
        if text.contains('\0') {
            self.refuse_nul(at);
            return None;
        }
        Some(text.to_owned())
    }

    /// Reports a value with a NUL character: PostgreSQL cannot store it, and SQLite and C programs
    /// end a text there.
    pub(super) fn refuse_nul(&self, at: Span) {
        let help = "no text of a database can hold it everywhere: take it out";
        self.fail(Code::BadValue, at, "a NUL character (`\\0`, `\\u0000`) in a text", "in this value", help);
    }

    /// Converts a span to a location for messages and for the stack.
    pub(super) fn at(&self, at: Span) -> Location {
        match self.file(at) {
            Some(file) => Location::new(&file.source, at.start as usize, at.length as usize),
            None => Location::new(&Source::new("", ""), 0, 0),
        }
    }

    /// Returns the span of `part` inside a scalar, or of the whole scalar if the part cannot be
    /// located.
    pub(super) fn within(&self, at: Span, part: &str) -> Span {
        let Some(file) = self.file(at) else { return at };
        match file.text.get(at.range()).and_then(|written| written.find(part)) {
            Some(offset) => {
                let start = at.range().start + offset;
                Span::new(at.file, &(start..start + part.len()))
            }
            None => at,
        }
    }

    /// Resolves a path relative to the file that contains `at`.
    pub(super) fn path(&self, at: Span, written: &str) -> PathBuf {
        let folder = self.file(at).map(|file| file.folder().to_owned()).unwrap_or_default();
        folder.join(written)
    }

    /// Reads a text file that the spec names at a location, and reports errors there.
    pub(super) fn read(
        &self,
        path: &Path,
        named_at: Option<Span>,
        max_bytes: u64,
    ) -> Option<(u32, Rc<File>)> {
        self.read_as(path, named_at, max_bytes, |text| mask::mask(text, &[]))
    }

    /// As [`Self::read`], for SQL: secret literals are masked in diagnostics.
    pub(super) fn read_sql(
        &self,
        path: &Path,
        named_at: Option<Span>,
        max_bytes: u64,
    ) -> Option<(u32, Rc<File>)> {
        let tables = self.tables.clone();
        let read = self.read_as(path, named_at, max_bytes, move |text| {
            mask::mask(&tables.masked_same_length(text), &[])
        })?;
        self.tables.add(read.1.text.as_str().into());
        Some(read)
    }

    fn read_as(
        &self,
        path: &Path,
        named_at: Option<Span>,
        max_bytes: u64,
        shown: impl FnOnce(&str) -> String + Send + 'static,
    ) -> Option<(u32, Rc<File>)> {
        match read_marked(path, max_bytes) {
            Ok((is_marked, text)) => {
                let copy = text.clone();
                Some(self.keep(path, text, move || shown(&copy), is_marked, true))
            }
            Err(reason) => {
                self.report(self.unreadable(path, named_at, reason));
                None
            }
        }
    }

    /// Reads a YAML file and reports its errors. The root is also `None` if the file is empty.
    pub(super) fn yaml(
        &self,
        path: &Path,
        named_at: Option<Span>,
        read_as: Yaml,
    ) -> Option<(u32, Option<Node>)> {
        let (is_marked, text) = match read_marked(path, read_as.max_bytes()) {
            Ok(read) => read,
            Err(reason) => {
                self.report(self.unreadable(path, named_at, reason));
                return None;
            }
        };
        let index = u32::try_from(self.files.borrow().len()).unwrap_or(u32::MAX);
        let tree = tree::parse(index, &text);
        let shown = if tree.broken { mask::mask_by_lines(&text) } else { mask::mask(&text, &tree.secrets) };
        self.keep(path, text, || shown, is_marked, read_as == Yaml::Data);
        for Problem { code, at, message, label, also, help } in tree.problems {
            let mut error =
                SpecError::new(code, message).at(self.at(Span::new(index, &at)), label).help(help);
            if let Some((also, label)) = also {
                error = error.and(self.at(Span::new(index, &also)), label);
            }
            self.report(error);
        }
        if tree.broken { None } else { Some((index, tree.root)) }
    }

    fn keep(
        &self,
        path: &Path,
        text: String,
        shown: impl FnOnce() -> String + Send + 'static,
        is_marked: bool,
        is_data: bool,
    ) -> (u32, Rc<File>) {
        let source = Source::lazy(path.display().to_string(), shown);
        let file = Rc::new(File { path: path.to_owned(), text, is_marked, is_data, source });
        let mut files = self.files.borrow_mut();
        files.push(Rc::clone(&file));
        (u32::try_from(files.len() - 1).unwrap_or(u32::MAX), file)
    }

    /// Builds the error for a file that cannot be read.
    pub(super) fn unreadable(&self, path: &Path, named_at: Option<Span>, reason: Unread) -> SpecError {
        let Unread { what, help, missing } = reason;
        let shown = path.display().to_string();
        let help = if shown.contains(char::is_control) { ESCAPED.to_owned() } else { help };
        let error = SpecError::new(Code::Unreadable, format!("cannot read {shown}: {what}"));
        let error = error.help(help);
        match named_at {
            Some(at) => error.at(self.at(at), "named here"),
            None if missing => error.help("name a spec with `--file`, or make one with `trueup init`"),
            None => error,
        }
    }
}
