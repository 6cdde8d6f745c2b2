//! Dates and times as PostgreSQL parses and stores them, in ISO order only: texts that depend on
//! `DateStyle` are kept unchanged. Pure.

use jiff::civil::{Date, DateTime, DateTimeRound, Time};
use jiff::{RoundMode, SignedDuration, ToSpan as _, Unit};

/// Formats as `2024-01-05`, without a time.
pub(super) fn date(text: &str) -> Option<String> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    moment(text)?;
    let day = text.split(['T', 't', ' ']).next()?;
    civil(day).map(|date| date.to_string())
}

/// Formats as `2024-01-05 10:00:00.5`, ignoring the time zone.
pub(super) fn timestamp(text: &str) -> Option<String> {
    infinity(text).or_else(|| moment(text).and_then(|(moment, _)| spelled(moment)))
}

/// Formats as `2024-01-05 10:00:00.5+00:00`.
pub(super) fn timestamp_tz(text: &str) -> Option<String> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    let (moment, offset) = moment(text)?;
    let utc = moment.checked_sub(SignedDuration::from_secs(offset.unwrap_or(0))).ok()?;
    spelled(utc).map(|text| format!("{text}+00:00"))
}

fn infinity(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    matches!(lower.as_str(), "infinity" | "-infinity").then_some(lower)
}

/// Rounds to microseconds, without trailing zeros.
fn spelled(moment: DateTime) -> Option<String> {
    let microseconds = DateTimeRound::new().smallest(Unit::Microsecond).mode(RoundMode::HalfEven);
    let rounded = moment.round(microseconds).ok()?;
    let (date, time) = (rounded.date(), rounded.time());
    let fraction = match time.subsec_nanosecond() / 1_000 {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    };
    Some(format!("{date} {:02}:{:02}:{:02}{fraction}", time.hour(), time.minute(), time.second()))
}

/// Parses a date with an optional time, and the offset in seconds where a time zone is given.
fn moment(text: &str) -> Option<(DateTime, Option<i64>)> {
    let (day, rest) = match text.split_once(['T', 't', ' ']) {
        Some((day, rest)) => (day, rest.trim_start()),
        None => return Some((civil(text)?.to_datetime(Time::midnight()), None)),
    };
    let date = civil(day)?;
    let zone_at = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let offset = match zone.trim_start() {
        "" => None,
        zone => Some(offset_seconds(zone)?),
    };
    // PostgreSQL accepts 24:00 as midnight at the end of the day.
    if matches!(clock, "24:00" | "24:00:00") {
        return Some((date.checked_add(1.day()).ok()?.to_datetime(Time::midnight()), offset));
    }
    Some((date.to_datetime(time(clock)?), offset))
}

fn civil(text: &str) -> Option<Date> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return civil_date(text.get(..4)?, text.get(4..6)?, text.get(6..)?);
    }
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 {
        return None;
    }
    civil_date(year, month, day)
}

fn civil_date(year: &str, month: &str, day: &str) -> Option<Date> {
    let two =
        |text: &str| if text.len() <= 2 { number(text).and_then(|n| i8::try_from(n).ok()) } else { None };
    Date::new(i16::try_from(number(year)?).ok()?, two(month)?, two(day)?).ok()
}

fn time(clock: &str) -> Option<Time> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let mut two = |or: &'static str| match parts.next() {
        Some(text) if text.len() <= 2 => number(text).and_then(|n| i8::try_from(n).ok()),
        Some(_) => None,
        None => number(or).and_then(|n| i8::try_from(n).ok()),
    };
    let (hour, minute, second) = (two("")?, two("")?, two("0")?);
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}");
    Time::new(hour, minute, second, i32::try_from(number(nanos.get(..9)?)?).ok()?).ok()
}

/// Parses `Z`, `UTC`, `+02`, `-03:30`, `+0530`, `+00:19:32`.
fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone.to_ascii_lowercase().as_str(), "z" | "utc" | "gmt") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+')?),
    };
    let parts: Vec<&str> = match rest.split(':').collect::<Vec<_>>().as_slice() {
        [four] if four.len() == 4 => vec![four.get(..2)?, four.get(2..)?],
        parts => parts.to_vec(),
    };
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3_600, 60, 1]) {
        seconds += number(part).filter(|n| part.len() <= 2 && *n < 60)? * unit;
    }
    (parts.len() <= 3 && seconds < 24 * 3_600).then_some(sign * seconds)
}

/// Accepts digits only: no sign, no white space.
fn number(digits: &str) -> Option<i64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if valid { digits.parse().ok() } else { None }
}
