//! Deserializes the tree through serde. A scalar is converted only when the target type is known,
//! so `0123` stays text where text is expected. An error invalidates its own field only, so that
//! one run reports all errors.

pub(super) mod field;
pub(super) mod json;
mod key;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{self, IntoDeserializer, Visitor};

use self::json::json;
use self::key::KeyReader;
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::yaml::tree::{Entry, Node, NodeKind, Span};
use crate::suggest::{nearest, one_of};

/// Deserializes a whole tree and reports errors to the context.
pub(in crate::stack) fn read<T: for<'de> Deserialize<'de>>(cx: &Context<'_>, node: &Node) -> Option<T> {
    match T::deserialize(Reader::new(cx, node)) {
        Ok(value) => Some(value),
        Err(failed) => {
            failed.report(cx, node.at);
            None
        }
    }
}

/// A value could not be read. Without a message the error was already reported.
#[derive(Debug)]
pub(in crate::stack) struct ReadError(Option<String>);

impl ReadError {
    fn report(self, cx: &Context<'_>, at: Span) {
        if let Some(message) = self.0 {
            cx.fail(Code::WrongType, at, message, "this value", "");
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("reported"))
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(Some(message.to_string()))
    }
}

/// Deserializes one node.
#[derive(Clone, Copy)]
struct Reader<'c, 'v> {
    cx: &'c Context<'v>,
    node: &'c Node,
    /// Whether the children of this node were not indented. That was reported; the value counts as
    /// present but invalid.
    lost_children: bool,
}

impl<'c, 'v> Reader<'c, 'v> {
    fn new(cx: &'c Context<'v>, node: &'c Node) -> Self {
        Self { cx, node, lost_children: false }
    }
}

impl Reader<'_, '_> {
    fn wrong(&self, wanted: &str, help: &str) -> ReadError {
        let found = describe(self.node);
        self.cx.fail(
            Code::WrongType,
            self.node.at,
            format!("expected {wanted}, found {found}"),
            "this value",
            help,
        );
        ReadError(None)
    }

    /// Returns the text of a scalar as written in the file.
    fn written(&self, wanted: &str) -> Result<(&str, bool), ReadError> {
        match &self.node.kind {
            NodeKind::Scalar { text, plain } if !self.node.is_null() => Ok((text, *plain)),
            NodeKind::Scalar { .. } | NodeKind::Seq(_) | NodeKind::Map(_) => Err(self.wrong(wanted, "")),
        }
    }

    /// Returns the text of a scalar with its placeholders replaced.
    fn scalar(&self, wanted: &str) -> Result<(Cow<'_, str>, bool), ReadError> {
        let (text, plain) = self.written(wanted)?;
        if text.contains('\0') {
            self.cx.refuse_nul(self.node.at);
            return Err(ReadError(None));
        }
        if self.cx.is_data(self.node.at) {
            return Ok((Cow::Borrowed(text), plain));
        }
        if !text.contains("${") {
            self.cx.warn_of_foreign_placeholder(self.node.at, text);
            return Ok((Cow::Borrowed(text), plain));
        }
        match self.cx.text(self.node.at, text) {
            Some(text) => Ok((Cow::Owned(text), plain)),
            None => Err(ReadError(None)),
        }
    }

    fn boolean(&self) -> Result<bool, ReadError> {
        const WANTED: &str = "`true` or `false`";
        let (text, plain) = self.scalar(WANTED)?;
        match (&*text, plain) {
            ("true", true) => Ok(true),
            ("false", true) => Ok(false),
            ("true" | "false", false) => Err(self.wrong(WANTED, "write it without quotes")),
            (other, _) => {
                let help = match other.trim().to_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" | "true" => "write `true`",
                    "no" | "off" | "n" | "0" | "false" => "write `false`",
                    _ => "a boolean is exactly `true` or `false`, in lower case and without quotes",
                };
                Err(self.wrong(WANTED, help))
            }
        }
    }

    /// Accepts a whole number only in plain decimal form, because YAML tools disagree about other
    /// forms.
    fn digits(&self) -> Result<i128, ReadError> {
        const WANTED: &str = "a whole number";
        let (text, plain) = self.scalar(WANTED)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        let help = match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            _ if !plain => "write it without quotes",
            true if leading_zero => "write it without leading zeros: tools disagree on whether it is octal",
            true => match text.parse() {
                Ok(number) => return Ok(number),
                Err(_) => "",
            },
            false => "write digits only",
        };
        Err(self.wrong(WANTED, help))
    }

    fn number<T: TryFrom<i128>>(&self, range: &str) -> Result<T, ReadError> {
        let number = self.digits()?;
        T::try_from(number).map_err(|_| self.wrong(range, ""))
    }
}

