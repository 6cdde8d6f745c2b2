//! Determines which rows a statement reads or searches. Whether that may take long is decided
//! elsewhere.

use std::collections::BTreeSet;

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AlterTableAction, AstNode as _, Stmt};

use super::{name, names, relation, rows};
use crate::catalog::TableName;
use crate::lint::condition::{Others, bound_columns};
use crate::lint::effect::{Effect, Read, RowAccess};

pub(super) fn row_access(statement: &Stmt) -> Option<Effect> {
    let syntax = statement.syntax();
    let mut work = RowAccess::default();
    match statement {
        Stmt::Explain(_) if super::is_explained_only(statement) => return None,
        Stmt::Explain(_)
        | Stmt::Select(_)
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
        // A COPY from a file may have any number of rows.
        Stmt::Copy(_) | Stmt::Vacuum(_) | Stmt::Call(_) | Stmt::Refresh(_) => work.is_long = true,
        Stmt::Analyze(analyze) => {
            let tables = syntax.descendants().filter_map(ast::TableRelationName::cast);
            work.reads = tables.filter_map(|table| relation(table.syntax())).map(Read::all).collect();
            work.is_long = analyze.table_and_columns_list().is_none();
            return Some(Effect::AccessesRows(work));
        }
        Stmt::AlterTable(alter) => {
            let validates =
                alter.actions().any(|action| matches!(action, AlterTableAction::ValidateConstraint(_)));
            if !validates {
                return None;
            }
            let table = alter.table_relation_name().and_then(|table| relation(table.syntax()));
            work.reads = table.into_iter().map(Read::all).collect();
            return Some(Effect::AccessesRows(work));
        }
        _ => return None,
    }
    work.is_long |= syntax.descendants().filter_map(ast::CallExpr::cast).any(|call| is_long(&call));
    (work.reads, work.holds) = reads(syntax);
    let inserts = || syntax.descendants().filter_map(ast::Insert::cast);
    work.fills.extend(inserts().filter_map(|insert| relation(insert.syntax())));
    work.replaces = inserts().filter(replaces).find_map(|insert| relation(insert.syntax()));
    work.updates = syntax.descendants().filter_map(ast::Update::cast).find_map(|update| {
        let table = relation(update.relation_name()?.syntax())?;
        Some((table, rows::changed(update.set_clause())))
    });
    let does_nothing = work.reads.is_empty() && !work.is_long;
    (!does_nothing).then_some(Effect::AccessesRows(work))
}

/// Whether an insert updates an existing row on a conflict.
fn replaces(insert: &ast::Insert) -> bool {
    let conflict = insert.on_conflict_clause();
    conflict.is_some_and(|clause| {
        clause.syntax().descendants().any(|node| ast::ConflictDoUpdateSet::can_cast(node.kind()))
    })
}

/// Returns the table that `CREATE TABLE AS` and the like create.
fn made(statement: &SyntaxNode) -> Option<TableName> {
    let is_name =
        |node: &SyntaxNode| ast::TableName::can_cast(node.kind()) || ast::View::can_cast(node.kind());
    statement.descendants().find(is_name).map(|node| name(&node))
}

/// Returns the tables that are read, with the columns restricted by the condition, and those of
/// them whose rows stay locked until the transaction ends.
fn reads(statement: &SyntaxNode) -> (Vec<Read>, Vec<Read>) {
    let made: BTreeSet<_> =
        names(statement.descendants().filter_map(ast::CteName::cast)).into_iter().collect();
    let few_others = if has_few_others(statement, &made) { Others::Few } else { Others::Many };
    let (mut reads, mut holds) = (Vec::new(), Vec::new());
    for node in statement.descendants() {
        let Some(Access { table, alias, condition, is_alone, is_held }) = Access::read(&node) else {
            continue;
        };
        if made.contains(&table) {
            continue;
        }
        let others = if is_alone { Others::Nothing } else { few_others };
        let names = rows::names(&table, alias);
        let condition = condition.map(|condition| condition.syntax().text().to_string());
        let bound = condition.map(|condition| bound_columns(&condition, &names, others));
        let read = Read { table, bound: bound.unwrap_or_default() };
        if is_held {
            holds.push(read.clone());
        }
        reads.push(read);
    }
    (reads, holds)
}

