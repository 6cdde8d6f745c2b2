//! Validation of values that many sections share: names, durations, lists, defaults.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use globset::GlobBuilder;

use crate::stack::context::Context;
use crate::stack::error::{Code, SpecError};
use crate::stack::files::collect_all;
use crate::stack::typed::field::{Field, Key, Opt, OrFalse};
use crate::stack::yaml::tree::Span;

/// Returns the value of a required key with its location.
pub(super) fn required<'f, T>(
    cx: &Context<'_>,
    field: &'f Opt<T>,
    key: &str,
    parent: Span,
    help: &str,
) -> Option<(&'f T, Span)> {
    if field.field().is_none() {
        let help = format!("add `{key}:`, {help}");
        cx.fail(Code::MissingKey, parent, format!("the key `{key}` is missing"), "needed here", help);
    }
    field.located()
}

/// Converts all entries of a map; returns `None` if one is invalid. All entries are read, so that
/// all errors are reported.
pub(super) fn read_each<'r, R, T>(
    entries: &'r [(Key, Field<R>)],
    mut read: impl FnMut(&'r Key, &'r Field<R>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let read = entries.iter().map(|(key, field)| Some((key.name.clone(), read(key, field)?)));
    Some(collect_all(read)?.into_iter().collect())
}

/// Returns the texts of a list and reports duplicates.
pub(super) fn distinct(cx: &Context<'_>, field: &Opt<Vec<Field<String>>>, what: &str) -> Vec<String> {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    let mut kept = Vec::new();
    for (text, at) in field.texts() {
        if let Some(first) = seen.insert(text, at) {
            let error = SpecError::new(Code::Same, format!("{what} `{text}` stands twice"));
            cx.report(
                error.at(cx.at(at), "again here").and(cx.at(first), "first here").help("remove one of them"),
            );
        } else if text.is_empty() {
            cx.fail(Code::BadName, at, format!("{what} without a name"), "empty", "");
        } else {
            kept.push(text.to_owned());
        }
    }
    kept
}

/// Reports a documented feature that has no backend yet.
pub(super) fn report_unsupported(cx: &Context<'_>, at: Span, what: &str, help: &str) {
    let message = format!("{what} is not built into this version");
    cx.fail(Code::NotBuilt, at, message, "not built yet", help);
}

/// Checks a name against the rule of its kind and reports a violation.
pub(super) fn name_of(
    cx: &Context<'_>,
    what: &str,
    name: &str,
    at: Span,
    accepts: fn(&str) -> bool,
    pattern: &str,
) -> bool {
    let good = accepts(name);
    if !good {
        let help = format!("a name of this kind is {pattern}");
        cx.fail(Code::BadName, at, format!("not a name for the {what}"), "this name", help);
    }
    good
}

/// `[a-z][a-z0-9-]*`
pub(super) fn is_lower_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// `[A-Za-z_][A-Za-z0-9_-]*`
pub(super) fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Whether a name has no blanks and no control characters.
pub(super) fn is_visible(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Checks a key with [`is_plain_name`] and reports a violation.
pub(super) fn plain_key(cx: &Context<'_>, what: &str, key: &Key) -> bool {
    const PATTERN: &str = "a letter or `_`, then letters, digits, `_` and `-`";
    name_of(cx, what, &key.name, key.at, is_plain_name, PATTERN)
}

/// Checks a key with [`is_visible`] and reports a violation.
pub(super) fn visible_key(cx: &Context<'_>, what: &str, key: &Key) -> bool {
    name_of(cx, what, &key.name, key.at, is_visible, "any text without blanks")
}

/// Returns the name of a table, `table` or `schema.table`, or its default.
pub(super) fn table(cx: &Context<'_>, field: &Opt<String>, default: &str) -> String {
    if let Some((name, at)) = field.located()
        && (name.split('.').any(str::is_empty) || name.split('.').count() > 2)
    {
        let message = "not the name of a table";
        cx.fail(
            Code::BadName,
            at,
            message,
            "this name",
            "accepted are `table` and `schema.table`, without quotes",
        );
    }
    field.or(default.to_owned())
}

/// Returns the name of a column or its default; `None` for `false`.
pub(super) fn column(field: &Opt<OrFalse<String>>, default: &str) -> Option<String> {
    match field.value() {
        None => Some(default.to_owned()),
        Some(OrFalse::Value(name)) => Some(name.clone()),
        Some(OrFalse::Off) => None,
    }
}

/// Returns a duration or its default.
pub(super) fn duration(cx: &Context<'_>, field: &Opt<String>, default: Duration) -> Duration {
    let Some((text, at)) = field.located() else { return default };
    if let Some(duration) = parse_duration(text) {
        return duration;
    }
    let help = "a duration is a whole number and a unit: `500ms`, `5s`, `10m`, `24h` or `7d`";
    cx.fail(Code::BadValue, at, "not a duration", "this value", help);
    default
}

/// Returns a duration within a range, or its default.
pub(super) fn duration_within(
    cx: &Context<'_>,
    field: &Opt<String>,
    default: Duration,
    range: &RangeInclusive<Duration>,
    accepted: &str,
) -> Duration {
    let duration = duration(cx, field, default);
    match field.at() {
        Some(at) if !range.contains(&duration) => {
            let help = format!("accepted are {accepted}");
            cx.fail(Code::BadValue, at, "a duration out of range", "this value", help);
            default
        }
        _ => duration,
    }
}

/// Reports a number that is out of range.
pub(super) fn check_range<T: Copy + PartialOrd + std::fmt::Display>(
    cx: &Context<'_>,
    field: &Opt<T>,
    range: &RangeInclusive<T>,
) {
    if let Some((number, at)) = field.located()
        && !range.contains(number)
    {
        let help = format!("accepted are {} to {}", range.start(), range.end());
        cx.fail(Code::BadValue, at, format!("{number} is out of range"), "this value", help);
    }
}

/// Parses a duration as used in specs and options: `500ms`, `5s`, `10m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Returns globs of names and reports those that do not compile.
pub(super) fn globs(cx: &Context<'_>, field: &Opt<Vec<Field<String>>>) -> Vec<String> {
    for (glob, at) in field.texts() {
        if let Err(error) = GlobBuilder::new(glob).build() {
            let message = format!("not a glob: {}", error.kind());
            cx.fail(Code::BadValue, at, message, "this pattern", "`*` matches any text, `?` one character");
        }
    }
    field.texts().into_iter().map(|(glob, _)| glob.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("24h"), Some(Duration::from_hours(24)));
        for wrong in ["5", "s", "5 s", "1.5h", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
