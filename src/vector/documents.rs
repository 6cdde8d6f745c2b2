//! Generates the documents of a store. Templates are plain sentences of names, types, comments and terms.
//! Rows of business databases and credentials cannot appear, because the only inputs are schemas,
//! ontologies and files.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use serde_json::Value;

use super::{METRIC, key};
use crate::catalog::{Column, ForeignKey, Table, TableKind, TableName};
use crate::digest::Fingerprint;
use crate::stack::{Example, SourceFile, Term};

/// The size in bytes from which the text of a table, term or example is split.
const LONG: usize = 8_000;
/// The size of the parts of a file. Shorter parts give better search results for prose.
const LONG_PROSE: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Stable, and unique in its collection.
    pub id: String,
    /// The text that is embedded.
    pub text: String,
    /// Strings and integers that the store keeps with the document.
    pub metadata: BTreeMap<String, Value>,
    /// Covers text, metadata, embedder and metric. Also part of the stored metadata.
    pub fingerprint: Fingerprint,
    pub source: Source,
}

/// What a document is generated from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The schema of a target.
    Target(String),
    /// The terms of an ontology.
    Ontology(String),
    /// A prose file.
    File(String),
    /// The example questions of a collection.
    Examples,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(name) => write!(f, "target:{name}"),
            Self::Ontology(name) => write!(f, "ontology:{name}"),
            Self::File(name) => write!(f, "file:{name}"),
            Self::Examples => f.write_str("examples"),
        }
    }
}

/// Generates the documents of one stack for one embedder.
pub(super) struct Author<'a> {
    pub(super) stack: &'a str,
    pub(super) embedder: &'a str,
}

impl Author<'_> {
    /// A table's description with the terms that mention it. One document unless it is very long.
    pub(super) fn table(
        &self,
        target: &str,
        name: &TableName,
        table: &Table,
        terms: &[&Term],
    ) -> Vec<Document> {
        let id = format!("{target}/{name}");
        let texts = parts(&describe(target, name, table, terms), LONG, Some(&format!("{name} ({target})")));
        let facts = [("target", target.to_owned()), ("table", name.to_string())];
        self.documents(&id, texts, &facts, &Source::Target(target.to_owned()))
    }

    pub(super) fn term(&self, ontology: &str, term: &Term) -> Vec<Document> {
        let id = format!("{ontology}/{}", term.term);
        let mut text = sentence(term);
        let tables = sorted(&term.tables);
        if !tables.is_empty() {
            let _ = write!(text, "\nSpeaks of: {}", tables.join(", "));
        }
        let facts = [("ontology", ontology.to_owned()), ("term", term.term.clone())];
        self.documents(
            &id,
            parts(&text, LONG, Some(&term.term)),
            &facts,
            &Source::Ontology(ontology.to_owned()),
        )
    }

    /// The documents of a prose file; none when it has no word.
    pub(super) fn file(&self, file: &SourceFile) -> Vec<Document> {
        let SourceFile { name, text } = file;
        // Line endings depend on the checkout and must not change the text.
        let text = text.replace("\r\n", "\n");
        let texts = parts(text.trim(), LONG_PROSE, None);
        self.documents(name, texts, &[("file", name.clone())], &Source::File(name.clone()))
    }

    /// An example question. Its SQL is in the metadata, because searches match the question only.
    pub(super) fn example(&self, example: &Example) -> Vec<Document> {
        let Example { question, sql, target, at: _ } = example;
        let id = format!("example/{}", Fingerprint::of([Some(question.as_str()), target.as_deref()]));
        let mut facts = vec![("question", question.clone()), ("sql", sql.clone())];
        facts.extend(target.iter().map(|target| ("target", target.clone())));
        self.documents(&id, parts(question, LONG, None), &facts, &Source::Examples)
    }

    fn documents(
        &self,
        id: &str,
        texts: Vec<String>,
        facts: &[(&str, String)],
        source: &Source,
    ) -> Vec<Document> {
        let of_many = texts.len() > 1;
        let document = |(index, text): (usize, String)| {
            let number = index + 1;
            let mut metadata: BTreeMap<String, Value> =
                facts.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
            metadata.insert(key::STACK.to_owned(), Value::from(self.stack));
            metadata.insert(key::SOURCE.to_owned(), Value::from(source.to_string()));
            metadata.insert(key::EMBEDDER.to_owned(), Value::from(self.embedder));
            if of_many {
                metadata.insert("part".to_owned(), Value::from(number));
            }
            let fields = [text.as_str(), &format!("{}", Value::from_iter(metadata.clone())), METRIC];
            let fingerprint = Fingerprint::of(fields.map(Some));
            metadata.insert(key::FINGERPRINT.to_owned(), Value::from(fingerprint.to_string()));
            // The first part keeps the plain id, so that it stays the same when the text grows.
            let id = if number == 1 { id.to_owned() } else { format!("{id}#{number}") };
            Document { id, text, metadata, fingerprint, source: source.clone() }
        };
        texts.into_iter().enumerate().map(document).collect()
    }
}

