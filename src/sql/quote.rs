//! Quotes identifiers, in the same way for both dialects.

/// Returns `"name"` with quotes in the name doubled.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier(r#"we"ird"#), r#""we""ird""#);
    }
}
