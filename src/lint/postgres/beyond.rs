//! Statements whose effect is not in the tables that they name: files and programs of the server, rules that
//! change other statements, and CONCURRENTLY where PostgreSQL refuses it.

use squawk_syntax::ast::{AstNode as _, Stmt};

use super::{name, names};
use crate::lint::effect::Effect;
use crate::lint::rules;
use crate::lint::script::words;
use crate::sql::Dialect;

pub(super) fn effects(statement: &Stmt) -> Vec<Effect> {
    let words = || words(&statement.syntax().text().to_string(), Dialect::Postgres);
    match statement {
        Stmt::Copy(_) => copied(&words()),
        Stmt::ImportForeignSchema(_) => {
            vec![outside("what it creates depends on another server at that moment")]
        }
        Stmt::CreateRule(_) => rewritten_by_rule(&words()),
        Stmt::CreateIndex(create) if create.concurrently_token().is_some() => {
            let table = create.table_relation_name().map(|table| name(table.syntax()));
            let fails = |table| {
                Effect::FailsOnPartitioned {
                table,
                reason: "CREATE INDEX CONCURRENTLY fails on a partitioned table: build the index on each partition, \
                         and create it on the parent with `ON ONLY`"
                    .to_owned(),
            }
            };
            table.map(fails).into_iter().collect()
        }
        Stmt::DropIndex(drop) if words().iter().any(|word| word == "concurrently") => {
            let is_refused =
                names(drop.index_refs()).len() > 1 || words().iter().any(|word| word == "cascade");
            let reason = "DROP INDEX CONCURRENTLY takes one index and no CASCADE";
            is_refused.then(|| Effect::does(&rules::REFUSED, Vec::new(), reason)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// COPY from or to a program or a file of the server. Rows of a client are another rule's.
fn copied(words: &[String]) -> Vec<Effect> {
    let is = |one: &str, others: &[&str]| {
        words
            .windows(2)
            .any(|pair| matches!(pair, [first, second] if first == one && others.contains(&second.as_str())))
    };
    if is("from", &["program"]) || is("to", &["program"]) {
        vec![outside("the server runs a program")]
    } else if is("from", &["stdin"]) || is("to", &["stdout"]) {
        Vec::new()
    } else {
        vec![outside("the server reads or writes a file of its own")]
    }
}

/// A rule other than the one that makes a view.
fn rewritten_by_rule(words: &[String]) -> Vec<Effect> {
    let is_view =
        words.windows(2).any(|pair| matches!(pair, [on, select] if on == "on" && select == "select"));
    let reason = "from then on other statements do something else, which is not looked into";
    (!is_view).then(|| Effect::does(&rules::QUERY_RULE, Vec::new(), reason)).into_iter().collect()
}

fn outside(reason: &str) -> Effect {
    Effect::does(&rules::OUTSIDE_DATABASE, Vec::new(), reason)
}