/// How a part of a statement reads a table.
struct Access {
    table: TableName,
    alias: Option<ast::TableAlias>,
    /// The condition on its rows.
    condition: Option<ast::Expr>,
    /// Whether it is the only table of its `FROM`.
    is_alone: bool,
    is_held: bool,
}

impl Access {
    fn read(node: &SyntaxNode) -> Option<Self> {
        let condition_of = |owner: &SyntaxNode| owner.children().find_map(ast::WhereClause::cast)?.expr();
        if let Some(item) = ast::RelationFromItem::cast(node.clone()) {
            let clause = node.parent().filter(|parent| ast::FromClause::can_cast(parent.kind()));
            let owner = node.ancestors().find(|node| {
                ast::Select::can_cast(node.kind())
                    || ast::SelectInto::can_cast(node.kind())
                    || ast::Update::can_cast(node.kind())
                    || ast::Delete::can_cast(node.kind())
            });
            let is_select = owner.as_ref().is_some_and(|owner| ast::Select::can_cast(owner.kind()));
            let is_locked =
                |owner: &SyntaxNode| owner.children().any(|node| ast::LockingClause::can_cast(node.kind()));
            return Some(Self {
                table: relation(item.syntax())?,
                alias: item.syntax().descendants().find_map(ast::TableAlias::cast),
                is_held: is_select && owner.as_ref().is_some_and(is_locked),
                condition: owner.as_ref().and_then(condition_of),
                is_alone: clause.is_some_and(|clause| clause.children().count() == 1),
            });
        }
        if let Some(update) = ast::Update::cast(node.clone()) {
            return Some(Self {
                table: relation(update.relation_name()?.syntax())?,
                alias: update.alias().and_then(|alias| alias.name()),
                condition: condition_of(node),
                is_alone: update.from_clause().is_none(),
                is_held: true,
            });
        }
        if let Some(delete) = ast::Delete::cast(node.clone()) {
            return Some(Self {
                table: relation(delete.relation_name()?.syntax())?,
                alias: delete.alias().and_then(|alias| alias.name()),
                condition: condition_of(node),
                is_alone: delete.using_clause().is_none(),
                is_held: true,
            });
        }
        if let Some(merge) = ast::Merge::cast(node.clone()) {
            let table = relation(merge.table_relation_name()?.syntax())?;
            let alias = merge.alias().and_then(|alias| alias.name());
            let called = rows::names(&table, alias.clone());
            return Some(Self {
                table,
                alias,
                condition: merge.using_on_clause().and_then(|using| using.on_clause()?.expr()),
                is_alone: false,
                is_held: node.descendants().any(|node| changes_many(&node, &called)),
            });
        }
        let table = ast::Table::cast(node.clone())?;
        let table = relation(table.syntax())?;
        Some(Self { table, alias: None, condition: None, is_alone: false, is_held: false })
    }
}

/// Whether a clause of a MERGE changes or deletes more rows than those with one value in a column.
fn changes_many(node: &SyntaxNode, names: &[String]) -> bool {
    let changes = ast::MergeUpdate::can_cast(node.kind()) || ast::MergeDelete::can_cast(node.kind());
    let when = node.ancestors().find_map(ast::MergeWhenClause::cast);
    let and = when.and_then(|when| when.syntax().children().find_map(ast::MergeCondition::cast)?.expr());
    let binds = |condition: ast::Expr| {
        !bound_columns(&condition.syntax().text().to_string(), names, Others::Many).is_empty()
    };
    changes && !and.is_some_and(binds)
}

/// Whether the statement reads only lists of values besides the table that it changes.
fn has_few_others(statement: &SyntaxNode, made: &BTreeSet<TableName>) -> bool {
    let mut items = statement.descendants().filter_map(ast::RelationFromItem::cast);
    let is_made =
        |item: ast::RelationFromItem| relation(item.syntax()).is_some_and(|table| made.contains(&table));
    items.all(is_made) && !statement.descendants().any(|node| ast::Table::can_cast(node.kind()))
}

/// Whether a call takes long or returns many rows regardless of its arguments.
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
