//! Whether a column's new type keeps every value of the old one.

use super::Rule;
use super::loss::rules;
use crate::change::Risk::Destructive;

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
pub(in crate::lint) fn narrows(
    from: Option<&str>,
    to: &str,
    using: Option<&str>,
    column: &str,
) -> Option<String> {
    if let Some(using) = using.filter(|using| !is_plain_cast(using, column)) {
        return Some(format!("its values become those of USING {}", one_line(using)));
    }
    let target = Kind::read(to);
    let Some(from) = from else {
        let why = format!("{} may not hold what the column has", one_line(to));
        return (!target.is_wide()).then_some(why);
    };
    (!Kind::read(from).fits(&target)).then(|| format!("{} does not hold all that {from} does", one_line(to)))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether USING says no more than what happens without it.
fn is_plain_cast(using: &str, column: &str) -> bool {
    let text: String = using.chars().filter(|c| !c.is_whitespace() && *c != '"' && *c != '(').collect();
    let text = text.to_lowercase();
    let rest = text.strip_prefix("cast").unwrap_or(&text);
    let rest = rest.strip_prefix(&column.to_lowercase());
    rest.is_some_and(|rest| {
        let kind = rest.strip_prefix("::").or_else(|| rest.strip_prefix("as")).unwrap_or(rest);
        kind.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | ',' | '[' | ']'))
            && (rest.is_empty() || kind != rest)
    })
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
        let numbers: Vec<u32> = arguments.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        let first = numbers.first().copied();
        let name = format!("{name} {rest}");
        match name.trim() {
            "smallint" | "int2" | "smallserial" | "serial2" => Self::Integer { bits: 16 },
            "integer" | "int" | "int4" | "serial" | "serial4" => Self::Integer { bits: 32 },
            "bigint" | "int8" | "bigserial" | "serial8" => Self::Integer { bits: 64 },
            "real" | "float4" => Self::Float { bits: 32 },
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
