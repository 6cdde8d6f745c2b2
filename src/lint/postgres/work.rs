//! Which rows a statement reads or searches: whether it may take long, others decide.

use std::collections::BTreeSet;

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AlterTableAction, AstNode as _, Stmt};

use super::{name, names, relation, rows};
use crate::catalog::TableName;
use crate::lint::act::{Act, Read, Work};
use crate::lint::condition::bound_columns;

pub(super) fn of(statement: &Stmt) -> Option<Act> {
    let syntax = statement.syntax();
    let mut work = Work::default();
    match statement {
        Stmt::Select(_)
        | Stmt::CompoundSelect(_)
        | Stmt::ParenSelect(_)
        | Stmt::Values(_)
        | Stmt::Table(_)
        | Stmt::Insert(_)
        | Stmt::Update(_)
        | Stmt::Delete(_)
        | Stmt::Merge(_) => {}
        Stmt::SelectInto(_) => work.fills.extend(made(syntax)),
        Stmt::CreateTableAs(_) | Stmt::CreateMaterializedView(_) => {
            if syntax.children().any(|node| ast::WithNoData::can_cast(node.kind())) {
                return None;
            }
            work.fills.extend(made(syntax));
        }
        // An EXPLAIN without ANALYZE runs nothing, and a copy from a file may be of any length.
        Stmt::Explain(_) => work.is_long = super::text(syntax).contains("analy"),
        Stmt::Copy(_) | Stmt::Vacuum(_) | Stmt::Call(_) | Stmt::Refresh(_) => work.is_long = true,
        Stmt::Analyze(analyze) => {
            let tables = syntax.descendants().filter_map(ast::TableRelationName::cast);
            work.reads = tables.filter_map(|table| relation(table.syntax())).map(Read::all).collect();
            work.is_long = analyze.table_and_columns_list().is_none();
            return Some(Act::Works(work));
        }
        Stmt::AlterTable(alter) => {
            let validates =
                alter.actions().any(|action| matches!(action, AlterTableAction::ValidateConstraint(_)));
            if !validates {
                return None;
            }
            let table = alter.table_relation_name().and_then(|table| relation(table.syntax()));
            work.reads = table.into_iter().map(Read::all).collect();
            return Some(Act::Works(work));
        }
        _ => return None,
    }
    if !matches!(statement, Stmt::Explain(_)) {
        work.is_long |= syntax.descendants().filter_map(ast::CallExpr::cast).any(|call| is_long(&call));
        work.reads = reads(syntax);
        work.fills.extend(
            syntax.descendants().filter_map(ast::Insert::cast).filter_map(|insert| relation(insert.syntax())),
        );
        work.updates = syntax.descendants().filter_map(ast::Update::cast).find_map(|update| {
            let table = relation(update.relation_name()?.syntax())?;
            Some((table, rows::changed(update.set_clause())))
        });
    }
    let does_nothing = work.reads.is_empty() && !work.is_long;
    (!does_nothing).then_some(Act::Works(work))
}

/// What `CREATE TABLE AS` and the like make.
fn made(statement: &SyntaxNode) -> Option<TableName> {
    let is_name =
        |node: &SyntaxNode| ast::TableName::can_cast(node.kind()) || ast::View::can_cast(node.kind());
    statement.descendants().find(is_name).map(|node| name(&node))
}

/// The tables that are read, with the columns that a condition holds to one value each.
fn reads(statement: &SyntaxNode) -> Vec<Read> {
    let made: BTreeSet<_> =
        names(statement.descendants().filter_map(ast::CteName::cast)).into_iter().collect();
    let mut reads = Vec::new();
    for node in statement.descendants() {
        let (table, alias, has_others) = if let Some(item) = ast::RelationFromItem::cast(node.clone()) {
            let clause = node.parent().filter(|parent| ast::FromClause::can_cast(parent.kind()));
            let is_alone = clause.as_ref().is_some_and(|clause| clause.children().count() == 1);
            let alias = item.syntax().descendants().find_map(ast::TableAlias::cast);
            (relation(item.syntax()), alias, !is_alone)
        } else if let Some(update) = ast::Update::cast(node.clone()) {
            let alias = update.alias().and_then(|alias| alias.name());
            (
                update.relation_name().and_then(|table| relation(table.syntax())),
                alias,
                update.from_clause().is_some(),
            )
        } else if let Some(delete) = ast::Delete::cast(node.clone()) {
            let alias = delete.alias().and_then(|alias| alias.name());
            (
                delete.relation_name().and_then(|table| relation(table.syntax())),
                alias,
                delete.using_clause().is_some(),
            )
        } else if let Some(merge) = ast::Merge::cast(node.clone()) {
            (merge.table_relation_name().and_then(|table| relation(table.syntax())), None, true)
        } else if let Some(table) = ast::Table::cast(node.clone()) {
            (relation(table.syntax()), None, true)
        } else {
            continue;
        };
        let Some(table) = table.filter(|table| !made.contains(table)) else { continue };
        let owner = node.ancestors().find(|node| {
            ast::Select::can_cast(node.kind())
                || ast::SelectInto::can_cast(node.kind())
                || ast::Update::can_cast(node.kind())
                || ast::Delete::can_cast(node.kind())
        });
        let condition = owner
            .and_then(|owner| owner.children().find_map(ast::WhereClause::cast))
            .and_then(|clause| clause.expr());
        let names = rows::names(&table, alias);
        let bound = condition
            .map(|condition| bound_columns(&condition.syntax().text().to_string(), &names, has_others));
        reads.push(Read { table, bound: bound.unwrap_or_default() });
    }
    reads
}

/// Whether a call takes long or gives many rows, whatever it is given.
fn is_long(call: &ast::CallExpr) -> bool {
    const MOST: i64 = 1000;
    let Some(function) = call.expr().map(|function| name(function.syntax()).name) else { return false };
    let arguments = || call.arg_list().into_iter().flat_map(|list| list.args());
    match function.as_str() {
        "generate_series" => !arguments().all(|argument| {
            argument.syntax().text().to_string().trim().parse::<i64>().is_ok_and(|bound| bound.abs() <= MOST)
        }),
        "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" => true,
        other => other.starts_with("pg_advisory_"),
    }
}
