//! The building blocks of `stack/raw.rs`: values with their location, maps keyed by name, and scalars
//! with unresolved placeholders. Only `mod.rs` deserializes them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::stack::Cell;
use crate::stack::yaml::tree::Span;

/// Names of newtypes by which `mod.rs` recognises how to deserialize a value.
pub(in crate::stack) const FIELD: &str = "trueup::field";
/// A secret as written.
pub(in crate::stack) const SECRET: &str = "trueup::secret";
/// A scalar as written.
pub(in crate::stack) const WRITTEN: &str = "trueup::written";
/// One or several scalars as written.
pub(in crate::stack) const WRITTEN_LIST: &str = "trueup::written_list";
/// A value or `false`.
pub(in crate::stack) const OR_FALSE: &str = "trueup::or_false";
/// A text, or a map with more settings.
pub(in crate::stack) const TEXT_OR: &str = "trueup::text_or";
/// A value of a row.
pub(in crate::stack) const CELL: &str = "trueup::cell";

/// Packs a span into one number, because serde cannot carry a span.
pub(in crate::stack) fn pack(at: Span) -> u128 {
    u128::from(at.file) << 64 | u128::from(at.start) << 32 | u128::from(at.length)
}

fn unpack(packed: u128) -> Span {
    let part = |shift: u32| u32::try_from(packed >> shift & u128::from(u32::MAX)).unwrap_or(0);
    Span { file: part(64), start: part(32), length: part(0) }
}

/// Inlines the schema of a type where it is used, instead of a reference to a definition.
macro_rules! schema {
    ($type:ty $(where $of:ident)?, $name:expr, |$generator:pat_param| $schema:expr) => {
        impl$(<$of: JsonSchema>)? JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

/// A value with its location. The value is `None` if it was invalid, which has been reported.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Field<T> {
    pub at: Span,
    pub value: Option<T>,
}

/// A key that may be absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::stack) struct Opt<T>(pub Option<Field<T>>);

schema!(Opt<T> where T, T::schema_name(), |generator| generator.subschema_for::<Option<T>>());

impl<T> Default for Opt<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Opt<T> {
    /// Returns the value and location of the key, valid or not.
    pub(in crate::stack) fn field(&self) -> Option<&Field<T>> {
        self.0.as_ref()
    }

    /// Returns the value, if it is present and valid.
    pub(in crate::stack) fn value(&self) -> Option<&T> {
        self.0.as_ref().and_then(|field| field.value.as_ref())
    }

    /// Returns the location of the value.
    pub(in crate::stack) fn at(&self) -> Option<Span> {
        self.0.as_ref().map(|field| field.at)
    }

    /// Returns the value and its location, if it is present and valid.
    pub(in crate::stack) fn located(&self) -> Option<(&T, Span)> {
        self.0.as_ref().and_then(|field| Some((field.value.as_ref()?, field.at)))
    }
}

impl<T: Clone> Opt<T> {
    /// Returns the value, or the default if it is absent or invalid (which has been reported).
    pub(in crate::stack) fn or(&self, default: T) -> T {
        self.value().cloned().unwrap_or(default)
    }
}

impl<T> Opt<Named<T>> {
    /// Returns the entries of a map.
    pub(in crate::stack) fn entries(&self) -> &[(Key, Field<T>)] {
        self.value().map_or(&[], |named| &named.0)
    }
}

impl Opt<Vec<Field<String>>> {
    /// Returns the texts of a list with their locations.
    pub(in crate::stack) fn texts(&self) -> Vec<(&str, Span)> {
        let items = self.value().into_iter().flatten();
        items.filter_map(|item| Some((item.value.as_deref()?, item.at))).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pair<T> {
            type Value = Field<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Field<T>, A::Error> {
                let packed =
                    pair.next_element()?.ok_or_else(|| de::Error::custom("a value without a place"))?;
                Ok(Field { at: unpack(packed), value: pair.next_element()? })
            }
        }
        deserializer.deserialize_newtype_struct(FIELD, Pair(PhantomData))
    }
}

schema!(Field<T> where T, T::schema_name(), |generator| generator.subschema_for::<T>());

/// A map from names to values, in the order of the file.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Named<T>(pub Vec<(Key, Field<T>)>);

/// A name with its location.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Key {
    pub name: String,
    pub at: Span,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map keyed by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(Field { at, value }) = map.next_key::<Field<String>>()? {
                    let name = value.unwrap_or_default();
                    entries.push((Key { name, at }, map.next_value()?));
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

schema!(Named<T> where T, format!("MapOf{}", T::schema_name()), |generator| {
    let value = generator.subschema_for::<Option<T>>();
    json_schema!({ "type": "object", "additionalProperties": value })
});

/// An address, with its placeholders unresolved.
#[derive(Debug, Clone)]
pub(in crate::stack) struct Written(pub String);

/// A secret, with its placeholders unresolved. A key of this type is a secret everywhere: its value is left out of
/// the digest of the spec, masked in diagnostics, redacted, and marked in the JSON Schema.
#[derive(Clone)]
pub(in crate::stack) struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WRITTEN, Text).map(Self)
    }
}

