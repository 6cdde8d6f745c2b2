//! Names of tables and other objects as written in SQL, and how they are compared.

use crate::catalog::TableName;
use crate::sql::Dialect;
use crate::sql::lexer::{Lexer, Syntax, Token, TokenKind};

/// Returns a name: unquoted in lower case, quoted unchanged.
pub(super) fn name_of(token: &Token<'_>) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(token.text.to_lowercase()),
        TokenKind::Name(_) => Some(token.unquoted().into_owned()),
        _ => None,
    }
}

/// Returns `name`, `schema.name` or `database.schema.name` at a token, as written, and the number
/// of tokens.
pub(super) fn name_at(tokens: &[Token<'_>], at: usize) -> Option<(TableName, usize)> {
    let part = |at: usize| tokens.get(at).and_then(name_of);
    let is_dotted = |at: usize| tokens.get(at).is_some_and(|token| token.is_sign('.'));
    let further = |dot: usize| part(dot + 1).filter(|_| is_dotted(dot));
    let first = part(at)?;
    Some(match (further(at + 1), further(at + 3)) {
        (Some(schema), Some(name)) => (TableName { schema: Some(schema), name }, 5),
        (Some(name), None) => (TableName { schema: Some(first), name }, 3),
        (None, _) => (TableName::plain(first), 1),
    })
}

/// Removes the schema from a name if it is the default schema.
pub(crate) fn located(mut table: TableName, dialect: Dialect) -> TableName {
    let is_default = |schema: &String| match dialect {
        Dialect::Postgres => schema == "public",
        Dialect::Sqlite => schema.eq_ignore_ascii_case("main"),
    };
    table.schema = table.schema.filter(|schema| !is_default(schema));
    table
}

/// Returns a table name in lower case. Databases fold case differently, so names from SQL are
/// compared case-insensitively.
pub(crate) fn folded(table: &TableName) -> TableName {
    let TableName { schema, name } = table;
    TableName { schema: schema.as_ref().map(|schema| schema.to_lowercase()), name: name.to_lowercase() }
}

/// Returns a table name in the form in which the dialect compares it. SQLite ignores case.
/// PostgreSQL does not, but its unquoted names are already in lower case here.
pub(crate) fn normalized(table: &TableName, dialect: Dialect) -> TableName {
    match dialect {
        Dialect::Postgres => table.clone(),
        Dialect::Sqlite => folded(table),
    }
}

/// The schema of names that cannot be resolved. No real table has it.
pub(crate) const NOWHERE: &str = "?";

/// Parses a text that consists of a table name only; unquoted names are folded to lower case.
pub(crate) fn table_name(text: &str, dialect: Dialect) -> Option<TableName> {
    let tokens: Vec<_> = Lexer::code(text, Syntax::Of(dialect)).collect();
    let name = name_at(&tokens, 0).filter(|(_, taken)| *taken == tokens.len());
    name.map(|(name, _)| located(name, dialect))
}

/// Returns the folded name of an object with its schema; an unreadable name gets the schema
/// [`NOWHERE`].
pub(crate) fn written_name(text: &str, dialect: Dialect) -> TableName {
    let tokens: Vec<_> = Lexer::code(text, Syntax::Of(dialect)).collect();
    match name_at(&tokens, 0).filter(|(_, taken)| *taken == tokens.len()) {
        Some((name, _)) => normalized(&name, dialect),
        None => TableName { schema: Some(NOWHERE.to_owned()), name: text.trim().to_owned() },
    }
}

/// Returns the name after the first occurrence of a keyword.
pub(crate) fn name_after(statement: &str, word: &str, dialect: Dialect) -> Option<TableName> {
    let tokens: Vec<_> = Lexer::code(statement, Syntax::Of(dialect)).collect();
    let at = tokens.iter().position(|token| token.is(word))?;
    name_at(&tokens, at + 1).map(|(name, _)| normalized(&name, dialect))
}
