//! What a type change does to the values of a column: whether values are lost or rejected, and
//! whether the table is rewritten.

use super::Rule;
use super::loss::rules;
use super::{COLUMN_TYPE, CONVERSION};
use crate::change::Risk::Destructive;
use crate::lint::effect::Using;

rules! {
    NARROW_COLUMN_TYPE = "narrow-column-type", Destructive,
        "a column gets a type that keeps less of its values, or values computed anew";
}

/// A type, as far as conversions depend on it. `None` means no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ColumnType {
    Boolean,
    Integer {
        bits: u32,
    },
    Float {
        bits: u32,
    },
    Numeric(Option<(u32, u32)>),
    Text(Option<u32>),
    /// `char(n)`, padded with blanks.
    Padded(u32),
    /// At most 63 bytes. A longer text is cut off without an error, even by an assignment.
    Name,
    /// `"char"`, one byte. A longer text is cut off as for `name`.
    Byte,
    Date,
    /// With the number of digits of fractional seconds.
    Timestamp(Option<u32>),
    TimestampTz(Option<u32>),
    Time(Option<u32>),
    TimeTz(Option<u32>),
    Interval(Option<u32>),
    Bit(u32),
    VarBit(Option<u32>),
    Json,
    Jsonb,
    Cidr,
    Inet,
    Bytes,
    Array {
        element: Box<Self>,
        /// The type as it is written. PostgreSQL rewrites the table for another one, even if the elements
        /// are stored alike.
        text: String,
    },
    Other(String),
}

/// What a conversion does in the worst case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Keeps every value.
    Keeps,
    /// Makes the statement fail, so nothing changes.
    Fails,
    /// Changes a value without an error.
    Loses,
}

