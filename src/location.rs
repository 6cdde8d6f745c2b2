//! Locations in the files of a spec, so that a diagnostic can underline the text long after the
//! file was read.

use std::fmt;
use std::sync::{Arc, LazyLock};

use miette::{NamedSource, SourceCode, SourceSpan};

use crate::neutral;

/// A file of the spec. Secrets in its text are masked with `*`, byte for byte.
#[derive(Debug)]
pub struct Source {
    name: String,
    /// Computed on first use, because most files are never shown.
    masked: LazyLock<Masked, Box<dyn FnOnce() -> Masked + Send>>,
}

#[derive(Debug)]
struct Masked {
    shown: NamedSource<String>,
    line_starts: Vec<usize>,
}

impl Source {
    /// The name is the path as the user wrote it.
    pub fn new(name: impl Into<String>, masked_text: impl Into<String>) -> Arc<Self> {
        let text = masked_text.into();
        Self::lazy(name, || text)
    }

    /// Like [`Source::new`], with text that is masked on first use.
    pub fn lazy(name: impl Into<String>, mask: impl FnOnce() -> String + Send + 'static) -> Arc<Self> {
        let name = name.into();
        let title = neutral::one_line(&name).into_owned();
        let masked: Box<dyn FnOnce() -> Masked + Send> = Box::new(|| {
            let text = neutral::same_length(mask());
            let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
            let line_starts = line_starts.collect();
            Masked { shown: NamedSource::new(title, text), line_starts }
        });
        Arc::new(Self { name, masked: LazyLock::new(masked) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The masked text with its name, for miette.
    pub fn shown(&self) -> &NamedSource<String> {
        &self.masked.shown
    }

    /// Like [`Source::shown`], without a copy.
    pub fn source_code(&self) -> &dyn SourceCode {
        &self.masked.shown
    }
}

/// A range in a source.
#[derive(Clone)]
pub struct Location {
    pub source: Arc<Source>,
    pub span: SourceSpan,
}

impl Location {
    pub fn new(source: &Arc<Source>, offset: usize, length: usize) -> Self {
        Self { source: Arc::clone(source), span: (offset, length).into() }
    }

    /// Counts from 1.
    pub fn line(&self) -> usize {
        self.source.masked.line_starts.partition_point(|start| *start <= self.span.offset())
    }

    /// In characters, from 1.
    pub fn column(&self) -> usize {
        let before = self.source.masked.shown.inner().get(self.line_start()..self.span.offset());
        before.map_or(1, |before| before.chars().count() + 1)
    }

    pub(crate) fn line_bytes(&self) -> usize {
        let end = self.source.masked.line_starts.get(self.line()).copied();
        end.unwrap_or(self.source.masked.shown.inner().len()) - self.line_start()
    }

    fn line_start(&self) -> usize {
        self.source.masked.line_starts.get(self.line().saturating_sub(1)).copied().unwrap_or(0)
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
