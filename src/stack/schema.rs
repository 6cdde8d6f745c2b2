//! Generates the JSON Schema of the spec for editors from the structs that are deserialized. Every
//! key may be absent or `null`, because an overlay contains only what it changes.

use serde_json::{Value, json};

use super::raw::Spec;

/// Matches a text that contains a placeholder, which is valid for any scalar.
const PLACEHOLDER: &str = r"\$\{[^}]+\}";

/// Returns the JSON Schema of the spec, draft 2020-12.
pub fn json_schema() -> Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<Spec>().to_value();
    relax(&mut schema);
    if let Value::Object(schema) = &mut schema {
        schema.insert("title".to_owned(), json!("trueup stack"));
    }
    schema
}

/// Makes all keys optional and accepts placeholders for booleans, numbers and enumerations.
fn relax(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(relax),
        Value::Object(object) => {
            object.values_mut().for_each(relax);
            if object.get("required").is_some_and(Value::is_array) {
                object.remove("required");
            }
            if let Some(kind) = object.get_mut("type") {
                let kinds = match kind.take() {
                    Value::Array(kinds) => kinds,
                    one => vec![one],
                };
                let scalar = kinds.iter().any(|kind| matches!(kind.as_str(), Some("boolean" | "integer")));
                let text = kinds.iter().any(|kind| kind.as_str() == Some("string"));
                let mut widened = kinds;
                if scalar && !text {
                    widened.push(json!("string"));
                }
                *kind = match widened.as_slice() {
                    [one] => one.clone(),
                    _ => Value::Array(widened),
                };
                if scalar && !text {
                    object.insert("pattern".to_owned(), json!(PLACEHOLDER));
                }
            }
            let choices = object.get("oneOf").is_some_and(|choices| {
                choices.as_array().is_some_and(|all| all.iter().all(|one| one.get("const").is_some()))
            });
            if choices && let Some(Value::Array(choices)) = object.get_mut("oneOf") {
                choices.push(json!({ "type": "string", "pattern": PLACEHOLDER }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::mask::is_secret_key;

    /// Returns the keys whose values have the type of a secret, or are lists of them.
    fn secret_keys(schema: &Value) -> Vec<&str> {
        let Value::Object(object) = schema else {
            return schema.as_array().into_iter().flatten().flat_map(secret_keys).collect();
        };
        let properties = object.get("properties").and_then(Value::as_object).into_iter().flatten();
        let is_secret =
            |value: &Value| [value, &value["items"]].iter().any(|value| value["writeOnly"] == true);
        let own = properties.filter(|(_, value)| is_secret(value)).map(|(key, _)| key.as_str());
        own.chain(object.values().flat_map(secret_keys)).collect()
    }

    #[test]
    fn a_key_of_a_secret_is_masked_in_diagnostics() {
        let schema = json_schema();
        let keys = secret_keys(&schema);
        assert!(["password", "passwords", "token"].iter().all(|key| keys.contains(key)), "{keys:?}");
        assert!(keys.iter().all(|key| is_secret_key(key)), "{keys:?}");
    }
}
