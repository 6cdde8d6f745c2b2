//! A plan as JSON: the document as it stands.

use crate::plan::Document;

/// The plan as one indented object, ending in a newline.
pub fn plan_json(plan: &Document) -> String {
    match serde_json::to_string_pretty(plan) {
        Ok(text) => text + "\n",
        // The document has text keys only, which is all that can fail.
        Err(error) => format!("{}\n", serde_json::json!({"error": error.to_string()})),
    }
}
