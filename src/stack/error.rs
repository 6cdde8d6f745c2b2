//! The errors of a spec as diagnostics with file, location and help. All errors of a load are
//! returned together. Quoted sources are masked, so no error shows a secret.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::location::Location;

/// Maximum number of errors shown, because a broken file can have thousands.
pub(super) const SHOWN_ERRORS: usize = 50;

/// The machine-readable kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A file is missing, a folder, not readable, too large or not text.
    Unreadable,
    /// The file is not valid YAML.
    Syntax,
    /// A YAML feature that specs do not support: tags, several documents, merge keys.
    Unsupported,
    /// Nested too deep, or too much repeated by aliases.
    TooComplex,
    /// A key occurs twice in one map.
    DuplicateKey,
    /// Files extend each other in a circle.
    Cycle,
    /// A key that is not part of the language.
    UnknownKey,
    /// A required key is missing.
    MissingKey,
    /// The value has the wrong type, such as a list instead of a text.
    WrongType,
    /// The type is right, but the value is not accepted.
    BadValue,
    /// A name with invalid characters.
    BadName,
    /// A reference to an undeclared flag, table, target or ontology.
    UnknownReference,
    /// A malformed placeholder.
    BadPlaceholder,
    /// An unset variable, or a missing file of a secret.
    Unset,
    /// A malformed address.
    BadUrl,
    /// A password that is too short or too long.
    BadPassword,
    /// Flags that contradict each other or the declared objects.
    Flags,
    DemoDataInProduction,
    /// A key that this kind of database, vector store or cache does not have.
    NotForThisKind,
    /// Two objects share a value that must be unique.
    Same,
    /// An invalid folder of migrations.
    Migrations,
    /// An ontology with contradictions.
    Ontology,
    /// Invalid rows of a seed.
    Rows,
    /// Valid, but this version has no backend for it.
    NotBuilt,
}

impl Code {
    /// Returns the full code, such as `trueup::spec::unknown_key`.
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

/// An error occurred and was already reported.
pub(super) struct Reported;

/// One error with its location.
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
    /// Creates an error without a location, such as for a missing file.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None, label: None, also: Vec::new(), help: None }
    }

    /// Sets the location and the label shown under it.
    #[must_use]
    pub(super) fn at(mut self, at: Location, label: impl Into<String>) -> Self {
        self.at = Some(at);
        self.label = Some(label.into()).filter(|label: &String| !label.is_empty());
        self
    }

    /// Adds a related location.
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

    /// Returns the kind of the error.
    pub fn kind(&self) -> Code {
        self.code
    }

    /// Returns the location; `None` if the file could not be read.
    pub fn location(&self) -> Option<&Location> {
        self.at.as_ref()
    }

    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Sort key: by location; errors at equal locations keep their order.
    fn order(&self) -> (bool, String, usize) {
        match &self.at {
            None => (false, String::new(), 0),
            Some(at) => (true, at.source.name().to_owned(), at.span.offset()),
        }
    }

    /// Returns the location, unless its line is too long to be quoted.
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
        // Labels can only refer to the quoted file, so locations in other files are listed in the
        // help text.
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

/// All errors of a spec.
#[derive(Debug)]
pub struct SpecErrors {
    errors: Vec<SpecError>,
    cut: usize,
    file: String,
}

impl SpecErrors {
    /// Sorts the errors by location, removes duplicates and limits their number.
    pub(super) fn new(file: String, (mut errors, uncounted): (Vec<SpecError>, usize)) -> Self {
        errors.sort_by_cached_key(SpecError::order);
        errors.dedup_by(|a, b| a.message == b.message && a.order() == b.order());
        let cut = errors.len().saturating_sub(SHOWN_ERRORS) + uncounted;
        errors.truncate(SHOWN_ERRORS);
        Self { errors, cut, file }
    }

    /// Returns the errors that are shown.
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
