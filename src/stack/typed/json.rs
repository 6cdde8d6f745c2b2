//! Converts lists and maps that are values of rows to JSON. Pure except for placeholders.

use crate::stack::context::Context;
use crate::stack::yaml::tree::{Entry, Node, NodeKind};

/// Returns compact JSON with sorted keys. Numbers and booleans are only those on which every YAML
/// tool agrees; everything else is text.
pub(in crate::stack) fn json(cx: &Context<'_>, node: &Node) -> Option<String> {
    match &node.kind {
        _ if node.is_null() => Some("null".to_owned()),
        NodeKind::Scalar { text, plain } => {
            let value = if cx.is_data(node.at) { cx.data(node.at, text)? } else { cx.text(node.at, text)? };
            let bare = *plain && (matches!(&*value, "true" | "false") || is_json_number(&value));
            Some(if bare { value } else { serde_json::Value::String(value).to_string() })
        }
        NodeKind::Seq(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| json(cx, item)).collect();
            Some(format!("[{}]", items?.join(",")))
        }
        NodeKind::Map(entries) => {
            let mut entries: Vec<&Entry> = entries.iter().collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            let fields: Option<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    let key = serde_json::Value::String(entry.key.to_string());
                    Some(format!("{key}:{}", json(cx, &entry.value)?))
                })
                .collect();
            Some(format!("{{{}}}", fields?.join(",")))
        }
    }
}

fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction) && (whole.len() == 1 || !whole.starts_with('0'))
}
