//! Assertions in comments above a statement. Reads `-- trueup:…`, and nothing that other tools
//! write there: a comment that only silences a rule is not heard.

use super::script::{Script, table_name};
use crate::catalog::TableName;
use crate::sql::Dialect;

const PREFIX: &str = "trueup:";
const EMPTY: &str = "assert-empty";

/// What stands above one statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Above {
    /// Tables that are asserted to be empty.
    pub tables: Vec<TableName>,
    /// A comment that means to be an assertion and is none.
    pub unknown: Option<String>,
}

/// Whether a text can have assertions at all.
pub(super) fn may_have(sql: &str) -> bool {
    sql.contains(PREFIX)
}

/// For each statement of a script, the assertions between the statement before it and itself.
pub(super) fn above(sql: &str, script: &Script, dialect: Dialect) -> Vec<Above> {
    let mut comments = script.comments.iter().peekable();
    let mut all = Vec::with_capacity(script.statements.len());
    for statement in &script.statements {
        let mut above = Above::default();
        while let Some(comment) = comments.next_if(|comment| comment.end <= statement.start) {
            read(sql.get(comment.clone()).unwrap_or(""), dialect, &mut above);
        }
        // What stands inside of a statement is above nothing.
        while comments.next_if(|comment| comment.start < statement.end).is_some() {}
        all.push(above);
    }
    all
}

fn read(comment: &str, dialect: Dialect, above: &mut Above) {
    let Some(text) = comment.strip_prefix("--").map(str::trim) else { return };
    let Some(directive) = text.strip_prefix(PREFIX) else { return };
    let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
    match table_name(rest, dialect).filter(|_| word == EMPTY) {
        Some(table) => above.tables.push(table),
        None => above.unknown = Some(text.to_owned()),
    }
}
