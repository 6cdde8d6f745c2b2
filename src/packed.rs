//! Rows of texts in one buffer, because a seed may have millions of rows: a value uses its bytes plus one,
//! and a row one more, a fraction of what nested lists of strings use. Pure.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Rows with the same number of values; `None` is NULL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rows {
    width: usize,
    /// All texts, concatenated.
    letters: String,
    /// The length of each value plus one, in groups of seven bits, the lowest first; 0 is NULL.
    lengths: Vec<u8>,
    count: usize,
    /// For every [`STRIDE`]th row its offset in both buffers. Rows between are found by reading on
    /// from there.
    starts: Vec<(usize, usize)>,
}

/// The number of rows between two recorded offsets.
const STRIDE: usize = 16;

impl Rows {
    pub fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    pub fn with_capacity(width: usize, rows: usize, letters: usize) -> Self {
        Self {
            width,
            letters: String::with_capacity(letters),
            lengths: Vec::with_capacity(rows.saturating_mul(width)),
            count: 0,
            starts: Vec::with_capacity(rows.div_ceil(STRIDE)),
        }
    }

    /// Adds a row. Missing values are NULL; extra values are dropped.
    pub fn push<'t>(&mut self, row: impl IntoIterator<Item = Option<&'t str>>) {
        if self.count.is_multiple_of(STRIDE) {
            self.starts.push((self.letters.len(), self.lengths.len()));
        }
        self.count += 1;
        let mut row = row.into_iter();
        for _ in 0..self.width {
            let value = row.next().flatten();
            let mut length = value.map_or(0, |text| text.len() + 1);
            while length > 0x7f {
                self.lengths.push(length.to_le_bytes()[0] | 0x80);
                length >>= 7;
            }
            self.lengths.push(length.to_le_bytes()[0]);
            self.letters.push_str(value.unwrap_or_default());
        }
    }

    /// Releases unused capacity.
    pub fn shrink(&mut self) {
        self.letters.shrink_to_fit();
        self.lengths.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn get(&self, at: usize) -> Option<Vec<Option<&str>>> {
        self.from(at).next()
    }

    pub fn iter(&self) -> impl Iterator<Item = Vec<Option<&str>>> + Clone {
        self.from(0)
    }

    fn from(&self, at: usize) -> Reader<'_> {
        let (letters, lengths) = self.starts.get(at / STRIDE).copied().unwrap_or_default();
        let mut reader = Reader {
            width: self.width,
            left: self.count.saturating_sub(at),
            letters: self.letters.get(letters..).unwrap_or_default(),
            lengths: self.lengths.get(lengths..).unwrap_or_default(),
        };
        if reader.left > 0 {
            for _ in 0..(at % STRIDE) * self.width {
                reader.value();
            }
        }
        reader
    }
}

#[derive(Clone)]
struct Reader<'a> {
    width: usize,
    left: usize,
    letters: &'a str,
    lengths: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Option<&'a str> {
        let (mut length, mut shift) = (0, 0);
        while let Some((byte, rest)) = self.lengths.split_first() {
            self.lengths = rest;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (text, rest) = self.letters.split_at_checked(length.checked_sub(1)?)?;
        self.letters = rest;
        Some(text)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Vec<Option<&'a str>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((0..self.width).map(|_| self.value()).collect())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A list of rows, each a list of its values.
impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
        let mut rows = Rows::default();
        while let Some(row) = list.next_element::<Vec<Option<String>>>()? {
            if rows.is_empty() {
                rows.width = row.len();
            }
            rows.push(row.iter().map(Option::as_deref));
        }
        rows.shrink();
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_rows_come_out_as_they_went_in() {
        let long = "é".repeat(9_000);
        let rows =
            [vec![Some("1"), None, Some("")], vec![Some(&*long), Some("x"), None], vec![None, None, None]];
        let mut packed = Rows::new(3);

        for row in &rows {
            packed.push(row.iter().copied());
        }

        assert_eq!(packed.iter().collect::<Vec<_>>(), rows);
        assert_eq!(packed.get(3), None);
        let text = serde_json::to_string(&packed).unwrap();
        assert_eq!(serde_json::from_str::<Rows>(&text).unwrap(), packed);
    }

    #[test]
    fn any_row_is_found_between_those_whose_beginning_is_kept() {
        let count = STRIDE * 2 + 3;
        let texts: Vec<String> = (0..count).map(|at| "x".repeat(at * 20)).collect();
        let mut packed = Rows::new(2);

        for text in &texts {
            packed.push([Some(text.as_str()), None]);
        }

        let expected: Vec<_> = texts.iter().map(|text| vec![Some(text.as_str()), None]).collect();
        assert_eq!((packed.len(), packed.iter().collect::<Vec<_>>()), (count, expected.clone()));
        let each: Vec<_> = (0..=count).map(|at| packed.get(at)).collect();
        assert_eq!(each, expected.into_iter().map(Some).chain([None]).collect::<Vec<_>>());
    }
}