/// Describes a node for an error message. Placeholders are not replaced.
pub(in crate::stack) fn describe(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        NodeKind::Scalar { text, plain } => {
            let mut short: String =
                text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            if *plain { format!("`{short}`") } else { format!("the text \"{short}\"") }
        }
        NodeKind::Seq(_) => "a list".to_owned(),
        NodeKind::Map(_) => "a map".to_owned(),
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty, $range:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            visitor.$visit(self.number::<$type>($range)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'_, '_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.kind {
            NodeKind::Scalar { .. } if self.node.is_null() => visitor.visit_none(),
            NodeKind::Scalar { .. } => visitor.visit_str(&self.scalar("a text")?.0),
            NodeKind::Seq(_) => self.deserialize_seq(visitor),
            NodeKind::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_bool(self.boolean()?)
    }

    integers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number from 0 to 18446744073709551615";
        deserialize_i64 visit_i64 i64, "a whole number of at most 64 bits";
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str(&self.scalar("a text")?.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_null() && !self.lost_children {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match name {
            field::FIELD => visitor.visit_seq(FieldAccess { reader: self, step: 0 }),
            field::SECRET => {
                self.cx.note_secret(self.node.at);
                visitor.visit_str(self.written("a text")?.0)
            }
            field::WRITTEN => visitor.visit_str(self.written("a text")?.0),
            field::WRITTEN_LIST => match &self.node.kind {
                NodeKind::Seq(_) => self.deserialize_seq(visitor),
                NodeKind::Scalar { .. } | NodeKind::Map(_) => visitor.visit_str(self.written("a text")?.0),
            },
            field::OR_FALSE => match &self.node.kind {
                NodeKind::Scalar { text, plain: true } if &**text == "false" => visitor.visit_bool(false),
                _ => visitor.visit_newtype_struct(self),
            },
            field::TEXT_OR => match &self.node.kind {
                NodeKind::Scalar { .. } => visitor.visit_str(&self.scalar("a path")?.0),
                NodeKind::Seq(_) | NodeKind::Map(_) => visitor.visit_newtype_struct(self),
            },
            field::CELL => match &self.node.kind {
                NodeKind::Scalar { .. } if self.node.is_null() => visitor.visit_none(),
                NodeKind::Scalar { .. } => visitor.visit_str(&self.scalar("a text")?.0),
                NodeKind::Seq(_) | NodeKind::Map(_) => match json(self.cx, self.node) {
                    Some(json) => visitor.visit_bytes(json.as_bytes()),
                    None => Err(ReadError(None)),
                },
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.kind {
            NodeKind::Seq(items) => visitor.visit_seq(ItemAccess { cx: self.cx, items: items.iter() }),
            NodeKind::Scalar { .. } | NodeKind::Map(_) => {
                Err(self.wrong("a list", "write it in brackets: `[one, two]`"))
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.kind {
            NodeKind::Map(entries) => visitor.visit_map(EntryAccess {
                cx: self.cx,
                entries: entries.iter(),
                value: None,
                known: None,
                lost_children: false,
            }),
            NodeKind::Scalar { .. } | NodeKind::Seq(_) => {
                Err(self.wrong("a map", "write `key: value` pairs, indented"))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.kind {
            NodeKind::Map(entries) => visitor.visit_map(EntryAccess {
                cx: self.cx,
                entries: entries.iter(),
                value: None,
                known: Some(fields),
                lost_children: false,
            }),
            NodeKind::Scalar { .. } | NodeKind::Seq(_) => {
                let keys = one_of(fields.iter().copied());
                let below = if self.node.is_null() { "indent its keys below it; " } else { "" };
                let help = format!("{below}accepted keys: {keys}");
                Err(self.wrong("a map", &help))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (text, _) = self.scalar(&one_of(variants.iter().copied()))?;
        if variants.contains(&&*text) {
            let text: de::value::StrDeserializer<'_, ReadError> = (*text).into_deserializer();
            return visitor.visit_enum(text);
        }
        let found = describe(self.node);
        let help = match nearest(&text, variants.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? accepted: {}", one_of(variants.iter().copied())),
            None => format!("accepted: {}", one_of(variants.iter().copied())),
        };
        self.cx.fail(
            Code::BadValue,
            self.node.at,
            format!("{found} is not accepted here"),
            "this value",
            help,
        );
        Err(ReadError(None))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// Deserializes a field as its location and its value. An invalid value is reported and left out.
struct FieldAccess<'c, 'v> {
    reader: Reader<'c, 'v>,
    step: u8,
}

impl<'de> de::SeqAccess<'de> for FieldAccess<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.step += 1;
        if self.step == 1 {
            return seed.deserialize(field::pack(self.reader.node.at).into_deserializer()).map(Some);
        }
        if self.reader.lost_children {
            return Ok(None);
        }
        match seed.deserialize(self.reader) {
            Ok(value) => Ok(Some(value)),
            Err(failed) => {
                failed.report(self.reader.cx, self.reader.node.at);
                Ok(None)
            }
        }
    }
}

struct ItemAccess<'c, 'v> {
    cx: &'c Context<'v>,
    items: std::slice::Iter<'c, Node>,
}

impl<'de> de::SeqAccess<'de> for ItemAccess<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.items.next().map(|node| seed.deserialize(Reader::new(self.cx, node))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct EntryAccess<'c, 'v> {
    cx: &'c Context<'v>,
    entries: std::slice::Iter<'c, Entry>,
    value: Option<&'c Node>,
    known: Option<&'static [&'static str]>,
    lost_children: bool,
}

impl EntryAccess<'_, '_> {
    /// Removes the unknown entries that follow a key without a value, because they were meant as
    /// its children, and reports them once.
    fn children_beside(&mut self, parent: &Entry, known: &[&str]) -> bool {
        let rest = self.entries.as_slice();
        let mut last = parent.key_at;
        let count = rest.iter().take_while(|entry| {
            let follows = entry.key_at.file == last.file && entry.key_at.start > last.start;
            last = entry.key_at;
            follows && !known.contains(&&*entry.key)
        });
        let children = rest.get(..count.count()).unwrap_or_default();
        let Some(first) = children.first().filter(|_| parent.value.is_null()) else { return false };
        // A key similar to a key of this level is a typo of that key.
        if nearest(&first.key, known.iter().copied()).is_some() {
            return false;
        }
        let message = format!("`{}` is not indented, and so is not below `{}:`", first.key, parent.key);
        let names = one_of(children.iter().map(|entry| &*entry.key));
        let help = format!("indent what belongs to `{}:`, for example by two spaces: {names}", parent.key);
        self.cx.fail(Code::UnknownKey, first.key_at, message, "indent this", help);
        self.entries = rest.get(children.len()..).unwrap_or_default().iter();
        true
    }

    fn unknown(&self, entry: &Entry, known: &[&str]) {
        if self.cx.is_full() {
            return self.cx.fail(Code::UnknownKey, entry.key_at, "", "", "");
        }
        let help = match nearest(&entry.key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? accepted keys: {}", one_of(known.iter().copied())),
            None => format!("accepted keys: {}", one_of(known.iter().copied())),
        };
        self.cx.fail(
            Code::UnknownKey,
            entry.key_at,
            format!("unknown key `{}`", entry.key),
            "not known here",
            help,
        );
    }
}

impl<'de> de::MapAccess<'de> for EntryAccess<'_, '_> {
    type Error = ReadError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        loop {
            let Some(entry) = self.entries.next() else { return Ok(None) };
            match self.known {
                Some(known) if !known.contains(&&*entry.key) => self.unknown(entry, known),
                known => {
                    self.lost_children = known.is_some_and(|known| self.children_beside(entry, known));
                    self.value = Some(&entry.value);
                    return seed.deserialize(KeyReader { entry }).map(Some);
                }
            }
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        match self.value.take() {
            Some(node) => seed.deserialize(Reader { cx: self.cx, node, lost_children: self.lost_children }),
            None => Err(de::Error::custom("a value without a key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}
