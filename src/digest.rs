//! Digests: SHA-256 for values that are compared between runs, and a truncated form for rows and documents,
//! of which a world has many. Pure.

use std::fmt;
use std::io::{BufWriter, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(format!("sha256:{}", hex(&Sha256::digest(bytes.as_ref()))))
    }

    /// The digest of a value's canonical JSON. Maps must be sorted, so that equal values have equal
    /// digests.
    ///
    /// A value that cannot be serialised (a map with keys that are not strings) gets the digest of the
    /// error. It differs from all others, so it can make a plan stale but not wrong.
    pub fn of_json<T: Serialize>(value: &T) -> Self {
        // Streamed, because the JSON of a world may have hundreds of megabytes.
        let mut hasher = BufWriter::new(Hasher(Sha256::new()));
        let written = serde_json::to_writer(&mut hasher, value).map_err(std::io::Error::from);
        match written.and_then(|()| hasher.into_inner().map_err(std::io::IntoInnerError::into_error)) {
            Ok(Hasher(hasher)) => Self(format!("sha256:{}", hex(&hasher.finalize()))),
            Err(error) => Self::of(error.to_string()),
        }
    }

    /// Wraps a digest from the journal.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Digests everything that is written to it.
struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first 16 bytes of a SHA-256 over a list of fields: the identity or content of one row or document.
/// Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a list of fields. `None` (NULL) differs from an empty text, and each field is
    /// preceded by its length, so that `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn of<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = Option<T>>) -> Self {
        let mut hasher = Sha256::new();
        for field in fields {
            match field {
                None => hasher.update([0]),
                Some(bytes) => {
                    let bytes = bytes.as_ref();
                    hasher.update([1]);
                    hasher.update((bytes.len() as u64).to_le_bytes());
                    hasher.update(bytes);
                }
            }
        }
        let mut short = [0; 16];
        short.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
        Self(short)
    }

    pub fn of_text(text: &str) -> Self {
        Self::of([Some(text)])
    }

    /// Parses the 32 hexadecimal digits that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 {
            return None;
        }
        let mut short = [0; 16];
        for (byte, pair) in short.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(short))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a fingerprint has 32 hexadecimal digits"))
    }
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_framed_and_null_is_not_empty() {
        assert_ne!(Fingerprint::of([Some("ab"), Some("c")]), Fingerprint::of([Some("a"), Some("bc")]));
        assert_ne!(Fingerprint::of([Some("")]), Fingerprint::of([None::<&str>]));
    }

    #[test]
    fn a_fingerprint_reads_what_it_writes() {
        let print = Fingerprint::of_text("x");
        assert_eq!(Fingerprint::parse(&print.to_string()), Some(print));
        assert_eq!(Fingerprint::parse("xyz"), None);
    }
}