schema!(Written, "Written", |_| json_schema!({ "type": "string" }));

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SECRET, Text).map(Self)
    }
}

schema!(SecretText, "SecretText", |_| json_schema!({ "type": "string", "writeOnly": true }));

/// One address, or the addresses of a cluster.
#[derive(Debug, Clone)]
pub(in crate::stack) enum Addresses {
    One(String),
    Many,
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Addresses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Addresses, A::Error> {
                while items.next_element::<Field<Written>>()?.is_some() {}
                Ok(Addresses::Many)
            }
        }
        deserializer.deserialize_newtype_struct(WRITTEN_LIST, OneOrMany)
    }
}

schema!(
    Addresses,
    "Addresses",
    |_| json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
);

/// A value, or `false` to switch it off.
#[derive(Debug, Clone)]
pub(in crate::stack) enum OrFalse<T> {
    Value(T),
    Off,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrFalse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OrFalse<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or `false`")
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<OrFalse<T>, E> {
                Ok(OrFalse::Off)
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<OrFalse<T>, D::Error> {
                T::deserialize(inner).map(OrFalse::Value)
            }
        }
        deserializer.deserialize_newtype_struct(OR_FALSE, Either(PhantomData))
    }
}

schema!(OrFalse<T> where T, format!("{}OrFalse", T::schema_name()), |generator| {
    let value = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [value, { "const": false }] })
});

/// A text, or a map with more settings.
#[derive(Debug, Clone)]
pub(in crate::stack) enum TextOr<T> {
    Text(String),
    Map(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = TextOr<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a map")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOr<T>, E> {
                Ok(TextOr::Text(text.to_owned()))
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<TextOr<T>, D::Error> {
                T::deserialize(inner).map(TextOr::Map)
            }
        }
        deserializer.deserialize_newtype_struct(TEXT_OR, Either(PhantomData))
    }
}

schema!(TextOr<T> where T, format!("TextOr{}", T::schema_name()), |generator| {
    let map = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [{ "type": "string" }, map] })
});

/// A value of a row; see [`Cell`].
#[derive(Debug, Clone)]
pub(in crate::stack) struct Value(pub Cell);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyCell;
        impl Visitor<'_> for AnyCell {
            type Value = Cell;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_none<E: de::Error>(self) -> Result<Cell, E> {
                Ok(Cell::Null)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cell, E> {
                Ok(Cell::Text(text.to_owned()))
            }
            fn visit_bytes<E: de::Error>(self, json: &[u8]) -> Result<Cell, E> {
                Ok(Cell::Json(String::from_utf8_lossy(json).into_owned()))
            }
        }
        deserializer.deserialize_newtype_struct(CELL, AnyCell).map(Self)
    }
}

schema!(Value, "Value", |_| json_schema!(true));

/// A text that YAML tools may take for a number or a boolean, kept as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::stack) struct Setting(pub String);

schema!(Setting, "Setting", |_| json_schema!({ "type": ["string", "number", "boolean"] }));
