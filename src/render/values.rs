//! Renders the differences between two values in the notation of a spec: lists by their added and
//! removed items, texts without quotes. Digests are omitted because people cannot interpret them.

use serde_json::{Map, Value};

use crate::neutral::one_line;

/// Maximum number of characters of a value.
const MOST_LETTERS: usize = 72;
/// Maximum number of items of a list.
const MOST_ITEMS: usize = 5;

/// Returns a line for each key whose value differs. Keys of nested objects are paths.
pub(super) fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) {
        object_differences(&mut lines, "", before, after);
    }
    lines
}

fn object_differences(
    lines: &mut Vec<String>,
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) {
    // Rows are compared by digests: the differing columns are known, but not shown are their
    // values.
    let differs = before.get("differs").and_then(Value::as_array);
    let is_shown = |key: &str, new: &Value| {
        key != "digest"
            && !is_kept_password(key, new)
            && differs.is_none_or(|differs| differs.iter().any(|name| name == key))
    };
    for (key, new) in after.iter().filter(|(key, new)| is_shown(key, new)) {
        let name = format!("{path}{}", one_line(key));
        match (before.get(key), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                object_differences(lines, &format!("{name}."), old, new);
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                lines.extend(list_differences(old, new).map(|text| format!("{name}: {text}")));
            }
            (Some(old), new) => lines.push(format!("{name}: {} → {}", format_value(old), format_value(new))),
            (None, new) => lines.push(format!("{name}: {}", format_value(new))),
        }
    }
}

/// A password that stays unchanged is not a difference.
fn is_kept_password(key: &str, value: &Value) -> bool {
    key == "password" && value == "kept"
}

/// Describes the added and removed items of a list; `None` if only the order differs.
fn list_differences(old: &[Value], new: &[Value]) -> Option<String> {
    let comes: Vec<&Value> = new.iter().filter(|item| !old.contains(item)).collect();
    let goes: Vec<&Value> = old.iter().filter(|item| !new.contains(item)).collect();
    let listed = |sign: &str, items: &[&Value]| {
        (!items.is_empty()).then(|| format!("{sign} {}", format_items(items.iter().copied(), items.len())))
    };
    let parts: Vec<String> = [listed("+", &comes), listed("-", &goes)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("  "))
}

fn format_items<'v>(items: impl Iterator<Item = &'v Value>, count: usize) -> String {
    let named = items.take(MOST_ITEMS).map(format_value).collect::<Vec<_>>().join(", ");
    match count.saturating_sub(MOST_ITEMS) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Renders a value on one line in the notation of a spec, truncated if it is long.
fn format_value(value: &Value) -> String {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => format_items(items.iter(), items.len()),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, value)| format!("{key}: {}", format_value(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    let text = one_line(&text).into_owned();
    if text.chars().count() <= MOST_LETTERS {
        return text;
    }
    let cut: String = text.chars().take(MOST_LETTERS).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        differences(Some(before), Some(after))
    }

    #[test]
    fn a_list_is_told_by_what_comes_and_what_goes() {
        let (before, after) = (json!({"ids": ["a", "b"]}), json!({"ids": ["b", "c"]}));
        assert_eq!(lines(&before, &after), ["ids: + c  - a"]);
        assert_eq!(lines(&json!({"ids": ["a", "b"]}), &json!({"ids": ["b", "a"]})), [""; 0]);
        let many: Vec<String> = (0..7).map(|number| format!("i{number}")).collect();
        assert_eq!(
            lines(&json!({"ids": []}), &json!({ "ids": many })),
            ["ids: + i0, i1, i2, i3, i4 and 2 more"]
        );
    }

    #[test]
    fn values_stand_as_a_spec_writes_them() {
        let before = json!({"login": true, "member_of": {"x": "a"}, "password": "kept", "digest": "1"});
        let after = json!({"login": false, "member_of": {"x": ["b", 1]}, "password": "kept", "digest": "2", "ttl": null});
        assert_eq!(lines(&before, &after), ["login: true → false", "member_of.x: a → b, 1", "ttl: null"]);
    }

    #[test]
    fn of_rows_only_the_columns_that_differ_are_shown() {
        let before = json!({"differs": ["email"]});
        let after = json!({"email": "a@b.example", "role": "admin"});
        assert_eq!(lines(&before, &after), ["email: a@b.example"]);
    }
}
