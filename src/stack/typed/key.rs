//! Deserializes the keys of maps, with or without their location. Complements `mod.rs`.

use serde::de::{self, IntoDeserializer, Visitor};

use super::ReadError;
use super::field;
use crate::stack::yaml::tree::Entry;

/// A key as a text, or as a text with its location.
pub(in crate::stack) struct KeyReader<'c> {
    pub entry: &'c Entry,
}

impl<'de> de::Deserializer<'de> for KeyReader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str(&self.entry.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == field::FIELD {
            visitor.visit_seq(KeyAccess { entry: self.entry, step: 0 })
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct KeyAccess<'c> {
    entry: &'c Entry,
    step: u8,
}

impl<'de> de::SeqAccess<'de> for KeyAccess<'_> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.step += 1;
        if self.step == 1 {
            seed.deserialize(field::pack(self.entry.key_at).into_deserializer()).map(Some)
        } else {
            seed.deserialize(KeyReader { entry: self.entry }).map(Some)
        }
    }
}