/// Describes a table in sentences.
fn describe(target: &str, name: &TableName, table: &Table, terms: &[&Term]) -> String {
    let Table { kind, columns, primary_key, foreign_keys, indexes, checks, comment, definition, strict: _ } =
        table;
    let kind = match kind {
        TableKind::Table => "Table",
        TableKind::View => "View",
        TableKind::MaterializedView => "Materialized view",
        TableKind::Foreign => "Foreign table",
    };
    let mut text = format!("{kind} {name} (database {target})");
    if let Some(comment) = comment {
        let _ = write!(text, "\n{comment}");
    }
    text.push_str("\nColumns:");
    for column in columns {
        let _ = write!(text, "\n- {}", column_line(column));
    }
    if !primary_key.is_empty() {
        let _ = write!(text, "\nPrimary key: {}", primary_key.join(", "));
    }
    for ForeignKey { columns, table, references, actions: _ } in foreign_keys {
        let _ = write!(text, "\nReferences: {} to {table}", columns.join(", "));
        if !references.is_empty() {
            let _ = write!(text, " ({})", references.join(", "));
        }
    }
    for index in indexes.values().filter(|index| index.unique && index.predicate.is_none()) {
        let _ = write!(text, "\nUnique: {}", index.keys.join(", "));
    }
    for check in checks {
        let _ = write!(text, "\nCheck: {check}");
    }
    if let Some(definition) = definition {
        let _ = write!(text, "\nDefined as: {}", definition.trim());
    }
    if !terms.is_empty() {
        text.push_str("\nTerms:");
        for term in terms {
            let _ = write!(text, "\n- {}", sentence(term));
        }
    }
    text
}

fn column_line(column: &Column) -> String {
    let Column { name, data_type, kind: _, nullable, default, generated, identity: _, comment } = column;
    let mut line = name.clone();
    if !data_type.is_empty() {
        let _ = write!(line, " {data_type}");
    }
    if !nullable {
        line.push_str(", required");
    }
    if let Some(default) = default {
        let _ = write!(line, ", default {default}");
    }
    if let Some(expression) = generated {
        let _ = write!(line, ", computed as {expression}");
    }
    if let Some(comment) = comment {
        let _ = write!(line, ": {comment}");
    }
    line
}

/// Describes a term in sentences. Synonyms are sorted, so that their order has no effect.
fn sentence(term: &Term) -> String {
    let Term { term, definition, synonyms, expression, tables: _ } = term;
    let mut text = term.clone();
    let synonyms = sorted(synonyms);
    if !synonyms.is_empty() {
        let _ = write!(text, " (also: {})", synonyms.join(", "));
    }
    let _ = write!(text, ": {}", definition.trim());
    if let Some(expression) = expression {
        let _ = write!(text, "\nComputed as: {}", expression.trim());
    }
    text
}

fn sorted(texts: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = texts.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

/// Splits a text into parts of at most `limit` bytes: at a blank line, else at a line end, else at a space.
/// Parts after the first begin with the heading. A text without a letter or digit has no parts.
fn parts(text: &str, limit: usize, heading: Option<&str>) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = if rest.len() <= limit { (rest, "") } else { cut(rest, limit) };
        rest = after.trim_start();
        if part.chars().any(char::is_alphanumeric) {
            parts.push(match heading {
                Some(heading) if !parts.is_empty() => format!("{heading}, continued\n{}", part.trim_end()),
                _ => part.trim_end().to_owned(),
            });
        }
    }
    parts
}

fn cut(text: &str, limit: usize) -> (&str, &str) {
    let window = text.get(..text.floor_char_boundary(limit)).unwrap_or(text);
    // Not in the first quarter, which would leave a part too short to be useful.
    let late = |at: &usize| *at > limit / 4;
    let at =
        ["\n\n", "\n", " "].iter().find_map(|end| window.rfind(end).filter(late)).unwrap_or(window.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}
