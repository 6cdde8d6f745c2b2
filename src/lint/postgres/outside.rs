//! What PostgreSQL refuses in a transaction, and what it refuses in the transaction that an enum's
//! value was added in.

use std::collections::BTreeSet;

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _, Stmt};

use super::name;
use crate::catalog::TableName;
use crate::lint::act::Act;
use crate::lint::rules;
use crate::lint::script::words;
use crate::sql::Dialect;

/// Why a statement fails in a transaction; `None` for one that does not. `wraps_file` is whether it is
/// the file's own transaction.
pub(super) fn refused(statement: &str, wraps_file: bool) -> Option<Act> {
    let words = words(statement, Dialect::Postgres);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (rule, what) = if runs_concurrently(&words) {
        (&rules::CONCURRENTLY_IN_TRANSACTION, "CONCURRENTLY")
    } else {
        (&rules::NOT_IN_TRANSACTION, refused_name(&words)?)
    };
    let way = if wraps_file {
        "let the file begin with `-- no-transaction`"
    } else {
        "take it out of BEGIN … COMMIT"
    };
    Some(Act::does(rule, Vec::new(), format!("{what} fails in a transaction: {way}")))
}

fn runs_concurrently(words: &[&str]) -> bool {
    match words {
        ["create" | "drop", "index", "concurrently", ..]
        | ["create", "unique", "index", "concurrently", ..] => true,
        ["reindex", ..] => is_on(words, "concurrently"),
        ["alter", "table", ..] => {
            let mut after = words.iter().skip_while(|word| **word != "detach");
            after.any(|word| *word == "concurrently")
        }
        _ => false,
    }
}

/// What a statement is called that fails in a transaction for another reason.
fn refused_name(words: &[&str]) -> Option<&'static str> {
    let has = |word| words.contains(&word);
    Some(match words {
        ["vacuum", ..] => "VACUUM",
        ["cluster"] | ["cluster", "verbose"] => "CLUSTER of all tables",
        ["reindex", ..] if has("schema") || has("database") || has("system") => {
            "REINDEX of more than one table"
        }
        ["discard", "all"] => "DISCARD ALL",
        ["alter", "system", ..] => "ALTER SYSTEM",
        ["alter", "database", _, "set", "tablespace", ..]
        | ["create" | "drop", "database" | "tablespace", ..]
        | ["commit" | "rollback", "prepared", ..]
        | ["drop", "subscription", ..] => "it",
        ["create", "subscription", ..] if makes_slot(words) => "it",
        ["alter", "subscription", _, "refresh" | "set" | "add" | "drop", "publication", ..]
            if !is_off(words, "refresh") =>
        {
            "it"
        }
        _ => return None,
    })
}

/// Whether a text gives an option and does not switch it off.
pub(super) fn has_option(text: &str, option: &str) -> bool {
    let words = words(text, Dialect::Postgres);
    is_on(&words.iter().map(String::as_str).collect::<Vec<_>>(), option)
}

/// Whether an option is given and not switched off.
fn is_on(words: &[&str], option: &str) -> bool {
    words.contains(&option) && !is_off(words, option)
}

/// Whether an option is switched off.
fn is_off(words: &[&str], option: &str) -> bool {
    let at = words.iter().position(|word| *word == option);
    let mut rest = at.and_then(|at| words.get(at + 1..)).unwrap_or_default().iter();
    rest.find(|word| **word != "=").is_some_and(|value| matches!(*value, "false" | "off" | "0"))
}

/// Whether a new subscription makes a replication slot, as it does by default.
fn makes_slot(words: &[&str]) -> bool {
    !is_off(words, "create_slot") && !is_off(words, "connect")
}

/// A value that `ALTER TYPE … ADD VALUE` adds. PostgreSQL takes it in the same transaction from
/// version 17 on, and only where the type was made there too.
#[derive(Debug)]
pub(super) struct NewValue {
    pub transaction: usize,
    kind: TableName,
    value: String,
}

pub(super) fn added_value(statement: &Stmt, transaction: Option<usize>) -> Option<NewValue> {
    let Stmt::AlterType(alter) = statement else { return None };
    let Some(ast::AlterTypeAction::AddValue(add)) = alter.action() else { return None };
    let value = text_of(&add.literal()?.syntax().text().to_string())?;
    Some(NewValue { transaction: transaction?, kind: name(alter.type_name_ref()?.syntax()), value })
}

/// Where a statement writes a new value. Whether that is a value of the type, and no text that reads
/// alike, is decided by the columns of the tables in it.
pub(super) fn uses_of(new: &NewValue, statement: &Stmt) -> Option<Act> {
    if matches!(statement, Stmt::AlterType(_) | Stmt::CommentOn(_) | Stmt::DropType(_)) {
        return None;
    }
    let syntax = statement.syntax();
    let literals =
        || syntax.descendants().filter_map(ast::Literal::cast).map(|node| node.syntax().text().to_string());
    let names_it = words(&syntax.text().to_string(), Dialect::Postgres).contains(&new.kind.name);
    // The body of a function is read when the function is made, unless its language is another one.
    let quoted = format!("'{}'", new.value);
    let is_sql = || {
        words(&syntax.text().to_string(), Dialect::Postgres)
            .windows(2)
            .any(|pair| pair == ["language", "sql"])
    };
    let in_body = literals().any(|literal| literal.starts_with('$') && literal.contains(&quoted)) && is_sql();
    if !in_body && !literals().any(|literal| text_of(&literal).as_ref() == Some(&new.value)) {
        return None;
    }
    Some(Act::UsesValue {
        kind: new.kind.clone(),
        value: new.value.clone(),
        names_type: names_it || in_body,
        tables: relations(syntax),
    })
}

/// The tables and views that a statement names, without those that its `WITH` makes.
pub(super) fn relations(statement: &SyntaxNode) -> Vec<TableName> {
    let made: BTreeSet<_> =
        statement.descendants().filter_map(ast::CteName::cast).map(|cte| name(cte.syntax())).collect();
    let is_relation = |node: &SyntaxNode| {
        ast::RelationNameRef::can_cast(node.kind()) || ast::TableNameRef::can_cast(node.kind())
    };
    let names = statement.descendants().filter(is_relation).map(|node| name(&node));
    names.filter(|name| !made.contains(name)).collect()
}

/// What a literal text says; `None` for a number or the like.
fn text_of(literal: &str) -> Option<String> {
    let text = literal.trim().trim_start_matches(['e', 'E']).strip_prefix('\'')?.strip_suffix('\'')?;
    Some(text.replace("''", "'"))
}
