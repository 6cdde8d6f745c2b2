//! One spelling for equal values, so that texts of a spec can be compared with values from a database
//! (`column::text` in PostgreSQL, `CAST AS TEXT` or `hex` in SQLite). Pure; never fails: a text that is not
//! a valid value is kept unchanged, and the database will reject it.

mod array;
mod column;
mod json;
mod number;
mod time;

use super::ValueKind;

pub use array::Array;

/// The canonical spelling of a text as a value of a kind.
///
/// Treated as equal, by kind:
/// - numbers by value (`+5`, `007`, `1.50`, `1e3`, `-0`), and floats at 15 significant digits, as
///   SQLite prints them;
/// - booleans as PostgreSQL parses them (`t`, `yes`, `on`, `1`, …);
/// - dates and times as PostgreSQL stores them, in microseconds: [`ValueKind::Timestamp`] ignores a
///   time zone, and
///   [`ValueKind::TimestampTz`] without one is UTC;
/// - JSON by value: sorted keys, the last of equal ones, numbers by value;
/// - UUIDs with or without hyphens and braces, in any case;
/// - bytes as hexadecimal digits in any case, with or without a prefix `\x` or `0x`.
pub fn canonical(kind: ValueKind, text: &str) -> String {
    parsed(kind, text).unwrap_or_else(|| text.to_owned())
}

/// Like [`canonical`]; `None` for a text that cannot be parsed here.
pub fn parsed(kind: ValueKind, text: &str) -> Option<String> {
    match kind {
        ValueKind::Text => None,
        ValueKind::Integer | ValueKind::Decimal => number::decimal(text.trim()),
        ValueKind::Float => number::float(text.trim()),
        ValueKind::Boolean => boolean(text.trim()),
        ValueKind::Date => time::date(text.trim()),
        ValueKind::Timestamp => time::timestamp(text.trim()),
        ValueKind::TimestampTz => time::timestamp_tz(text.trim()),
        ValueKind::Json => json::document(text),
        ValueKind::Uuid => uuid::Uuid::try_parse(text.trim()).ok().map(|id| id.hyphenated().to_string()),
        ValueKind::Bytes => bytes(text.trim()),
    }
}

fn boolean(text: &str) -> Option<String> {
    let truth = match text.to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => true,
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => false,
        _ => return None,
    };
    Some(truth.to_string())
}

fn bytes(text: &str) -> Option<String> {
    let digits = text.strip_prefix("\\x").or_else(|| text.strip_prefix("0x")).unwrap_or(text);
    let whole = digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
