//! A map of fingerprints for very many rows: one sorted list, which uses half the memory of a tree.
//! Pure.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Fingerprint;

/// An immutable map with fingerprints as keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintMap<V>(Vec<(Fingerprint, V)>);

impl<V> FingerprintMap<V> {
    /// Of entries with equal keys, the first is kept.
    pub fn new(mut entries: Vec<(Fingerprint, V)>) -> Self {
        if !entries.is_sorted_by_key(|(key, _)| *key) {
            entries.sort_by_key(|(key, _)| *key);
        }
        entries.dedup_by_key(|(key, _)| *key);
        entries.shrink_to_fit();
        Self(entries)
    }

    pub fn get(&self, key: &Fingerprint) -> Option<&V> {
        let at = self.0.binary_search_by_key(key, |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub fn contains_key(&self, key: &Fingerprint) -> bool {
        self.get(key).is_some()
    }

    /// The entry at an index, sorted by key.
    pub fn nth(&self, at: usize) -> Option<(&Fingerprint, &V)> {
        self.0.get(at).map(|(key, value)| (key, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Fingerprint, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &Fingerprint> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Adds the entries of another map whose keys are not in this one.
    pub fn extend_with(&mut self, other: Self) {
        let mut all = std::mem::take(&mut self.0);
        all.extend(other.0);
        *self = Self::new(all);
    }
}

impl<V> Default for FingerprintMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> FromIterator<(Fingerprint, V)> for FingerprintMap<V> {
    fn from_iter<I: IntoIterator<Item = (Fingerprint, V)>>(entries: I) -> Self {
        Self::new(entries.into_iter().collect())
    }
}

impl<V, const N: usize> From<[(Fingerprint, V); N]> for FingerprintMap<V> {
    fn from(entries: [(Fingerprint, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<V: Serialize> Serialize for FingerprintMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for FingerprintMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = FingerprintMap<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map by fingerprints")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<FingerprintMap<V>, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(FingerprintMap::new(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// Finds duplicates in a list: for each repeated fingerprint the index of the first one, and its
/// own.
pub fn repeated(prints: impl Iterator<Item = Fingerprint>) -> Vec<(usize, usize)> {
    let mut places: Vec<(Fingerprint, usize)> = prints.enumerate().map(|(at, print)| (print, at)).collect();
    places.sort_unstable();
    let same = places.chunk_by(|(one, _), (other, _)| one == other);
    let pairs = same.filter_map(|same| same.split_first());
    let mut pairs: Vec<(usize, usize)> =
        pairs.flat_map(|((_, first), others)| others.iter().map(|(_, at)| (*first, *at))).collect();
    pairs.sort_unstable_by_key(|(_, again)| *again);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_keys_stays_and_a_map_reads_what_it_writes() {
        let [a, b] = ["a", "b"].map(Fingerprint::of_text);

        let prints = FingerprintMap::from([(b, 1), (a, 2), (b, 3)]);

        assert_eq!((prints.get(&a), prints.get(&b), prints.len()), (Some(&2), Some(&1), 2));
        let text = serde_json::to_string(&prints).unwrap();
        assert_eq!(serde_json::from_str::<FingerprintMap<i32>>(&text).unwrap(), prints);
    }

    #[test]
    fn what_is_repeated_is_named_with_the_first_in_order() {
        let prints = ["b", "a", "b", "c", "a", "b"].map(Fingerprint::of_text);

        assert_eq!(repeated(prints.into_iter()), [(0, 2), (1, 4), (0, 5)]);
    }
}
