//! Numbers, by value. Pure.

/// Beyond this many digits before or after the point, a number is written with an exponent, so
/// that `1e999999999` costs no memory.
const PLAIN_DIGITS: i64 = 1_000;

/// A decimal number of any length in plain digits: no sign when positive, no zeros that say nothing.
pub(super) fn decimal(text: &str) -> Option<String> {
    if let Some(special) = special(text) {
        return Some(special.to_owned());
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }

    // The value is `digits` times ten to the power of `scale`.
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let dropped = digits.len() - digits.trim_end_matches('0').len();
    let scale = i64::from(exponent) - length(fraction) + i64::try_from(dropped).unwrap_or(i64::MAX);
    let sign = if negative { "-" } else { "" };
    Some(format!("{sign}{}", written(significant, scale)))
}

/// A binary floating point number at 15 significant digits.
pub(super) fn float(text: &str) -> Option<String> {
    if let Some(special) = special(text) {
        return Some(special.to_owned());
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    decimal(&format!("{number:.14e}"))
}

fn special(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some("NaN"),
        "inf" | "+inf" | "infinity" | "+infinity" => Some("Infinity"),
        "-inf" | "-infinity" => Some("-Infinity"),
        _ => None,
    }
}

fn written(significant: &str, scale: i64) -> String {
    let point = length(significant).saturating_add(scale);
    if scale >= 0 {
        if scale > PLAIN_DIGITS {
            return format!("{significant}e{scale}");
        }
        return format!("{significant}{}", zeros(scale));
    }
    if point <= 0 {
        if point < -PLAIN_DIGITS {
            return format!("{significant}e{scale}");
        }
        return format!("0.{}{significant}", zeros(-point));
    }
    let (whole, fraction) = significant.split_at(usize::try_from(point).unwrap_or(0));
    format!("{whole}.{fraction}")
}

fn zeros(count: i64) -> String {
    "0".repeat(usize::try_from(count).unwrap_or(0))
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}
