//! Reads assertions (`-- trueup:…`) in comments above a statement. Comments of other tools that
//! silence a rule are ignored.

use super::script::{Script, table_name};
use crate::catalog::TableName;
use crate::sql::Dialect;

const PREFIX: &str = "trueup:";
const EMPTY: &str = "assert-empty";

/// The assertions above one statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// Tables asserted to be empty.
    pub tables: Vec<TableName>,
    /// A comment that starts like an assertion but is not a valid one.
    pub unknown: Option<String>,
}

/// Whether a text can contain assertions at all.
pub(super) fn may_have(sql: &str) -> bool {
    sql.contains(PREFIX)
}

/// Returns, for each statement of a script, the assertions between the previous statement and it.
pub(super) fn annotations(sql: &str, script: &Script, dialect: Dialect) -> Vec<Annotations> {
    let mut comments = script.comments.iter().peekable();
    let mut all = Vec::with_capacity(script.statements.len());
    for statement in &script.statements {
        let mut annotations = Annotations::default();
        while let Some(comment) = comments.next_if(|comment| comment.end <= statement.start) {
            read(sql.get(comment.clone()).unwrap_or(""), dialect, &mut annotations);
        }
        // Comments inside of a statement are no assertions.
        while comments.next_if(|comment| comment.start < statement.end).is_some() {}
        all.push(annotations);
    }
    all
}

fn read(comment: &str, dialect: Dialect, annotations: &mut Annotations) {
    let Some(text) = comment.strip_prefix("--").map(str::trim) else { return };
    let Some(directive) = text.strip_prefix(PREFIX) else { return };
    let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
    match table_name(rest, dialect).filter(|_| word == EMPTY) {
        Some(table) => annotations.tables.push(table),
        None => annotations.unknown = Some(text.to_owned()),
    }
}
