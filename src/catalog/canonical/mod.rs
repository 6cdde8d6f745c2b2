//! One spelling for equal values, so that a text of the spec compares with a value read back
//! (`column::text` on PostgreSQL, `CAST AS TEXT` or `hex` on SQLite). Pure; it never fails: a text
//! that is no value of its kind is kept as it stands, and the database will refuse it.

mod array;
mod column;
mod json;
mod number;
mod time;

use super::ValueKind;

pub use array::Array;

/// The canonical spelling of a text as a value of a kind.
///
/// What it equates, by kind:
/// - numbers by value (`+5`, `007`, `1.50`, `1e3`, `-0`), floats at 15 significant digits, which
///   is what SQLite prints;
/// - truth values as PostgreSQL reads them (`t`, `yes`, `on`, `1`, …);
/// - dates and times as PostgreSQL stores them, at microseconds: a zone is dropped from a
///   [`ValueKind::Timestamp`], and [`ValueKind::TimestampTz`] without one is UTC;
/// - JSON by value: keys sorted, the last of equal ones kept, numbers by value;
/// - UUIDs with or without hyphens and braces, in any case;
/// - bytes as hexadecimal digits in any case, after `\x` or `0x` or nothing.
pub fn canonical(kind: ValueKind, text: &str) -> String {
    let spelled = match kind {
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
    };
    spelled.unwrap_or_else(|| text.to_owned())
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
