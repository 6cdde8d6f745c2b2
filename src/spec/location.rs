//! Where something stands in the files of a spec, so that a diagnostic can underline it long after
//! the file was read. Knows nothing of what the text means.

use std::fmt;
use std::sync::Arc;

use miette::{NamedSource, SourceCode, SourceSpan};

use crate::neutral;

/// A file that was read, as it may be shown: secrets in it are masked with `*`, byte for byte.
#[derive(Debug)]
pub struct Source {
    name: String,
    shown: NamedSource<String>,
    line_starts: Vec<usize>,
}

impl Source {
    /// A source named as the user wrote its path, with its masked text.
    pub fn new(name: impl Into<String>, masked_text: impl Into<String>) -> Arc<Self> {
        let (name, text) = (name.into(), neutral::same_length(masked_text.into()));
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { shown: NamedSource::new(neutral::one_line(&name), text), name, line_starts })
    }

    /// The path, as the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The masked text with its name, for miette.
    pub fn shown(&self) -> &NamedSource<String> {
        &self.shown
    }

    /// As [`Source::shown`], without a copy.
    pub fn source_code(&self) -> &dyn SourceCode {
        &self.shown
    }
}

/// A place in a source.
#[derive(Clone)]
pub struct Location {
    /// The file.
    pub source: Arc<Source>,
    /// Bytes in it.
    pub span: SourceSpan,
}

impl Location {
    /// The place of `length` bytes from `offset`.
    pub fn new(source: &Arc<Source>, offset: usize, length: usize) -> Self {
        Self { source: Arc::clone(source), span: (offset, length).into() }
    }

    /// Line, counted from 1.
    pub fn line(&self) -> usize {
        self.source.line_starts.partition_point(|start| *start <= self.span.offset())
    }

    /// Column in characters, counted from 1.
    pub fn column(&self) -> usize {
        let before = self.source.shown.inner().get(self.line_start()..self.span.offset());
        before.map_or(1, |before| before.chars().count() + 1)
    }

    /// How long its line is, in bytes.
    pub(super) fn line_bytes(&self) -> usize {
        let end = self.source.line_starts.get(self.line()).copied();
        end.unwrap_or(self.source.shown.inner().len()) - self.line_start()
    }

    fn line_start(&self) -> usize {
        self.source.line_starts.get(self.line().saturating_sub(1)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.name, self.line())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Location,
}
