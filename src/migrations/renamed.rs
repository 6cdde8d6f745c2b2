//! Parses statements that rename a table: its `CREATE TABLE` has the old name only. Pure.

use crate::catalog::TableName;
use crate::lint::script::{folded, located, words};
use crate::sql::Dialect;

/// The old and new name of an `ALTER TABLE … RENAME TO` or `… SET SCHEMA`, folded.
pub(super) fn renamed(statement: &str, dialect: Dialect) -> Option<(TableName, TableName)> {
    let lower = statement.to_ascii_lowercase();
    if !lower.contains("rename") && !lower.contains("schema") {
        return None;
    }
    let words = words(statement, dialect);
    let mut words = words.iter().map(String::as_str).peekable();
    if words.next()? != "alter" || words.next()? != "table" {
        return None;
    }
    while words.next_if(|word| matches!(*word, "if" | "exists" | "only")).is_some() {}
    let mut name = TableName::plain(words.next()?);
    if words.next_if_eq(&".").is_some() {
        name = TableName { schema: Some(name.name), name: words.next()?.to_owned() };
    }
    words.next_if_eq(&"*");
    let old = folded(&located(name, dialect));
    let new = match (words.next()?, words.next()?, words.next()?) {
        ("rename", "to", new) => TableName { schema: old.schema.clone(), name: new.to_owned() },
        ("set", "schema", schema) => TableName { schema: Some(schema.to_owned()), name: old.name.clone() },
        _ => return None,
    };
    Some((old, folded(&located(new, dialect))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_found_in_any_spelling() {
        for (statement, expected) in [
            ("ALTER TABLE crate_old RENAME TO crate", Some(("crate_old", "crate"))),
            ("alter table if exists only public.\"A\" rename to \"B c\"", Some(("a", "b c"))),
            ("ALTER TABLE app.t RENAME TO u", Some(("app.t", "app.u"))),
            ("ALTER TABLE t SET SCHEMA app", Some(("t", "app.t"))),
            ("ALTER TABLE app.t SET SCHEMA public", Some(("app.t", "t"))),
            ("ALTER TABLE t RENAME COLUMN a TO b", None),
            ("ALTER TABLE t RENAME a TO b", None),
            ("ALTER TABLE t ADD COLUMN rename text", None),
        ] {
            let parsed = expected.map(|(old, new)| (TableName::parse(old), TableName::parse(new)));
            assert_eq!(renamed(statement, Dialect::Postgres), parsed, "{statement}");
        }
    }
}
