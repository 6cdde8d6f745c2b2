//! Identifiers, quoted: both dialects take double quotes, doubled inside.

/// `"name"`, safe in any statement of PostgreSQL and SQLite.
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
