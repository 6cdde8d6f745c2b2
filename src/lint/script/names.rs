//! Names of tables and other things as SQL writes them, and what tells one from another.

use super::lexer::{Kind, Lexer, Token};
use crate::catalog::TableName;
use crate::sql::Dialect;

/// `name`, `schema.name` or `database.schema.name` from a token on, as it is written, and how many
/// tokens it takes.
pub(super) fn name_at(tokens: &[Token], at: usize) -> Option<(TableName, usize)> {
    let part = |at: usize| match tokens.get(at).map(|token| &token.kind) {
        Some(Kind::Word(name) | Kind::Name(name)) => Some(name.clone()),
        Some(Kind::Other(_)) | None => None,
    };
    let is_dotted = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Other('.'));
    let further = |dot: usize| part(dot + 1).filter(|_| is_dotted(dot));
    let first = part(at)?;
    Some(match (further(at + 1), further(at + 3)) {
        (Some(schema), Some(name)) => (TableName { schema: Some(schema), name }, 5),
        (Some(name), None) => (TableName { schema: Some(first), name }, 3),
        (None, _) => (TableName::plain(first), 1),
    })
}

/// A name without the schema that is meant where none is said.
pub(crate) fn located(mut table: TableName, dialect: Dialect) -> TableName {
    let is_default = |schema: &String| match dialect {
        Dialect::Postgres => schema == "public",
        Dialect::Sqlite => schema.eq_ignore_ascii_case("main"),
    };
    table.schema = table.schema.filter(|schema| !is_default(schema));
    table
}

/// A table's name as unquoted SQL means it: databases differ in how they fold case, so that names
/// read from SQL are compared without it.
pub(crate) fn folded(table: &TableName) -> TableName {
    let TableName { schema, name } = table;
    TableName { schema: schema.as_ref().map(|schema| schema.to_lowercase()), name: name.to_lowercase() }
}

/// A table's name as a dialect tells it from others: SQLite knows no case. PostgreSQL does, and
/// unquoted names come in lower case already.
pub(crate) fn told(table: &TableName, dialect: Dialect) -> TableName {
    match dialect {
        Dialect::Postgres => table.clone(),
        Dialect::Sqlite => folded(table),
    }
}

/// The schema of a name of which nobody can tell where it leads. No table has such a one.
pub(crate) const NOWHERE: &str = "?";

/// The name of a table as SQL writes it, when the text is nothing else: unquoted in lower case.
pub(crate) fn table_name(text: &str, dialect: Dialect) -> Option<TableName> {
    let tokens: Vec<Token> = Lexer::new(text, dialect).collect();
    let name = name_at(&tokens, 0).filter(|(_, taken)| *taken == tokens.len());
    name.map(|(name, _)| located(name, dialect))
}

/// The name of a thing with the schema that is written, folded; one that cannot be read leads nowhere.
pub(crate) fn written_name(text: &str, dialect: Dialect) -> TableName {
    let tokens: Vec<Token> = Lexer::new(text, dialect).collect();
    match name_at(&tokens, 0).filter(|(_, taken)| *taken == tokens.len()) {
        Some((name, _)) => told(&name, dialect),
        None => TableName { schema: Some(NOWHERE.to_owned()), name: text.trim().to_owned() },
    }
}

/// The name behind the first of these words.
pub(crate) fn name_after(statement: &str, word: &str, dialect: Dialect) -> Option<TableName> {
    let tokens: Vec<Token> = Lexer::new(statement, dialect).collect();
    let at = tokens.iter().position(|token| token.is(word))?;
    name_at(&tokens, at + 1).map(|(name, _)| told(&name, dialect))
}
