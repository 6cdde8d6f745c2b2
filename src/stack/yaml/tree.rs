//! Parses YAML text to a tree. Scalars keep their source text and every node has its location.
//! Pure: it reads no file. The only keys it knows are those of secrets, which it marks.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use super::shield::Shield;
use crate::stack::error::{Code, SHOWN_ERRORS};
use crate::stack::mask;

/// Bounds the recursion of everything that walks the tree; hand-written files are not nested
/// deeper.
const MAX_DEPTH: usize = 64;
/// Limit for nodes repeated by aliases in one file, against exponential expansion ("billion
/// laughs").
const MAX_REPEATED: usize = 100_000;

/// A range in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::stack) struct Span {
    /// Index of the file.
    pub file: u32,
    /// Offset in bytes.
    pub start: u32,
    /// Length in bytes.
    pub length: u32,
}

impl Span {
    pub(in crate::stack) fn new(file: u32, range: &Range<usize>) -> Self {
        let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { file, start: number(range.start), length: number(range.len()) }
    }

    pub(in crate::stack) fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

/// A value with its location.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Node {
    pub kind: NodeKind,
    pub at: Span,
}

#[derive(Debug, Clone)]
pub(in crate::stack) enum NodeKind {
    /// A scalar; `plain` unless it is quoted or a block.
    Scalar {
        text: Box<str>,
        plain: bool,
    },
    Seq(Vec<Node>),
    /// A map in the order of the file, with distinct keys.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Entry {
    pub key: Box<str>,
    pub key_at: Span,
    pub value: Node,
}

impl Node {
    /// Whether it is `null`, `~` or empty.
    pub(in crate::stack) fn is_null(&self) -> bool {
        match &self.kind {
            NodeKind::Scalar { text, plain } => {
                *plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
            }
            NodeKind::Seq(_) | NodeKind::Map(_) => false,
        }
    }

    /// Returns the entry of a key, if this is a map.
    pub(in crate::stack) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            NodeKind::Map(entries) => entries.iter().find(|entry| &*entry.key == key),
            NodeKind::Scalar { .. } | NodeKind::Seq(_) => None,
        }
    }

    fn count(&self) -> usize {
        match &self.kind {
            NodeKind::Scalar { .. } => 1,
            NodeKind::Seq(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            NodeKind::Map(entries) => 1 + entries.iter().map(|entry| entry.value.count()).sum::<usize>(),
        }
    }

    /// Collects the locations of its scalars and keys. With aliases they may be anywhere in the
    /// file.
    fn texts(&self, found: &mut Vec<Range<usize>>) {
        match &self.kind {
            NodeKind::Scalar { .. } => found.push(self.at.range()),
            NodeKind::Seq(items) => items.iter().for_each(|item| item.texts(found)),
            NodeKind::Map(entries) => entries.iter().for_each(|entry| {
                found.push(entry.key_at.range());
                entry.value.texts(found);
            }),
        }
    }
}

/// An error in the text, before the source is masked.
#[derive(Debug)]
pub(in crate::stack) struct Problem {
    pub code: Code,
    pub at: Range<usize>,
    pub message: String,
    pub label: String,
    pub also: Option<(Range<usize>, String)>,
    pub help: String,
}

/// The result of parsing a text.
#[derive(Debug, Default)]
pub(in crate::stack) struct Tree {
    /// `None` for an empty or broken file.
    pub root: Option<Node>,
    /// Whether parsing stopped early, so that missing keys mean nothing.
    pub broken: bool,
    /// Ranges that must not be shown.
    pub secrets: Vec<Range<usize>>,
    /// Errors.
    pub problems: Vec<Problem>,
}

/// Parses a text. `file` is the index stored in the spans.
pub(in crate::stack) fn parse(file: u32, text: &str) -> Tree {
    let shield = Shield::new(text);
    let mut builder = Builder::new(file, text, &shield);
    let mut options = granit_parser::options! { flow_nesting_limit: 200, block_nesting_limit: 200 };
    options.set_emit_comments(false);
    for next in Parser::new_from_str_with_options(&shield.text, options) {
        match next {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or(0..0);
                if !builder.event(event, range) {
                    break;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
                let length = text.get(at..).and_then(|rest| rest.chars().next());
                let length = length.filter(|c| *c != '\n').map_or(0, char::len_utf8);
                let info = error.info();
                let message = format!("not valid YAML: {info}");
                builder.stop(Code::Syntax, at..at + length, &message, "here", syntax_help(&info));
                break;
            }
        }
    }
    builder.tree
}

/// Returns help for the most frequent errors.
fn syntax_help(info: &str) -> &'static str {
    if info.contains("escape") {
        "in double quotes `\\` begins an escape: write the text in single quotes, where `\\` is itself"
    } else if info.contains("tab") {
        "indent with spaces"
    } else if info.contains("mapping values") {
        "put a blank behind the colon of a key, quote a text that ends with `:` or has `: ` in it, and indent what belongs together alike"
    } else if info.contains("simple key") {
        "a key ends with a colon and a blank: write `key: value`"
    } else if info.contains("quoted") || info.contains("end of stream") {
        "close the quote or the bracket that was opened"
    } else {
        "look at this line and the one above: indentation, quotes, brackets"
    }
}

