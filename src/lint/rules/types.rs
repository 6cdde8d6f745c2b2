//! Whether a column's new type keeps every value of the old one.

use super::Rule;
use super::loss::rules;
use crate::change::Risk::Destructive;
use crate::lint::act::Using;

rules! {
    NARROW_COLUMN_TYPE = "narrow-column-type", Destructive,
        "a column gets a type that cannot hold every value of the old one, or values computed anew";
}

/// A type, as far as it matters here. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Integer {
        bits: u32,
    },
    Float {
        bits: u32,
    },
    Numeric(Option<(u32, u32)>),
    Text(Option<u32>),
    /// `char(n)`, padded.
    Padded(u32),
    Date,
    /// With its digits of a second.
    Timestamp(Option<u32>),
    TimestampTz(Option<u32>),
    Json,
    Other(String),
}

/// Why a change of type may lose something; `None` when it loses nothing.
pub(in crate::lint) fn narrows(from: Option<&str>, to: &str, using: Option<&Using>) -> Option<String> {
    let casts = match using {
        Some(Using::Computes(value)) => {
            return Some(format!("its values become those of USING {}", one_line(value)));
        }
        Some(Using::Casts(casts)) => casts.as_slice(),
        None => &[],
    };
    let mut from = from;
    for to in casts.iter().map(String::as_str).chain([to]) {
        let kind = Kind::read(to);
        match from {
            Some(from) if !Kind::read(from).fits(&kind) => {
                return Some(format!("{} does not hold all that {} does", one_line(to), one_line(from)));
            }
            None if !kind.is_wide() => {
                return Some(format!("{} may not hold what the column has", one_line(to)));
            }
            Some(_) | None => {}
        }
        from = Some(to);
    }
    None
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Kind {
    fn read(text: &str) -> Self {
        let text = one_line(&text.to_lowercase());
        let (name, arguments, rest) = match text.split_once('(') {
            Some((name, rest)) => {
                let (arguments, rest) = rest.split_once(')').unwrap_or((rest, ""));
                (name.trim(), arguments, rest.trim())
            }
            None => (text.as_str(), "", ""),
        };
        let numbers: Option<Vec<u32>> = arguments
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect();
        // A negative scale rounds.
        let Some(numbers) = numbers else { return Self::Other(text) };
        let first = numbers.first().copied();
        let name = format!("{name} {rest}");
        match name.trim() {
            "smallint" | "int2" | "smallserial" | "serial2" => Self::Integer { bits: 16 },
            "integer" | "int" | "int4" | "serial" | "serial4" => Self::Integer { bits: 32 },
            "bigint" | "int8" | "bigserial" | "serial8" => Self::Integer { bits: 64 },
            "real" | "float4" => Self::Float { bits: 32 },
            "float" if first.is_some_and(|bits| bits <= 24) => Self::Float { bits: 32 },
            "double precision" | "float8" | "float" => Self::Float { bits: 64 },
            "numeric" | "decimal" => {
                Self::Numeric(first.map(|digits| (digits, numbers.get(1).copied().unwrap_or(0))))
            }
            "text" => Self::Text(None),
            "varchar" | "character varying" => Self::Text(first),
            "char" | "character" | "bpchar" => Self::Padded(first.unwrap_or(1)),
            "date" => Self::Date,
            "timestamp" | "timestamp without time zone" => Self::Timestamp(first),
            "timestamptz" | "timestamp with time zone" => Self::TimestampTz(first),
            "json" | "jsonb" => Self::Json,
            _ => Self::Other(text),
        }
    }

    /// Whether it is as wide as a type of its sort gets.
    fn is_wide(&self) -> bool {
        match self {
            Self::Integer { bits } | Self::Float { bits } => *bits == 64,
            Self::Numeric(limit) => limit.is_none(),
            Self::Text(limit) | Self::Timestamp(limit) | Self::TimestampTz(limit) => limit.is_none(),
            Self::Json => true,
            Self::Padded(_) | Self::Date | Self::Other(_) => false,
        }
    }

    /// Whether each of its values is one of the other type, and can be told from all others there.
    fn fits(&self, to: &Self) -> bool {
        let within = |have: Option<u32>, most: Option<u32>| match (have, most) {
            (_, None) => true,
            (Some(have), Some(most)) => have <= most,
            (None, Some(_)) => false,
        };
        match (self, to) {
            (from, to) if from == to => true,
            (Self::Integer { bits }, Self::Integer { bits: to })
            | (Self::Float { bits }, Self::Float { bits: to }) => bits <= to,
            (Self::Integer { bits }, Self::Float { bits: to }) => bits < to,
            (Self::Integer { bits }, Self::Numeric(Some((digits, scale)))) => {
                let needed = match bits {
                    16 => 5,
                    32 => 10,
                    _ => 19,
                };
                digits.saturating_sub(*scale) >= needed
            }
            (Self::Numeric(Some((digits, scale))), Self::Numeric(Some((most, most_scale)))) => {
                scale <= most_scale && digits.saturating_sub(*scale) <= most.saturating_sub(*most_scale)
            }
            (Self::Padded(have), Self::Text(Some(most)) | Self::Padded(most)) => have <= most,
            (Self::Text(have), Self::Text(most))
            | (Self::Timestamp(have), Self::Timestamp(most) | Self::TimestampTz(most))
            | (Self::TimestampTz(have), Self::TimestampTz(most)) => within(*have, *most),
            // Any value can be printed and read back; bytes are printed in one of two ways.
            (Self::Other(name), Self::Text(None)) => name != "bytea",
            (_, Self::Text(None))
            | (Self::Integer { .. } | Self::Numeric(_), Self::Numeric(None))
            | (Self::Date, Self::Timestamp(_) | Self::TimestampTz(_)) => true,
            _ => false,
        }
    }
}

/// Whether SQLite stores every value of a column of one type as it is in one of another type: it
/// converts them by what the type's name contains, and ignores its length.
pub(in crate::lint) fn is_stored_alike(from: &str, to: &str) -> bool {
    let affinity = |kind: &str| {
        let kind = kind.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
        match () {
            () if has(&["int"]) => "number",
            () if has(&["char", "clob", "text"]) => "text",
            () if kind.is_empty() || has(&["blob"]) => "any",
            () if has(&["real", "floa", "doub"]) => "float",
            () => "number",
        }
    };
    affinity(from) == affinity(to) || affinity(to) == "any"
}
