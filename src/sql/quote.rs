//! Identifiers, quoted: both dialects take double quotes, doubled inside.

/// `"name"`, safe in any statement of PostgreSQL and SQLite.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."table"` for a name written `schema.table`, else `"table"`.
///
/// The spec writes a schema before the first dot; a table whose own name has a dot cannot be named
/// there, which PostgreSQL applications do not do.
pub fn qualified(name: &str) -> String {
    match name.split_once('.') {
        Some((schema, table)) => format!("{}.{}", identifier(schema), identifier(table)),
        None => identifier(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier(r#"we"ird"#), r#""we""ird""#);
        assert_eq!(qualified("app.users"), r#""app"."users""#);
    }
}