enum Frame {
    Seq {
        items: Vec<Node>,
        start: usize,
        flow: bool,
        anchor: usize,
    },
    Map {
        entries: Vec<Entry>,
        seen: HashSet<Box<str>>,
        key: Option<(Box<str>, Span)>,
        start: usize,
        flow: bool,
        anchor: usize,
    },
}

struct Builder<'t> {
    file: u32,
    text: &'t str,
    shield: &'t Shield<'t>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    repeated: usize,
    documents: usize,
    tree: Tree,
}

impl<'t> Builder<'t> {
    fn new(file: u32, text: &'t str, shield: &'t Shield<'t>) -> Self {
        let (frames, anchors) = (Vec::new(), HashMap::new());
        Self { file, text, shield, frames, anchors, repeated: 0, documents: 0, tree: Tree::default() }
    }

    fn problem(&mut self, code: Code, at: Range<usize>, message: &str, label: &str, help: &str) {
        let (message, label, help) = (message.to_owned(), label.to_owned(), help.to_owned());
        self.tree.problems.push(Problem { code, at, message, label, also: None, help });
    }

    /// Reports a problem that makes the rest of the file meaningless.
    fn stop(&mut self, code: Code, at: Range<usize>, message: &str, label: &str, help: &str) -> bool {
        self.problem(code, at, message, label, help);
        self.tree.broken = true;
        false
    }

