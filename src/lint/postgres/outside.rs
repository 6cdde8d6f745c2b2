//! Statements that PostgreSQL rejects in a transaction, and statements that it rejects in the
//! transaction that added an enum value.

use std::collections::BTreeSet;

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _, Stmt};

use super::name;
use crate::catalog::TableName;
use crate::lint::effect::Effect;
use crate::lint::rules;
use crate::lint::script::words;
use crate::sql::Dialect;

/// Returns why a statement fails in a transaction, or `None` if it does not. `wraps_file` is true
/// if trueup opened the transaction around the whole file.
pub(super) fn refused(statement: &str, wraps_file: bool) -> Option<Effect> {
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
    Some(Effect::does(rule, Vec::new(), format!("{what} fails in a transaction: {way}")))
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

/// Returns the name of a statement that PostgreSQL does not allow in a transaction, other than
/// CONCURRENTLY.
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

/// Whether the text sets an option and does not switch it off.
pub(super) fn has_option(text: &str, option: &str) -> bool {
    let words = words(text, Dialect::Postgres);
    is_on(&words.iter().map(String::as_str).collect::<Vec<_>>(), option)
}

fn is_on(words: &[&str], option: &str) -> bool {
    words.contains(&option) && !is_off(words, option)
}

fn is_off(words: &[&str], option: &str) -> bool {
    let at = words.iter().position(|word| *word == option);
    let mut rest = at.and_then(|at| words.get(at + 1..)).unwrap_or_default().iter();
    rest.find(|word| **word != "=").is_some_and(|value| matches!(*value, "false" | "off" | "0"))
}

/// Whether a new subscription creates a replication slot, which is the default.
fn makes_slot(words: &[&str]) -> bool {
    !is_off(words, "create_slot") && !is_off(words, "connect")
}

/// A value added by `ALTER TYPE … ADD VALUE`. PostgreSQL 17 and later accepts its use in the same
/// transaction, but only if the type was created there too.
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

/// Returns where a statement uses a new enum value. The columns of the tables involved decide
/// whether the literal really is a value of the type.
pub(super) fn uses_of(new: &NewValue, statement: &Stmt) -> Option<Effect> {
    if matches!(statement, Stmt::AlterType(_) | Stmt::CommentOn(_) | Stmt::DropType(_)) {
        return None;
    }
    let syntax = statement.syntax();
    let literals =
        || syntax.descendants().filter_map(ast::Literal::cast).map(|node| node.syntax().text().to_string());
    let names_it = words(&syntax.text().to_string(), Dialect::Postgres).contains(&new.kind.name);
    // PostgreSQL parses the body of an SQL function when it is created, but not that of other
    // languages.
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
    Some(Effect::UsesEnumValue {
        kind: new.kind.clone(),
        value: new.value.clone(),
        names_type: names_it || in_body,
        tables: relations(syntax),
    })
}

/// Returns the tables and views that a statement names, without the CTEs of its `WITH`.
pub(super) fn relations(statement: &SyntaxNode) -> Vec<TableName> {
    let made: BTreeSet<_> =
        statement.descendants().filter_map(ast::CteName::cast).map(|cte| name(cte.syntax())).collect();
    let is_relation = |node: &SyntaxNode| {
        ast::RelationNameRef::can_cast(node.kind()) || ast::TableNameRef::can_cast(node.kind())
    };
    let names = statement.descendants().filter(is_relation).map(|node| name(&node));
    names.filter(|name| !made.contains(name)).collect()
}

/// Returns the content of a string literal; `None` for a number or another literal.
fn text_of(literal: &str) -> Option<String> {
    let text = literal.trim().trim_start_matches(['e', 'E']).strip_prefix('\'')?.strip_suffix('\'')?;
    Some(text.replace("''", "'"))
}
