//! Canonical forms of numbers. Pure.

/// Numbers with more digits before or after the point are written with an exponent, so that `1e999999999`
/// uses little memory.
const PLAIN_DIGITS: i64 = 1_000;

/// A decimal number of any length, without plus sign and redundant zeros.
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

/// A 64-bit floating point number, with 15 significant digits.
pub(super) fn float(text: &str) -> Option<String> {
    if let Some(special) = special(text) {
        return Some(special.to_owned());
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    decimal(&format!("{number:.14e}"))
}

/// A 32-bit floating point number, with 6 significant digits.
pub(super) fn single(text: &str) -> Option<String> {
    let number = text.parse::<f32>().ok().filter(|number| number.is_finite())?;
    decimal(&format!("{number:.5e}"))
}

/// Rounds a canonical decimal to `scale` fraction digits, half away from zero.
pub(super) fn rounded(canonical: &str, scale: usize) -> Option<String> {
    let (sign, unsigned) = match canonical.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", canonical),
    };
    let (whole, fraction) = unsigned.split_once('.')?;
    let (kept, dropped) = fraction.split_at_checked(scale)?;
    // The leading zero takes the last carry.
    let mut digits = format!("0{whole}.{kept}");
    if dropped.starts_with(['5', '6', '7', '8', '9']) {
        let carried = digits.rfind(|digit| !matches!(digit, '9' | '.'))?;
        let (before, rest) = digits.split_at_checked(carried)?;
        let raised = rest.chars().next()?.to_digit(10)? + 1;
        digits = format!("{before}{raised}{}", rest.get(1..)?.replace('9', "0"));
    }
    decimal(&format!("{sign}{digits}"))
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
