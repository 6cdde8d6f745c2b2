//! What can be wrong with a spec, as diagnostics: each with its own file, place and advice. All
//! errors of a run travel together. Never shows a secret: the sources it quotes are masked.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::location::Location;

/// How many errors are shown; a broken file can have thousands, and nobody reads those.
pub(super) const SHOWN_ERRORS: usize = 50;

/// The kind of a mistake, for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A file is missing, is a folder, may not be read, is too large or is no text.
    Unreadable,
    /// The file is not valid YAML.
    Syntax,
    /// Part of YAML that a spec has no use for: tags, several documents, merge keys.
    Unsupported,
    /// Nested too deep, or too much repeated by aliases.
    TooComplex,
    /// A key stands twice in one map.
    DuplicateKey,
    /// Files that extend each other in a circle.
    Cycle,
    /// A key that nobody reads.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// A list where a text is wanted, `yes` where a boolean is.
    WrongType,
    /// Right type, but not one of what is accepted.
    BadValue,
    /// A name with characters that names may not have.
    BadName,
    /// A flag, table, target or ontology that is not declared.
    UnknownReference,
    /// A placeholder that cannot be read.
    BadPlaceholder,
    /// A variable that is not set, or a secret's file that is not there.
    Unset,
    /// An address that cannot be understood.
    BadUrl,
    /// A password that is too short or too long.
    BadPassword,
    /// Flags that contradict each other or what is declared.
    Flags,
    DemoDataInProduction,
    /// A key that this kind of database, vector store or cache does not have.
    NotForThisKind,
    /// Two things that may not be the same are.
    Same,
    /// A folder of migrations that cannot be used.
    Migrations,
    /// An ontology that contradicts itself.
    Ontology,
    /// Rows of a seed that cannot be used.
    Rows,
    /// Right, but this version has no backend for it.
    NotBuilt,
}

impl Code {
    /// As shown: `trueup::spec::unknown_key`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "trueup::spec::unreadable",
            Self::Syntax => "trueup::spec::syntax",
            Self::Unsupported => "trueup::spec::unsupported",
            Self::TooComplex => "trueup::spec::too_complex",
            Self::DuplicateKey => "trueup::spec::duplicate_key",
            Self::Cycle => "trueup::spec::cycle",
            Self::UnknownKey => "trueup::spec::unknown_key",
            Self::MissingKey => "trueup::spec::missing_key",
            Self::WrongType => "trueup::spec::wrong_type",
            Self::BadValue => "trueup::spec::bad_value",
            Self::BadName => "trueup::spec::bad_name",
            Self::UnknownReference => "trueup::spec::unknown_reference",
            Self::BadPlaceholder => "trueup::spec::bad_placeholder",
            Self::Unset => "trueup::spec::unset",
            Self::BadUrl => "trueup::spec::bad_url",
            Self::BadPassword => "trueup::spec::bad_password",
            Self::Flags => "trueup::spec::flags",
            Self::DemoDataInProduction => "trueup::spec::demo_data_in_production",
            Self::NotForThisKind => "trueup::spec::not_for_this_kind",
            Self::Same => "trueup::spec::same",
            Self::Migrations => "trueup::spec::migrations",
            Self::Ontology => "trueup::spec::ontology",
            Self::Rows => "trueup::spec::rows",
            Self::NotBuilt => "trueup::spec::not_built",
        }
    }
}

/// That something is wrong, and reported already.
pub(super) struct Reported;

/// One mistake, with the place where it was made.
#[derive(Debug, Clone)]
pub struct SpecError {
    code: Code,
    message: String,
    at: Option<Location>,
    label: Option<String>,
    also: Vec<(Location, String)>,
    help: Option<String>,
}

impl SpecError {
    /// A mistake that is not in a file, such as a file that is not there.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None, label: None, also: Vec::new(), help: None }
    }

    /// Where it is, and what to write under it.
    #[must_use]
    pub(super) fn at(mut self, at: Location, label: impl Into<String>) -> Self {
        self.at = Some(at);
        self.label = Some(label.into()).filter(|label: &String| !label.is_empty());
        self
    }

    /// Another place that it is about.
    #[must_use]
    pub(super) fn and(mut self, at: Location, label: impl Into<String>) -> Self {
        self.also.push((at, label.into()));
        self
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help: &String| !help.is_empty());
        self
    }

    /// The kind of the mistake.
    pub fn kind(&self) -> Code {
        self.code
    }

    /// Where it is; `None` when the file could not even be read.
    pub fn location(&self) -> Option<&Location> {
        self.at.as_ref()
    }

    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Sorts by place; equal places keep the order in which they were found.
    fn order(&self) -> (bool, String, usize) {
        match &self.at {
            None => (false, String::new(), 0),
            Some(at) => (true, at.source.name().to_owned(), at.span.offset()),
        }
    }

    /// The place, where its line can be quoted: a line of a megabyte cannot.
    fn quoted(&self) -> Option<&Location> {
        const QUOTED_BYTES: usize = 2000;
        self.at.as_ref().filter(|at| at.line_bytes() <= QUOTED_BYTES)
    }

    fn is_beside(&self, other: &Location) -> bool {
        self.quoted().is_some_and(|at| std::sync::Arc::ptr_eq(&at.source, &other.source))
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpecError {}

impl Diagnostic for SpecError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code.as_str()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        // A label can only stand in the file that is shown; places in others are told in words.
        let mut lines: Vec<String> = Vec::new();
        if let (Some(at), None) = (&self.at, self.quoted()) {
            let label = self.label.as_deref().unwrap_or("here");
            lines.push(format!("{at}:{}: {label}", at.column()));
        }
        for (at, label) in self.also.iter().filter(|(at, _)| !self.is_beside(at)) {
            lines.push(format!("{at}: {label}"));
        }
        lines.extend(self.help.clone());
        if lines.is_empty() { None } else { Some(Box::new(lines.join("\n"))) }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.quoted().map(|at| at.source.source_code())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let at = self.quoted()?;
        let first = LabeledSpan::new_primary_with_span(self.label.clone(), at.span);
        let others = self.also.iter().filter(|(at, _)| self.is_beside(at));
        let others = others.map(|(at, label)| LabeledSpan::new_with_span(Some(label.clone()), at.span));
        Some(Box::new(std::iter::once(first).chain(others)))
    }
}

/// All mistakes of a spec.
#[derive(Debug)]
pub struct SpecErrors {
    errors: Vec<SpecError>,
    cut: usize,
    file: String,
}

impl SpecErrors {
    /// Sorted by place, the same mistake once, and no more than anybody reads.
    pub(super) fn new(file: String, (mut errors, uncounted): (Vec<SpecError>, usize)) -> Self {
        errors.sort_by_cached_key(SpecError::order);
        errors.dedup_by(|a, b| a.message == b.message && a.order() == b.order());
        let cut = errors.len().saturating_sub(SHOWN_ERRORS) + uncounted;
        errors.truncate(SHOWN_ERRORS);
        Self { errors, cut, file }
    }

    /// The mistakes that are shown.
    pub fn errors(&self) -> &[SpecError] {
        &self.errors
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() + self.cut {
            1 => write!(f, "1 error in {}", self.file),
            count if self.cut > 0 => {
                write!(f, "{count} errors in {}, the first {SHOWN_ERRORS} are shown", self.file)
            }
            count => write!(f, "{count} errors in {}", self.file),
        }
    }
}

impl std::error::Error for SpecErrors {}

impl Diagnostic for SpecErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("trueup::spec::invalid"))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.errors.iter().map(|error| error as &dyn Diagnostic)))
    }
}
