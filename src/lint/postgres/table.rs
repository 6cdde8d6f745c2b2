//! What is done to tables of PostgreSQL: their making, their columns, their rows.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AlterTableAction, AstNode as _};

use super::{joined, name, relation};
use crate::catalog::TableName;
use crate::lint::act::Act;
use crate::lint::rules;

fn text(node: &SyntaxNode) -> String {
    node.text().to_string().trim().to_owned()
}

/// A column's name, folded.
fn column(node: &SyntaxNode) -> String {
    name(node).map_or_else(|| text(node), |name| name.name)
}

/// The table that a `CREATE TABLE` or `SELECT INTO` makes.
pub(super) fn made(statement: &SyntaxNode) -> Option<Act> {
    let name = statement.descendants().find_map(ast::TableName::cast).and_then(|node| name(node.syntax()))?;
    let if_missing = statement.children().any(|node| ast::IfNotExists::cast(node).is_some());
    let columns = statement
        .descendants()
        .filter_map(ast::Column::cast)
        .filter_map(|node| Some((column(node.name()?.syntax()), text(node.ty()?.syntax()).to_lowercase())));
    Some(Act::Makes { name, if_missing, columns: columns.collect() })
}

/// What `ALTER TABLE` does.
pub(super) fn altered(
    table: Option<ast::TableRelationName>,
    actions: ast::AstChildren<AlterTableAction>,
) -> Vec<Act> {
    let Some(table) = table.and_then(|table| relation(table.syntax())) else { return Vec::new() };
    let moved = |action: &AlterTableAction| moved(&table, action);
    actions.flat_map(|action| act(&table, &action).into_iter().chain(moved(&action))).collect()
}

fn act(table: &TableName, action: &AlterTableAction) -> Option<Act> {
    let table = table.clone();
    let rewrites = |how: &str| {
        let reason = format!("everybody waits while {table} is written {how}");
        Some(Act::does(&rules::REWRITE_TABLE, vec![table.clone()], reason))
    };
    match action {
        AlterTableAction::AddColumn(add) => {
            let column = column(add.column_name()?.syntax());
            let kind = add.ty().map(|kind| text(kind.syntax()).to_lowercase()).unwrap_or_default();
            Some(Act::AddsColumn { table, column, kind, if_missing: add.if_not_exists().is_some() })
        }
        AlterTableAction::DropColumn(drop) => {
            let column = column(drop.column_name_ref()?.syntax());
            Some(Act::DropsColumn { table, column })
        }
        AlterTableAction::AlterColumn(alter) => {
            let Some(ast::AlterColumnOption::SetType(set)) = alter.option() else { return None };
            let column = column(alter.column_name_ref()?.syntax());
            let kind = text(set.ty()?.syntax()).to_lowercase();
            let using = set.using_expr().and_then(|using| using.expr()).map(|using| text(using.syntax()));
            Some(Act::Retypes { table, column, kind, using })
        }
        AlterTableAction::SetSchema(_) => {
            let reason = format!("statements that look for {table} where it was fail from then on");
            Some(Act::does(&rules::RENAME_TABLE, vec![table], reason))
        }
        AlterTableAction::SetUnlogged(_)
        | AlterTableAction::SetLogged(_)
        | AlterTableAction::SetAccessMethod(_) => rewrites("in another form"),
        AlterTableAction::SetTablespace(_) => rewrites("to another place"),
        AlterTableAction::MergePartitions(_) | AlterTableAction::SplitPartition(_) => rewrites("anew"),
        _ => None,
    }
}

/// The name that a table has afterwards, where that is another.
fn moved(table: &TableName, action: &AlterTableAction) -> Option<Act> {
    let TableName { schema, name: plain } = table.clone();
    let to = match action {
        AlterTableAction::TableRenameTo(rename) => {
            TableName { schema, name: name(rename.table_name()?.syntax())?.name }
        }
        AlterTableAction::SetSchema(set) => {
            let schema = Some(column(set.schema_ref()?.syntax())).filter(|schema| schema != "public");
            TableName { schema, name: plain }
        }
        _ => return None,
    };
    Some(Act::Renames { from: table.clone(), to })
}

/// What is done to rows, in the statement or in a `WITH` of it.
pub(super) fn rows(statement: &SyntaxNode) -> Vec<Act> {
    statement.descendants().filter_map(|node| row_act(&node)).collect()
}

fn row_act(node: &SyntaxNode) -> Option<Act> {
    if let Some(delete) = ast::Delete::cast(node.clone()) {
        let table = relation(delete.relation_name()?.syntax())?;
        let which = if is_all(delete.where_clause_or_current_of()) { "all" } else { "some" };
        let reason = format!("deletes {which} rows of {table}");
        return Some(Act::does(&rules::DELETE_ROWS, vec![table], reason));
    }
    if let Some(update) = ast::Update::cast(node.clone()) {
        let table = relation(update.relation_name()?.syntax())?;
        let columns = update.set_clause().map(|set| {
            let targets = set.syntax().descendants().filter_map(ast::ColumnTarget::cast);
            targets.filter_map(|target| Some(column(target.name()?.syntax()))).collect()
        });
        let all = is_all(update.where_clause_or_current_of());
        return all.then(|| Act::UpdatesAll { table, columns: columns.unwrap_or_default() });
    }
    if ast::MergeDelete::cast(node.clone()).is_some() {
        let merge = node.ancestors().find_map(ast::Merge::cast)?;
        let table = relation(merge.table_relation_name()?.syntax())?;
        let reason = format!("deletes rows of {table}");
        return Some(Act::does(&rules::DELETE_ROWS, vec![table], reason));
    }
    let truncate = ast::Truncate::cast(node.clone())?;
    let tables: Vec<_> = truncate
        .table_list()
        .into_iter()
        .flat_map(|list| list.table_relation_names())
        .filter_map(|table| relation(table.syntax()))
        .collect();
    let reason = format!("deletes all rows of {}", joined(&tables));
    Some(if super::cascades(node) {
        Act::does(&rules::TRUNCATE, Vec::new(), format!("{reason} and of the tables that refer to it"))
    } else {
        Act::does(&rules::TRUNCATE, tables, reason)
    })
}

/// Whether a condition is none.
fn is_all(condition: Option<ast::WhereClauseOrCurrentOf>) -> bool {
    let Some(condition) = condition else { return true };
    let words: String = text(condition.syntax()).split_whitespace().collect::<String>().to_lowercase();
    matches!(words.as_str(), "wheretrue" | "where1=1" | "where(true)" | "where(1=1)" | "wherenotfalse")
}