/// Returns the findings of a type change.
pub(super) fn retyped(from: Option<&str>, to: &str, using: Option<&Using>) -> Vec<(&'static Rule, String)> {
    let (casts, converts) = match using {
        Some(Using::Computes(value)) => {
            let lost = format!("its values become those of USING {}", one_line(value));
            let written = "everybody waits while the table is written anew".to_owned();
            return vec![(&NARROW_COLUMN_TYPE, lost), (&COLUMN_TYPE, written)];
        }
        Some(Using::Casts(casts)) => (casts.as_slice(), false),
        Some(Using::AtUtc) => (&[][..], true),
        None => (&[][..], false),
    };
    let mut found = Vec::new();
    let mut from = from.map(one_line);
    let steps = casts.iter().map(|to| (to.as_str(), true)).chain([(to, false)]);
    let mut is_written = converts;
    for (to, is_explicit) in steps {
        let (kind, to) = (ColumnType::read(to), one_line(to));
        let was = from.as_deref().map(ColumnType::read);
        let fit = match &was {
            _ if converts => Fit::Keeps,
            Some(was) => was.fit(&kind, is_explicit),
            None => kind.fit_of_any(is_explicit),
        };
        let what = from
            .as_deref()
            .map_or_else(|| "what the column has".to_owned(), |from| format!("all that {from} does"));
        match fit {
            Fit::Keeps => {}
            Fit::Loses if kind == ColumnType::Jsonb => {
                let lost = "the order of keys, blanks, and all but the last of equal keys";
                found.push((&NARROW_COLUMN_TYPE, format!("{to} does not hold {what}: it leaves out {lost}")));
            }
            Fit::Loses => found.push((&NARROW_COLUMN_TYPE, format!("{to} does not hold {what}"))),
            Fit::Fails => {
                found.push((
                    &CONVERSION,
                    format!("fails where {to} cannot hold a value: it does not hold {what}"),
                ));
            }
        }
        is_written |= !was.is_some_and(|was| was.is_stored_as(&kind));
        from = Some(to);
    }
    if is_written {
        found.push((&COLUMN_TYPE, "everybody waits while the table is written anew".to_owned()));
    }
    found
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl ColumnType {
    fn read(text: &str) -> Self {
        let text = one_line(&text.to_lowercase());
        if let Some(element) = element_of(&text) {
            return Self::Array { element: Box::new(Self::read(element)), text };
        }
        // `char` means `character(1)` only without a schema and without quotes.
        let is_byte = matches!(text.as_str(), "\"char\"" | "pg_catalog.char" | "pg_catalog.\"char\"");
        if is_byte {
            return Self::Byte;
        }
        let text = text.strip_prefix("pg_catalog.").unwrap_or(&text);
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned();
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
        // A negative scale rounds, so the type keeps no known number of digits.
        let Some(numbers) = numbers else { return Self::Other(text) };
        let first = numbers.first().copied();
        let name = format!("{name} {rest}");
        match name.trim() {
            "boolean" | "bool" => Self::Boolean,
            "smallint" | "int2" | "smallserial" | "serial2" => Self::Integer { bits: 16 },
            "integer" | "int" | "int4" | "serial" | "serial4" => Self::Integer { bits: 32 },
            "bigint" | "int8" | "bigserial" | "serial8" => Self::Integer { bits: 64 },
            "real" | "float4" => Self::Float { bits: 32 },
            "float" if first.is_some_and(|bits| bits <= 24) => Self::Float { bits: 32 },
            "double precision" | "float8" | "float" => Self::Float { bits: 64 },
            "numeric" | "decimal" | "dec" => {
                Self::Numeric(first.map(|digits| (digits, numbers.get(1).copied().unwrap_or(0))))
            }
            "text" => Self::Text(None),
            "varchar" | "character varying" | "char varying" => Self::Text(first),
            "char" | "character" => Self::Padded(first.unwrap_or(1)),
            "bpchar" => first.map_or_else(|| Self::Other(text.clone()), Self::Padded),
            "name" => Self::Name,
            "bit" => Self::Bit(first.unwrap_or(1)),
            "date" => Self::Date,
            "timestamp" | "timestamp without time zone" => Self::Timestamp(digits(first)),
            "timestamptz" | "timestamp with time zone" => Self::TimestampTz(digits(first)),
            "time" | "time without time zone" => Self::Time(digits(first)),
            "timetz" | "time with time zone" => Self::TimeTz(digits(first)),
            "interval" => Self::Interval(digits(first)),
            "varbit" | "bit varying" => Self::VarBit(first),
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "cidr" => Self::Cidr,
            "inet" => Self::Inet,
            "bytea" => Self::Bytes,
            _ => Self::Other(text),
        }
    }

    /// Worst case when the old type is unknown.
    fn fit_of_any(&self, is_explicit: bool) -> Fit {
        match self {
            Self::Text(None)
            | Self::Json
            | Self::Bytes
            | Self::Numeric(None)
            | Self::Timestamp(None)
            | Self::TimestampTz(None)
            | Self::Interval(None) => Fit::Keeps,
            Self::Integer { bits } | Self::Float { bits } if *bits == 64 => Fit::Keeps,
            Self::Text(Some(_)) | Self::Padded(_) | Self::Bit(_) if is_explicit => Fit::Loses,
            Self::Text(Some(_)) | Self::Padded(_) | Self::Bit(_) | Self::Inet => Fit::Fails,
            Self::Array { element, .. } => element.fit_of_any(is_explicit).max(Fit::Fails),
            // The usual targets of a conversion from text.
            Self::Other(name) if is_discrete(name) => Fit::Fails,
            _ => Fit::Loses,
        }
    }

    /// Worst case of converting values of this type to the other one.
    fn fit(&self, to: &Self, is_explicit: bool) -> Fit {
        let within = |have: Option<u32>, most: Option<u32>, otherwise: Fit| match (have, most) {
            (_, None) => Fit::Keeps,
            (Some(have), Some(most)) if have <= most => Fit::Keeps,
            (Some(_) | None, Some(_)) => otherwise,
        };
        let keeps = |is_kept: bool, otherwise: Fit| if is_kept { Fit::Keeps } else { otherwise };
        // An explicit cast truncates a text, while an assignment fails.
        let too_long = if is_explicit { Fit::Loses } else { Fit::Fails };
        match (self, to) {
            (from, to) if from == to => Fit::Keeps,
            (Self::Array { element: from, .. }, Self::Array { element: to, .. }) => {
                from.fit(to, is_explicit)
            }
            // The text of an array is read, and each element cast like a text of its own.
            (Self::Text(_) | Self::Padded(_), Self::Array { element: to, .. }) => {
                Self::Text(None).fit(to, is_explicit).max(Fit::Fails)
            }
            (Self::Integer { bits }, Self::Integer { bits: to }) => keeps(bits <= to, Fit::Fails),
            (Self::Float { bits }, Self::Float { bits: to }) => keeps(bits <= to, Fit::Loses),
            (Self::Integer { bits }, Self::Float { bits: to }) => keeps(bits < to, Fit::Loses),
            // The number of decimal digits that the type always keeps.
            (Self::Numeric(Some((digits, _))), Self::Float { bits }) => {
                keeps(*digits <= if *bits == 64 { 15 } else { 6 }, Fit::Loses)
            }
            (Self::Integer { bits }, Self::Numeric(Some((digits, scale)))) => {
                keeps(digits.saturating_sub(*scale) >= integer_digits(*bits), Fit::Fails)
            }
            (Self::Numeric(Some((digits, 0))), Self::Integer { bits }) => {
                keeps(*digits < integer_digits(*bits), Fit::Fails)
            }
            (Self::Numeric(Some((digits, scale))), Self::Numeric(Some((most, most_scale)))) => {
                let is_as_wide = digits.saturating_sub(*scale) <= most.saturating_sub(*most_scale);
                if scale > most_scale { Fit::Loses } else { keeps(is_as_wide, Fit::Fails) }
            }
            (Self::Text(have), Self::Text(most)) | (Self::VarBit(have), Self::VarBit(most)) => {
                within(*have, *most, too_long)
            }
            // A name holds 63 bytes, and a character has at most four.
            (Self::Text(Some(have)) | Self::Padded(have), Self::Name) => {
                keeps(*have <= NAME_BYTES / 4, Fit::Loses)
            }
            (Self::Name, Self::Text(Some(most)) | Self::Padded(most)) => {
                keeps(*most >= NAME_BYTES, too_long)
            }
            (Self::Bit(have), Self::VarBit(Some(most))) => keeps(have <= most, too_long),
            (Self::Text(have), Self::Padded(most)) => within(*have, Some(*most), too_long),
            (Self::Padded(have), Self::Text(Some(most)) | Self::Padded(most)) => {
                keeps(have <= most, too_long)
            }
            (Self::Timestamp(have), Self::Timestamp(most) | Self::TimestampTz(most))
            | (Self::TimestampTz(have), Self::TimestampTz(most))
            | (Self::Time(have), Self::Time(most) | Self::Interval(most))
            | (Self::TimeTz(have), Self::TimeTz(most))
            | (Self::Interval(have), Self::Interval(most)) => within(*have, *most, Fit::Loses),
            // The output format of bytea depends on a setting.
            (Self::Bytes, Self::Text(None))
            | (_, Self::Name | Self::Byte)
            // jsonb keeps only the last of equal keys, and neither the order of keys nor white space.
            | (Self::Json, Self::Jsonb) => Fit::Loses,
            // The text form of any other value can be parsed back.
            (_, Self::Text(None))
            | (Self::Bit(_), Self::VarBit(None))
            | (Self::Integer { .. } | Self::Numeric(_), Self::Numeric(None))
            | (Self::Boolean, Self::Integer { bits: 32 })
            | (Self::Cidr, Self::Inet)
            | (Self::Jsonb, Self::Json)
            | (Self::Date, Self::Timestamp(_) | Self::TimestampTz(_)) => Fit::Keeps,
            (_, Self::Text(Some(_)) | Self::Padded(_))
            // An explicit cast truncates the bits, or pads them with zeros.
            | (Self::Bit(_) | Self::VarBit(_) | Self::Text(_) | Self::Padded(_), Self::Bit(_))
            | (Self::Text(_) | Self::Padded(_), Self::VarBit(Some(_))) => too_long,
            // A text is parsed or rejected, except that a time of day, a zone, excess digits or
            // repeated keys may be dropped.
            (Self::Text(_) | Self::Padded(_), to) => match to {
                Self::Date
                | Self::Timestamp(_)
                | Self::Time(_)
                | Self::TimestampTz(Some(_))
                | Self::TimeTz(Some(_))
                | Self::Interval(Some(_))
                | Self::Float { .. }
                | Self::Numeric(Some(_))
                | Self::Jsonb => Fit::Loses,
                Self::Other(name) if !is_discrete(name) => Fit::Loses,
                _ => Fit::Fails,
            },
            // Casts between unknown types run functions with unknown results.
            _ => Fit::Loses,
        }
    }

    /// Whether PostgreSQL does not rewrite the table, because both types have the same binary form.
    fn is_stored_as(&self, to: &Self) -> bool {
        let within = |have: &Option<u32>, most: &Option<u32>| match (have, most) {
            (_, None) => true,
            (Some(have), Some(most)) => have <= most,
            (None, Some(_)) => false,
        };
        match (self, to) {
            (Self::Text(have), Self::Text(most))
            | (Self::VarBit(have), Self::VarBit(most))
            | (Self::Timestamp(have), Self::Timestamp(most))
            | (Self::TimestampTz(have), Self::TimestampTz(most))
            | (Self::Time(have), Self::Time(most))
            | (Self::TimeTz(have), Self::TimeTz(most))
            | (Self::Interval(have), Self::Interval(most)) => within(have, most),
            (Self::Numeric(_), Self::Numeric(None))
            | (Self::Bit(_), Self::VarBit(None))
            | (Self::Cidr, Self::Inet) => true,
            (Self::Numeric(Some((have, scale))), Self::Numeric(Some((most, most_scale)))) => {
                scale == most_scale && have <= most
            }
            (from, to) => from == to,
        }
    }
}

/// Maximum size of a value of type `name` in bytes.
const NAME_BYTES: u32 = 63;

/// Returns the element type of an array with any number of dimensions; `None` for other types.
fn element_of(kind: &str) -> Option<&str> {
    if let Some((element, _)) = kind.split_once(" array") {
        return Some(element);
    }
    let mut rest = kind;
    while let Some((element, _)) = rest.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        rest = element.trim_end();
    }
    (rest != kind).then_some(rest)
}

/// Number of digits that hold every integer of a width.
fn integer_digits(bits: u32) -> u32 {
    match bits {
        16 => 5,
        32 => 10,
        _ => 19,
    }
}

/// PostgreSQL stores at most six digits of fractional seconds.
fn digits(limit: Option<u32>) -> Option<u32> {
    limit.filter(|digits| *digits < 6)
}

/// Whether a type keeps a text unchanged or rejects it. Types that are not built in are usually
/// enums.
fn is_discrete(name: &str) -> bool {
    const LOSSY: [&str; 10] =
        ["money", "point", "line", "lseg", "box", "path", "polygon", "circle", "tsvector", "oid"];
    !LOSSY.contains(&name)
}