    /// Processes one event; returns false if parsing must stop.
    fn event(&mut self, event: Event<'_>, at: Range<usize>) -> bool {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let help = "put every environment into a file of its own";
                    return self.stop(
                        Code::Unsupported,
                        at,
                        "a second document in one file",
                        "begins here",
                        help,
                    );
                }
                true
            }
            Event::Scalar(text, style, anchor, tag) => {
                let mut plain = style == ScalarStyle::Plain;
                if let Some(tag) = tag {
                    if tag.is_yaml_core_schema_tag("str") {
                        plain = false;
                    } else {
                        self.tag(&tag.original(), at.clone());
                    }
                }
                let text = self.shield.restore(&text, &at);
                let kind = NodeKind::Scalar { text, plain };
                self.node(Node { kind, at: Span::new(self.file, &at) }, anchor, at)
            }
            Event::SequenceStart(style, anchor, tag) => {
                if let Some(tag) = tag {
                    self.tag(&tag.original(), at.clone());
                }
                let flow = style == StructureStyle::Flow;
                self.open(Frame::Seq { items: Vec::new(), start: at.start, flow, anchor }, at)
            }
            Event::MappingStart(style, anchor, tag) => {
                if let Some(tag) = tag {
                    self.tag(&tag.original(), at.clone());
                }
                let flow = style == StructureStyle::Flow;
                let (entries, seen) = (Vec::new(), HashSet::new());
                self.open(Frame::Map { entries, seen, key: None, start: at.start, flow, anchor }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.frames.pop() {
                Some(Frame::Seq { items, start, flow, anchor }) => {
                    let span = self.collection_span(start, at.end, flow);
                    self.node(Node { kind: NodeKind::Seq(items), at: span }, anchor, start..at.end)
                }
                Some(Frame::Map { entries, start, flow, anchor, .. }) => {
                    let span = self.collection_span(start, at.end, flow);
                    self.node(Node { kind: NodeKind::Map(entries), at: span }, anchor, start..at.end)
                }
                None => true,
            },
            Event::Alias(id) => self.alias(id, at),
            _ => true,
        }
    }

    fn tag(&mut self, tag: &str, at: Range<usize>) {
        let message = format!("the tag `{tag}` means nothing in a spec");
        self.problem(Code::Unsupported, at, &message, "this value", "write the value without a tag");
    }

    fn open(&mut self, frame: Frame, at: Range<usize>) -> bool {
        self.frames.push(frame);
        if self.frames.len() > MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return self.stop(Code::TooComplex, at, &message, "too deep", "");
        }
        true
    }

    fn alias(&mut self, id: usize, at: Range<usize>) -> bool {
        let Some(node) = self.anchors.get(&id).cloned() else {
            return self.stop(
                Code::Unsupported,
                at,
                "an alias inside of what it repeats",
                "repeats itself",
                "",
            );
        };
        self.repeat(&node, at.clone()) && self.node(node, 0, at)
    }

    fn repeat(&mut self, node: &Node, at: Range<usize>) -> bool {
        self.repeated += node.count();
        if self.repeated > MAX_REPEATED {
            let message = format!("aliases repeat more than {MAX_REPEATED} values");
            let help = "write the values out, or share them with `extends`";
            return self.stop(Code::TooComplex, at, &message, "one too many", help);
        }
        true
    }

    /// Returns a short span for a collection: its first line, or its key. Block collections have no
    /// closing bracket, and a long underline is hard to read.
    fn collection_span(&self, start: usize, end: usize, flow: bool) -> Span {
        if !flow && let Some(Frame::Map { key: Some((_, key)), .. }) = self.frames.last() {
            return *key;
        }
        let rest = self.text.get(start..end).unwrap_or("");
        let line = rest.lines().next().unwrap_or("").trim_end().len();
        Span::new(self.file, &(start..start + line))
    }

    /// Adds a complete value, whose text is `whole`, to its parent.
    fn node(&mut self, node: Node, anchor: usize, whole: Range<usize>) -> bool {
        if anchor > 0 {
            if !self.repeat(&node, node.at.range()) {
                return false;
            }
            self.anchors.insert(anchor, node.clone());
        }
        if matches!(self.frames.last(), Some(Frame::Map { key: None, .. })) {
            return self.key(node);
        }
        if self.is_secret_place(&node) {
            node.texts(&mut self.tree.secrets);
            // Includes text that the node does not keep, such as the second value of a duplicate
            // key.
            let length = self.text.get(whole.clone()).map_or(0, |text| text.trim_end().len());
            self.tree.secrets.push(whole.start..whole.start + length);
        }
        match self.frames.last_mut() {
            None => self.tree.root = Some(node),
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { entries, seen, key, .. }) => {
                if let Some((key, key_at)) = key.take()
                    && seen.insert(key.clone())
                {
                    entries.push(Entry { key, key_at, value: node });
                }
            }
        }
        true
    }

    fn key(&mut self, node: Node) -> bool {
        let range = node.at.range();
        let is_null = node.is_null();
        let NodeKind::Scalar { text, plain } = node.kind else {
            let help = "keys are plain names; quote a value that begins with a bracket or a brace";
            return self.stop(Code::Unsupported, range, "a key that is a list or a map", "not a name", help);
        };
        if is_null {
            self.problem(
                Code::Unsupported,
                range,
                "a key without a name",
                "no name",
                "write it in quotes if it is meant",
            );
        } else if plain && &*text == "<<" {
            let help = "use `extends`, or repeat a whole value with an alias";
            self.problem(Code::Unsupported, range, "merge keys are not part of a spec", "merged here", help);
        } else if let Some(Frame::Map { entries, seen, .. }) = self.frames.last()
            && seen.contains(&*text)
            && self.tree.problems.len() < 2 * SHOWN_ERRORS
            && let Some(first) = entries.iter().find(|entry| entry.key == text)
        {
            let also = Some((first.key_at.range(), "first here".to_owned()));
            let message = if self.is_below_secret() {
                "a key stands twice".to_owned()
            } else {
                format!("the key `{text}` stands twice")
            };
            let help = "keep one of them: YAML tools disagree on which one counts".to_owned();
            let label = "again here".to_owned();
            let code = Code::DuplicateKey;
            self.tree.problems.push(Problem { code, at: range, message, label, also, help });
        }
        if let Some(Frame::Map { key, seen, .. }) = self.frames.last_mut() {
            if plain && (is_null || &*text == "<<") {
                // Reported. As a key that was seen before, its value is dropped.
                seen.insert(text.clone());
            }
            *key = Some((text, node.at));
        }
        true
    }

    /// Whether the key of a value marks it as a secret. Not secret are the columns of `accounts`,
    /// which are named after their content, and objects that happen to have a name such as
    /// `tokens`.
    fn is_secret_place(&self, node: &Node) -> bool {
        let mut keys = self.frames.iter().rev().filter_map(|frame| match frame {
            Frame::Map { key: Some((key, _)), .. } => Some(&**key),
            Frame::Map { key: None, .. } | Frame::Seq { .. } => None,
        });
        let last = matches!(self.frames.last(), Some(Frame::Map { .. }));
        match (keys.next(), keys.next(), keys.next()) {
            (Some(_), Some("columns"), Some("accounts")) | (None, _, _) => false,
            (Some("password" | "token"), _, _) => last,
            (Some(key), _, _) => last && !is_object(node) && mask::is_secret_key(key),
        }
    }

    /// Whether the current value is below a key that may be a secret.
    fn is_below_secret(&self) -> bool {
        self.frames.iter().any(|frame| match frame {
            Frame::Map { key: Some((key, _)), .. } => mask::is_secret_key(key),
            Frame::Map { key: None, .. } | Frame::Seq { .. } => false,
        })
    }
}

/// Whether a value is a map with values. `{hunter2}` is a text without its quotes.
fn is_object(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Map(entries) => entries.iter().all(|entry| !entry.value.is_null()),
        NodeKind::Scalar { .. } | NodeKind::Seq(_) => false,
    }
}
