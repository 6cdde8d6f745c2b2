//! Rows of texts in one buffer. A value costs its letters and a byte, a row sixteen bytes more, where a
//! list of lists of texts costs several times as much: a seed may have millions. Pure.

use std::fmt;

/// Rows of equally many values; `None` is NULL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rows {
    width: usize,
    /// All texts, one behind the other.
    letters: String,
    /// The length of each value plus one in seven bits a byte, the lowest first; 0 is NULL.
    lengths: Vec<u8>,
    /// Where each row begins in both.
    starts: Vec<(usize, usize)>,
}

impl Rows {
    /// No rows, of so many values each.
    pub fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// The same, with room for so many rows and letters.
    pub fn with_capacity(width: usize, rows: usize, letters: usize) -> Self {
        Self {
            width,
            letters: String::with_capacity(letters),
            lengths: Vec::with_capacity(rows.saturating_mul(width)),
            starts: Vec::with_capacity(rows),
        }
    }

    /// Adds a row. What it lacks is NULL, and what it has too many is left out.
    pub fn push<'t>(&mut self, row: impl IntoIterator<Item = Option<&'t str>>) {
        self.starts.push((self.letters.len(), self.lengths.len()));
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

    /// Gives back the room that was not needed.
    pub fn shrink(&mut self) {
        self.letters.shrink_to_fit();
        self.lengths.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The values of a row; `None` past the last one.
    pub fn get(&self, at: usize) -> Option<Vec<Option<&str>>> {
        let (letters, lengths) = self.starts.get(at)?;
        let mut letters = self.letters.get(*letters..)?;
        let mut lengths = self.lengths.get(*lengths..)?.iter();
        let mut next = || {
            let (mut length, mut shift) = (0, 0);
            for byte in lengths.by_ref() {
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let (text, rest) = letters.split_at_checked(length.checked_sub(1)?)?;
            letters = rest;
            Some(text)
        };
        Some((0..self.width).map(|_| next()).collect())
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Vec<Option<&str>>> + Clone {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
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
    }
}
